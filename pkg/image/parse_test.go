package image

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

func TestDeriveSources(t *testing.T) {
	const key = "/usr/share/keyrings/debian-archive-keyring.gpg"
	for name, c := range map[string]struct{ targets, codename, want, err string }{
		"bookworm host, deb822, trixie wanted": {
			targets: "http://other.example/x|nodistro|Other|\n" +
				"http://mirror.example/debian|bookworm|Debian|$(SIGNED_BY)\n" +
				"http://mirror.example/debian|bookworm-updates|Debian|$(SIGNED_BY)\n" +
				"http://mirror.example/security|bookworm-security|Debian-Security|/etc/apt/keyrings/own.gpg\n",
			codename: "bookworm",
			want: "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main non-free-firmware\nSigned-By: " + key + "\n" +
				"\nTypes: deb\nURIs: http://mirror.example/security\nSuites: trixie-security\nComponents: main non-free-firmware\nSigned-By: /etc/apt/keyrings/own.gpg\n",
		},
		"suite names instead of code names, no security": {
			targets:  "https://mirror.example/debian|stable|Debian|\n",
			codename: "trixie",
			want:     "Types: deb\nURIs: https://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main non-free-firmware\nSigned-By: " + key + "\n",
		},
		"lists never fetched": {
			targets:  "http://mirror.example/debian|trixie|$(LABEL)|$(SIGNED_BY)\n",
			codename: "trixie",
			want:     "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main non-free-firmware\nSigned-By: " + key + "\n",
		},
		"no Debian": {targets: "http://other.example/x|noble|Ubuntu|\n", codename: "noble", err: "no source for Debian"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := deriveSources(c.targets, c.codename, "trixie", []string{"main", "non-free-firmware"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestDeriveOptions(t *testing.T) {
	dump := "APT \"\";\nAcquire::http::Proxy \"http://proxy.example:3142\";\nAcquire::https \"\";\nAcquire::Check-Valid-Until \"false\";\n" +
		"Acquire::Languages \"none\";\nDPkg::Post-Invoke:: \"rm -f x\";\n"
	want := []string{`Acquire::http::Proxy "http://proxy.example:3142";`, `Acquire::Check-Valid-Until "false";`}
	if diff := cmp.Diff(want, deriveOptions(dump)); diff != "" {
		t.Error(diff)
	}
}

func TestParseSimulation(t *testing.T) {
	said := "Reading package lists...\nInst libc6 (2.41-12 Debian:13.2/stable [amd64])\n" +
		"Inst base-files [1.0] (13.8+deb13u2 Debian:13.2/stable, Debian-Security:13 [amd64]) []\nInst libx:amd64 (1:2-3 Local [amd64])\nConf libc6 (2.41-12 x [amd64])\n"
	want := []manifest.Package{{Name: "base-files", Version: "13.8+deb13u2", Architecture: "amd64"}, {Name: "libc6", Version: "2.41-12", Architecture: "amd64"}, {Name: "libx", Version: "1:2-3", Architecture: "amd64"}}
	if diff := cmp.Diff(want, parseSimulation(said)); diff != "" {
		t.Error(diff)
	}
}

func TestParseStatus(t *testing.T) {
	status := "Package: b\nStatus: install ok installed\nArchitecture: all\nVersion: 2\nDescription: x\n Package: not this\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\nPackage: a\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\n"
	want := []manifest.Package{{Name: "a", Version: "1", Architecture: "amd64"}, {Name: "b", Version: "2", Architecture: "all"}}
	if diff := cmp.Diff(want, parseStatus(status)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckAccounts(t *testing.T) {
	d := Definition{Name: "x", Users: map[string]string{"ceph": "64045:64045::/:/bin/false"}, Groups: map[string]int{"ceph": 64045}}
	const root = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	for name, c := range map[string]struct{ passwd, group, shadow, want string }{
		"good":          {root + "ceph:x:64045:64045::/:/bin/false\n", "root:x:0:\nusers:x:100:\nceph:x:64045:\n", "root:*:1::::::\n", ""},
		"locked with !": {root, "root:x:0:\n", "root:!*:1::::::\n", ""},
		"by chance":     {root + "sshd:x:991:65534::/:/bin/false\n", "kvm:x:993:\n", "root:*:1::::::\n", "user sshd has number 991 by chance"},
		"moved":         {root + "ceph:x:999:999::/:/bin/false\n", "ceph:x:999:\n", "root:*:1::::::\n", "user ceph has number 999"},
		"group":         {root, "kvm:x:993:\n", "root:*:1::::::\n", "group kvm has number 993"},
		"open root":     {root, "", "root::1::::::\n", "root is not locked"},
		"not passwd":    {"what\n", "what\n", "root:*:\n", "not a line of passwd(5)"},
	} {
		err := checkAccounts(d, c.passwd, c.group, c.shadow)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestChooseModules(t *testing.T) {
	dep := "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/fs/mbcache.ko.xz\nkernel/fs/jbd2/jbd2.ko.xz:\nkernel/fs/mbcache.ko.xz:\n" +
		"kernel/crypto/crc32c-generic.ko.xz:\nkernel/drivers/net/xen-netfront.ko.xz:\nkernel/sound/snd.ko.xz:\n"
	m := parseModules(dep, "softdep ext4 pre: crc32c-generic post: absent\n", "kernel/drivers/virtio/virtio_pci.ko\n")
	got, err := m.choose([]string{"ext4", "xen-netfront", "virtio_pci"})
	want := []string{"kernel/crypto/crc32c-generic.ko.xz", "kernel/drivers/net/xen-netfront.ko.xz", "kernel/fs/ext4/ext4.ko.xz", "kernel/fs/jbd2/jbd2.ko.xz", "kernel/fs/mbcache.ko.xz"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := m.choose([]string{"ext4", "renamed"}); err == nil || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("got %v", err)
	}
}

func FuzzParsers(f *testing.F) {
	f.Add("Inst a (1 x [amd64])\n", "Package: a\nStatus: install ok installed\n", "a/b.ko: a/c.ko\n")
	f.Add("", "\n\n\n", ":\nsoftdep a pre: b\n")
	f.Fuzz(func(t *testing.T, simulation, status, dep string) {
		for _, p := range append(parseSimulation(simulation), parseStatus(status)...) {
			if p.Name == "" {
				t.Errorf("a package without name from %q %q", simulation, status)
			}
		}
		m := parseModules(dep, dep, dep)
		for name := range m.files {
			if _, err := m.choose([]string{name}); err != nil {
				t.Errorf("%q is listed and cannot be chosen: %v", name, err)
			}
		}
		_ = checkAccounts(Definition{}, simulation, status, dep)
		_, _ = deriveSources(dep, "trixie", "trixie", nil)
	})
}
