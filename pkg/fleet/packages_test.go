package fleet_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/packages"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// packageHost is a directory that stands for a host, reached over SSH: Debian's own dpkg and apt, and a systemd that is played.
type packageHost struct {
	root, deb string
	driver    *fleet.Packages
}

func (h packageHost) Packages() ops.Packages { return h.driver }
func (h packageHost) Node() model.Node {
	return model.Node{Path: "lab/r1/az1/a/blade-01", Name: "blade-01"}
}
func (h packageHost) Snapshot() model.Digest { return h.driver.Snapshot.Digest }

const playedSystemd = `#!/bin/sh
cd "${0%/*}/.."
case ${0##*/} in
systemd-run)
	while case $1 in --*) true ;; *) false ;; esac; do shift; done
	setsid "$@" >/dev/null 2>&1 </dev/null &
	echo $! >pid ;;
*)
	case $1 in
	is-active) # one that nobody has collected yet is over all the same
		case $(sed 's/.*) //; s/ .*//' "/proc/$(cat pid 2>/dev/null || echo none)/stat" 2>/dev/null) in '' | Z) echo inactive && exit 3 ;; *) echo active ;; esac ;;
	list-units) echo "foo.service loaded active running foo"; echo "virtlogd.service loaded active running x"; echo "libvirt-guests.service loaded active exited x" ;;
	reset-failed) ;;
	*) echo "$*" >>calls ;;
	esac ;;
esac
`

// build makes version v of the package foo.
func (h packageHost) build(t *testing.T, v string) string {
	t.Helper()
	tree, file := t.TempDir(), filepath.Join(t.TempDir(), "foo_"+v+"_all.deb")
	for name, text := range map[string]string{"DEBIAN/control": "Package: foo\nVersion: " + v + "\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n",
		"lib/systemd/system/foo.service": "[Service]\n", "lib/systemd/system/virtlogd.service": "[Service]\n", "lib/systemd/system/libvirt-guests.service": "[Service]\n"} {
		write(t, filepath.Join(tree, name), text, 0o644)
	}
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, file).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	return file
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

func newPackageHost(t *testing.T) packageHost {
	if os.Geteuid() != 0 {
		t.Skip("dpkg installs as root only")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Fatalf("%v: this test installs packages as Debian does", err)
	}
	h := packageHost{root: filepath.Join(t.TempDir(), "host")}
	for _, name := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available", "var/lib/dpkg/info/.keep", "var/lib/dpkg/updates/.keep", "var/lib/dpkg/triggers/.keep", "var/lib/apt/lists/partial/.keep",
		"var/cache/apt/archives/partial/.keep", "var/log/apt/.keep", "etc/apt/preferences.d/.keep"} {
		write(t, filepath.Join(h.root, name), "", 0o644)
	}
	_ = os.Remove(filepath.Join(h.root, "var/lib/dpkg/updates/.keep")) // dpkg takes what is there for its own
	write(t, filepath.Join(h.root, "bin/systemctl"), playedSystemd, 0o755)
	write(t, filepath.Join(h.root, "bin/systemd-run"), playedSystemd, 0o755)
	if out, err := exec.Command("dpkg", "--root="+h.root, "--force-script-chrootless", "--force-unsafe-io", "--install", h.build(t, "1")).CombinedOutput(); err != nil {
		t.Fatalf("dpkg: %v: %s", err, out)
	}
	h.deb = h.build(t, "2")
	content, err := os.ReadFile(h.deb)
	if err != nil {
		t.Fatal(err)
	}
	snap := model.Snapshot{Name: "fix", Digest: model.DigestBytes([]byte("fix")), Packages: []model.SnapshotPackage{{Name: "foo", Version: "2"}}}
	sshd := remotetest.StartSSHD(t)
	links := fleet.NewLinks(func(context.Context, model.Node) (remote.Target, error) { return sshd.Target(), nil })
	t.Cleanup(func() { _ = links.Close() })
	h.driver = &fleet.Packages{Links: links, Snapshot: snap, Root: h.root, Debs: func(model.Digest) ([]packages.Package, error) {
		return []packages.Package{{Name: "foo", Version: "2", Digest: model.DigestBytes(content), File: "foo_2_all.deb", Size: int64(len(content)),
			Open: func() (io.ReadCloser, error) { return os.Open(h.deb) }}}, nil
	}}
	return h
}

func TestPackagesSuite(t *testing.T) {
	h := newPackageHost(t)
	opstest.Packages(t, h)
	calls, err := os.ReadFile(filepath.Join(h.root, "calls"))
	if want := "daemon-reload\nreload virtlogd.service\nrestart foo.service\n"; err != nil || string(calls) != want {
		t.Errorf("systemctl was asked %q (%v), want %q", calls, err, want)
	}
	other := model.DigestBytes([]byte("other"))
	none := func(plan.Progress) {}
	for what, err := range map[string]error{"stage": h.driver.Stage(t.Context(), h.Node(), other, none), "install": h.driver.Install(t.Context(), h.Node(), other, none)} {
		if err == nil || !strings.Contains(err.Error(), "plan again") {
			t.Errorf("%s of another snapshot: %v", what, err)
		}
	}
}
