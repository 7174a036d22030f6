package image

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/images"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	at := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(at, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +now; -update accepts):\n%s", name, diff)
	}
}

func TestEveryDefinitionLoads(t *testing.T) {
	names, err := Definitions(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"debian-12", "debian-13", "guest", "ramdisk"}; !slices.Equal(names, want) {
		t.Errorf("definitions: %q", names)
	}
	for _, name := range names {
		d, err := Load(images.FS, name)
		if err != nil {
			t.Error(err)
			continue
		}
		if again, _ := Load(images.FS, name); again.Digest() != d.Digest() {
			t.Errorf("%s: loading twice gives two digests", name)
		}
	}
}

func TestLikeTakesOverAndLeavesOut(t *testing.T) {
	thirteen, err := Load(images.FS, "debian-13")
	if err != nil {
		t.Fatal(err)
	}
	twelve, err := Load(images.FS, "debian-12")
	if err != nil {
		t.Fatal(err)
	}
	if twelve.Release != "bookworm" || twelve.Kind != manifest.Root || twelve.Users["ceph"] != thirteen.Users["ceph"] {
		t.Errorf("got %s %s %s", twelve.Release, twelve.Kind, twelve.Users["ceph"])
	}
	if slices.Contains(twelve.Packages, "systemd-cryptsetup") || !slices.Contains(twelve.Packages, "ceph-osd") {
		t.Errorf("packages: %q", twelve.Packages)
	}
	if twelve.Digest() == thirteen.Digest() {
		t.Error("two definitions with one digest")
	}
}

func TestLoadRefuses(t *testing.T) {
	const good = "image {\n kind = \"guest\"\n release = \"trixie\"\n epoch = \"2026-01-01T00:00:00Z\"\n packages = [\"a1\"]\n modules = [\"m\"]\n"
	for text, want := range map[string]string{
		"image {\n kind = \"guest\"\n colour = 1\n}":                                  "image.hcl:3",
		good + " kind2 = 1\n}":                                                        "Unsupported argument",
		strings.Replace(good, "guest", "toy", 1) + "}":                                `kind "toy"`,
		strings.Replace(good, "2026-01-01T00:00:00Z", "yesterday", 1) + "}":           "epoch",
		strings.Replace(good, "a1", "a;rm", 1) + "}":                                  `package "a;rm"`,
		good + " remove = [\"../etc\"]\n}":                                            `path "../etc"`,
		good + " remove = [\"/\"]\n}":                                                 `path "/"`,
		good + " users = { x = \"1:2\" }\n}":                                          "user x",
		good + " file \"/etc/../x\" { source = \"modules/m.list\" }\n}":               "clean absolute path",
		good + " file \"/x\" { source = \"absent\" }\n}":                              "absent",
		good + " file \"/x\" {\n source = \"modules/m.list\"\n mode = \"rwx\"\n }\n}": "octal",
		strings.Replace(good, "[\"m\"]", "[\"n\"]", 1) + "}":                          `modules "n"`,
		"image {\n like = \"x\"\n}":                                                   "circle",
		"image {\n like = \"y\"\n}":                                                   `no image "y"`,
	} {
		fsys := fstest.MapFS{"x/image.hcl": {Data: []byte(text)}, "modules/m.list": {Data: []byte("ext4 # a comment\n")}}
		if _, err := Load(fsys, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %q", text, err, want)
		}
	}
	if _, err := Load(fstest.MapFS{}, "../x"); err == nil {
		t.Error("a path passed as a name")
	}
}

func TestDigestFollowsEveryFile(t *testing.T) {
	text := "image {\n kind = \"guest\"\n release = \"trixie\"\n epoch = \"2026-01-01T00:00:00Z\"\n packages = [\"a1\"]\n modules = [\"m\"]\n" +
		" file \"/init\" {\n source = \"x/init\"\n mode = \"0755\"\n }\n}"
	fsys := fstest.MapFS{"x/image.hcl": {Data: []byte(text)}, "modules/m.list": {Data: []byte("ext4\n")}, "x/init": {Data: []byte("one")}}
	first, err := Load(fsys, "x")
	if err != nil {
		t.Fatal(err)
	}
	if first.Files[0].Mode != 0o755 || first.Files[0].Content != "one" || !slices.Equal(first.Modules, []string{"ext4"}) {
		t.Errorf("got %+v", first)
	}
	for name, content := range map[string]string{"x/init": "two", "modules/m.list": "xfs\n"} {
		changed := fstest.MapFS{}
		for k, v := range fsys {
			changed[k] = v
		}
		changed[name] = &fstest.MapFile{Data: []byte(content)}
		if second, err := Load(changed, "x"); err != nil || second.Digest() == first.Digest() {
			t.Errorf("%s changed and the digest did not (%v)", name, err)
		}
	}
}

// TestMmdebstrapIsCalledAsBefore shows in review what a definition makes mmdebstrap do.
func TestMmdebstrapIsCalledAsBefore(t *testing.T) {
	for _, name := range []string{"debian-13", "ramdisk"} {
		d, err := Load(images.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		b := bootstrap{
			def: d, work: "/scratch", debs: "/cache/debs", target: "-",
			lists: lists{dir: "/cache/apt/x", arch: "amd64", archive: Archive{Options: []string{`Acquire::Retries "3";`}}},
		}
		text := "# arguments\n" + strings.Join(b.args(), "\n") + "\n"
		hooks := b.hooks()
		for _, hook := range []string{"setup", "extract", "essential", "customize"} {
			text += "\n# " + hook + "\n" + hooks[hook]
		}
		golden(t, name+".mmdebstrap", text)
	}
}

// A watchdog is armed in the initramfs only by a driver that is there, after the time that is written for it.
func TestWatchdogDriversAreInTheInitramfs(t *testing.T) {
	for _, name := range []string{"debian-12", "debian-13"} {
		d, err := Load(images.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		file := func(path string) OverlayFile {
			for _, f := range d.Files {
				if f.Path == path {
					return f
				}
			}
			t.Fatalf("%s has no %s", name, path)
			return OverlayFile{}
		}
		script := file("/etc/initramfs-tools/scripts/init-top/nubo-watchdog")
		if later := file("/etc/initramfs-tools/scripts/init-premount/nubo-watchdog"); script.Mode != 0o755 || later.Content != script.Content || later.Mode != script.Mode {
			t.Errorf("%s: the script is not the same at both places, or cannot be run", name)
		}
		_, drivers, _ := strings.Cut(script.Content, "for driver in ")
		drivers, _, _ = strings.Cut(drivers, ";")
		options := file("/etc/modprobe.d/nubo-watchdog.conf").Content
		if len(strings.Fields(drivers)) == 0 {
			t.Errorf("%s: no driver is loaded", name)
		}
		for _, driver := range strings.Fields(drivers) {
			if !slices.Contains(d.Modules, driver) {
				t.Errorf("%s: %s is not in the initramfs", name, driver)
			}
			if !strings.Contains(options, "options "+driver+" ") {
				t.Errorf("%s: no time is written for %s", name, driver)
			}
		}
		if slices.Contains(d.Modules, "softdog") {
			t.Errorf("%s: a watchdog that hangs with the kernel is in the initramfs", name)
		}
	}
}
