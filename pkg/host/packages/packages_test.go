package packages_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/packages"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// box is a directory that stands for a host: a dpkg database of its own, Debian's own dpkg and apt, and a systemd that is played.
type box struct {
	*testing.T
	root, play string
	driver     packages.Driver
}

// systemctl and systemd-run, as far as the scripts use them. Calls that change something are noted.
const playedSystemctl = `#!/bin/sh
play=${0%/*}/..
case $1 in
is-active) # one that nobody has collected yet is over all the same
	if [ -s "$play/silent" ]; then # it says nothing, so many times
		sed -i 1d "$play/silent" && echo "Failed to connect to bus" >&2 && exit 1
	fi
	case $(sed 's/.*) //; s/ .*//' "/proc/$(cat "$play/pid" 2>/dev/null || echo none)/stat" 2>/dev/null) in
	'' | Z) echo inactive && exit 3 ;;
	*) cat "$play/is" 2>/dev/null || echo active ;;
	esac ;;
list-units) cat "$play/units" 2>/dev/null || true ;;
reset-failed) ;;
*) echo "$*" >>"$play/calls" ;;
esac
`

const playedRun = `#!/bin/sh
play=${0%/*}/..
while case $1 in --*) true ;; *) false ;; esac; do shift; done
setsid "$@" >/dev/null 2>&1 </dev/null &
echo $! >"$play/pid"
`

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("dpkg installs as root only")
	}
	for _, p := range []string{"dpkg", "apt-get", "dpkg-deb", "setsid"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not there: this test installs packages as Debian does", p)
		}
	}
	b := &box{T: t, root: filepath.Join(t.TempDir(), "host"), play: t.TempDir()}
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "etc/apt/preferences.d",
		"etc/apt/apt.conf.d", "usr/sbin", "etc/openvswitch", "run"} {
		b.must(os.MkdirAll(filepath.Join(b.root, d), 0o755))
	}
	for _, f := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available"} {
		b.must(os.WriteFile(filepath.Join(b.root, f), nil, 0o644))
	}
	b.must(os.Mkdir(filepath.Join(b.play, "bin"), 0o755))
	b.must(os.WriteFile(filepath.Join(b.play, "bin", "systemctl"), []byte(playedSystemctl), 0o755))
	b.must(os.WriteFile(filepath.Join(b.play, "bin", "systemd-run"), []byte(playedRun), 0o755))
	t.Setenv("PATH", filepath.Join(b.play, "bin")+":/usr/local/sbin:/usr/sbin:/sbin:"+os.Getenv("PATH"))
	b.driver = packages.Driver{Host: remote.Local{}, Root: b.root}
	t.Cleanup(func() { b.kill() })
	return b
}

func (b *box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// kill ends the installation with everything that it has started, as a power cut would.
func (b *box) kill() {
	pid := 0
	if _, err := fmt.Sscan(b.read("pid"), &pid); err == nil && pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

func (b *box) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.play, name))
	return string(text)
}

func (b *box) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.root, name))
	return string(text)
}

// deb builds a package: control fields, and its files and maintainer scripts by path.
func (b *box) deb(name, version, more string, files map[string]string) packages.Package {
	b.Helper()
	tree, out := b.TempDir(), b.TempDir()
	write := func(path, text string, mode os.FileMode) {
		path = filepath.Join(tree, path)
		b.must(os.MkdirAll(filepath.Dir(path), 0o755))
		b.must(os.WriteFile(path, []byte(text), mode))
	}
	write("DEBIAN/control", fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n%s", name, version, more), 0o644)
	write("usr/share/"+name+"/version", version+"\n", 0o644)
	for path, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(path, "DEBIAN/") && path != "DEBIAN/conffiles" {
			mode = 0o755
		}
		write(path, text, mode)
	}
	file := filepath.Join(out, name+"_"+version+"_all.deb")
	if text, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, file).CombinedOutput(); err != nil {
		b.Fatalf("dpkg-deb: %v: %s", err, text)
	}
	content, err := os.ReadFile(file)
	b.must(err)
	return packages.Package{Name: name, Version: version, Digest: model.DigestBytes(content), File: filepath.Base(file), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return os.Open(file) }}
}

// has installs packages before the test begins.
func (b *box) has(list ...packages.Package) {
	b.Helper()
	for _, p := range list {
		f, err := p.Open()
		b.must(err)
		name := f.(*os.File).Name()
		b.must(f.Close())
		if text, err := exec.Command("dpkg", "--root="+b.root, "--force-script-chrootless", "--force-unsafe-io", "--install", name).CombinedOutput(); err != nil {
			b.Fatalf("dpkg: %v: %s", err, text)
		}
	}
}

var snapshot = model.DigestBytes([]byte("snapshot"))

func (b *box) stage(list ...packages.Package) error {
	return b.driver.Stage(b.Context(), snapshot, list, func(string, int64, int64) {})
}

func (b *box) install(services ...packages.Restart) error {
	if err := b.driver.Begin(b.Context(), snapshot, services); err != nil {
		return err
	}
	return b.driver.Follow(b.Context(), snapshot, func(string) {})
}

func (b *box) state(list ...packages.Package) model.ObservedPackages {
	b.Helper()
	o, err := b.driver.Observe(b.Context(), snapshot, list)
	b.must(err)
	return o
}

// is compares how the host stands to packages: NAME VERSION IS.
func (b *box) is(when string, list []packages.Package, want ...string) {
	b.Helper()
	var got []string
	for _, p := range b.state(list...).Installed {
		got = append(got, p.Name+" "+p.Version+" "+p.Is)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.Errorf("%s: it has %q, want %q", when, got, want)
	}
}

// asking is a maintainer script that notes what policy-rc.d says, as invoke-rc.d would ask it.
const asking = `#!/bin/sh
set -e
code=0
if [ -x "$DPKG_ROOT/usr/sbin/policy-rc.d" ]; then "$DPKG_ROOT/usr/sbin/policy-rc.d" foo restart || code=$?; fi
echo "$1 policy $code" >>"$DPKG_ROOT/asked"
`

func TestInstallInPlace(t *testing.T) {
	b := newBox(t)
	unit := map[string]string{"lib/systemd/system/foo.service": "[Service]\n", "lib/systemd/system/once.service": "[Service]\n", "lib/systemd/system/foo@.service": "[Service]\n", "etc/foo.conf": "first\n", "DEBIAN/conffiles": "/etc/foo.conf\n"}
	newer := map[string]string{"lib/systemd/system/foo.service": "[Service]\n", "lib/systemd/system/foo@.service": "[Service]\n", "etc/foo.conf": "second\n", "DEBIAN/conffiles": "/etc/foo.conf\n",
		"DEBIAN/postinst": asking}
	b.has(b.deb("libfoo", "1:1.0-1", "", nil), b.deb("foo", "1.0-1", "Depends: libfoo\n", unit), b.deb("bar", "2", "", nil))
	b.must(os.WriteFile(filepath.Join(b.root, "etc/foo.conf"), []byte("by hand\n"), 0o644))
	b.must(os.WriteFile(filepath.Join(b.root, "usr/sbin/policy-rc.d"), []byte("#!/bin/sh\nexit 0\n"), 0o755))
	b.must(os.WriteFile(filepath.Join(b.play, "units"), []byte("foo.service loaded active running x\nfoo@a.service loaded active running x\nonce.service loaded active exited x\nother.service loaded active running x\n"), 0o644))
	list := []packages.Package{b.deb("libfoo", "1:1.0-2", "", nil), b.deb("foo", "1.0-2", "Depends: libfoo (>= 1:1.0-2), libnew\n", newer), b.deb("bar", "2", "", nil), b.deb("libnew", "0.1", "", nil)}
	b.is("before", list, "bar 2 same", "foo 1.0-1 older", "libfoo 1:1.0-1 older")
	if got := b.state(list...).Services; !slices.Equal(got, []string{"foo.service", "foo@a.service"}) {
		t.Errorf("its services are %q; one that has exited runs nothing, and its restart would undo what it did", got)
	}
	var told []string
	b.must(b.driver.Stage(t.Context(), snapshot, list, func(text string, done, total int64) {
		if told = append(told, text); done > total {
			t.Errorf("%d of %d bytes", done, total)
		}
	}))
	if o := b.state(list...); o.Staged != snapshot || o.Done != "" {
		t.Errorf("staged: %+v", o)
	}
	b.is("staged", list, "bar 2 same", "foo 1.0-1 older", "libfoo 1:1.0-1 older")
	if slices.Contains(told, "bar_2_all.deb") {
		t.Error("what the host has was sent")
	}
	b.must(b.install(packages.Restart{Unit: "foo.service"}, packages.Restart{Unit: "foo@a.service", Reload: true}))
	b.is("installed", list, "bar 2 same", "foo 1.0-2 same", "libfoo 1:1.0-2 same", "libnew 0.1 same")
	if o := b.state(list...); o.Done != snapshot || len(o.Services) > 0 {
		t.Errorf("installed: %+v", o)
	}
	if got := b.file("asked"); got != "configure policy 101\n" {
		t.Errorf("the maintainer script was told %q", got)
	}
	if got := b.file("usr/sbin/policy-rc.d"); got != "#!/bin/sh\nexit 0\n" {
		t.Errorf("policy-rc.d is left as %q", got)
	}
	if got := b.read("calls"); got != "daemon-reload\nreload foo@a.service\nrestart foo.service\n" {
		t.Errorf("systemctl was asked: %q", got)
	}
	if got := b.file("etc/foo.conf"); got != "by hand\n" {
		t.Errorf("a file that somebody has changed is now %q", got)
	}
	before := b.file("var/lib/nubo/packages/" + snapshot.Hex() + "/was")
	if !strings.Contains(before, "foo 1.0-1 older") || !strings.Contains(before, "libfoo 1:1.0-1 older") {
		t.Errorf("what was there before is noted as %q", before)
	}
	b.must(b.stage(list...)) // once more, with nothing to do
	b.must(b.install())
	if o := b.state(list...); o.Done != snapshot {
		t.Errorf("once more: %+v", o)
	}
}

// What would do more, or something else, than the snapshot says is refused before anything is installed.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		list func(b *box) []packages.Package
		says string
	}{
		"it would remove a package": {func(b *box) []packages.Package {
			b.has(b.deb("old", "1", "", nil))
			return []packages.Package{b.deb("foo", "2", "Conflicts: old\n", nil)}
		}, "old"},
		"it needs what nobody has": {func(b *box) []packages.Package {
			return []packages.Package{b.deb("foo", "2", "Depends: missing\n", nil)}
		}, "missing"},
		"it would take a package back": {func(b *box) []packages.Package { return []packages.Package{b.deb("foo", "0.9", "", nil)} }, "own"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.has(b.deb("foo", "1", "", nil))
			list := c.list(b)
			if err := b.stage(list...); !errors.Is(err, packages.ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v", err)
			}
			if o := b.state(list...); o.Staged != "" {
				t.Error("it counts as staged")
			}
			if err := b.install(); !errors.Is(err, packages.ErrRefused) {
				t.Errorf("installed all the same: %v", err)
			}
			if got := b.file("usr/share/foo/version"); got != "1\n" {
				t.Errorf("foo is %q", got)
			}
		})
	}
}

// A file that was changed on its way, or on the host, is not installed.
func TestFilesAreCompared(t *testing.T) {
	b := newBox(t)
	b.has(b.deb("foo", "1", "", nil))
	good, other := b.deb("foo", "2", "", nil), b.deb("foo", "2", "Section: misc\n", nil)
	changed := good
	changed.Open = other.Open
	if err := b.stage(changed); err == nil || !strings.Contains(err.Error(), "did not arrive whole") {
		t.Errorf("on its way: %v", err)
	}
	b.must(b.stage(good))
	at := filepath.Join(b.root, "var/lib/nubo/packages", snapshot.Hex(), good.File)
	content, err := os.ReadFile(at)
	b.must(err)
	content[len(content)-1] ^= 1
	b.must(os.WriteFile(at, content, 0o644))
	if err := b.install(); !errors.Is(err, packages.ErrInstall) || !strings.Contains(err.Error(), "FAILED") {
		t.Errorf("on the host: %v", err)
	}
	b.must(b.stage(good)) // it is sent again
	b.must(b.install())
	if got := b.file("usr/share/foo/version"); got != "2\n" {
		t.Errorf("foo is %q", got)
	}
}

// An installation that fails, or is killed with all that it has started, is brought to its end by the next try; services are restarted then.
func TestGoesOn(t *testing.T) {
	failing := "#!/bin/sh\nif [ ! -e \"$DPKG_ROOT/mended\" ]; then echo 'no space left' >&2; exit 1; fi\n"
	hanging := "#!/bin/sh\nif [ ! -e \"$DPKG_ROOT/mended\" ]; then echo x >\"$DPKG_ROOT/hangs\"; exec sleep 1000; fi\n"
	for name, c := range map[string]struct {
		script, phase string
		breaks        func(b *box) error
	}{
		"a maintainer script fails":        {failing, "postinst", func(b *box) error { return b.install(packages.Restart{Unit: "foo.service"}) }},
		"it fails before it is unpacked":   {failing, "preinst", func(b *box) error { return b.install(packages.Restart{Unit: "foo.service"}) }},
		"it is killed while it configures": {hanging, "postinst", (*box).killed},
		"it is killed while it unpacks":    {hanging, "preinst", (*box).killed},
		"a new one while it unpacks":       {hanging, "preinst", (*box).killed},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if b.has(b.deb("libfoo", "1", "", nil)); !strings.Contains(name, "new") {
				b.has(b.deb("foo", "1", "", nil))
			}
			list := []packages.Package{b.deb("libfoo", "2", "", nil), b.deb("foo", "2", "Depends: libfoo (>= 2)\n", map[string]string{"DEBIAN/" + c.phase: c.script})}
			b.must(b.stage(list...))
			if err := c.breaks(b); err == nil {
				t.Fatal("it does not fail")
			}
			if o := b.state(list...); o.Done != "" || o.Staged != snapshot {
				t.Errorf("in between it is %+v", o)
			}
			if b.read("calls") != "" {
				t.Errorf("in between systemctl was asked: %q", b.read("calls"))
			}
			b.must(os.WriteFile(filepath.Join(b.root, "mended"), nil, 0o644))
			b.must(b.install()) // whoever begins it again knows of no service: they are noted
			b.is("in the end", list, "foo 2 same", "libfoo 2 same")
			if o := b.state(list...); o.Done != snapshot {
				t.Errorf("in the end it is %+v", o)
			}
			if got := b.read("calls"); got != "daemon-reload\nrestart foo.service\n" {
				t.Errorf("systemctl was asked: %q", got)
			}
			if got := b.file("usr/sbin/policy-rc.d"); got != "" {
				t.Errorf("policy-rc.d is left as %q", got)
			}
		})
	}
}

// killed begins an installation and kills it where its package hangs.
func (b *box) killed() error {
	name := filepath.Join(b.root, "hangs")
	b.must(syscall.Mkfifo(name, 0o600))
	hangs, err := os.OpenFile(name, os.O_RDWR, 0) // so that it neither ends nor keeps the script waiting
	b.must(err)
	defer hangs.Close()
	b.must(b.driver.Begin(b.Context(), snapshot, []packages.Restart{{Unit: "foo.service"}}))
	b.must(hangs.SetReadDeadline(time.Now().Add(5 * time.Minute)))
	if _, err := hangs.Read(make([]byte, 8)); err != nil {
		b.Fatalf("it never came to hang: %v; its log: %s", err, b.file("run/nubo-packages/log"))
	}
	b.must(b.driver.Begin(b.Context(), snapshot, nil)) // it goes on already, and is left alone
	if busy, err := b.driver.Busy(b.Context()); !busy || err != nil {
		b.Errorf("while it goes on it is busy %v, %v", busy, err)
	}
	b.kill()
	for busy := true; busy; {
		busy, err = b.driver.Busy(b.Context())
		b.must(err)
	}
	return b.driver.Follow(b.Context(), snapshot, func(string) {})
}

// waiting is a maintainer script that says that it runs, and waits until the test lets it go on.
const waiting = "#!/bin/sh\necho x >\"$DPKG_ROOT/runs\"; read -r x <\"$DPKG_ROOT/go\"\n"

// held begins an installation of a package whose maintainer script waits, and gives what lets it go on.
func (b *box) held() (goOn func()) {
	b.Helper()
	var pipes [2]*os.File
	for i, name := range []string{"runs", "go"} {
		name = filepath.Join(b.root, name)
		b.must(syscall.Mkfifo(name, 0o600))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		b.must(err)
		b.Cleanup(func() { f.Close() })
		pipes[i] = f
	}
	b.has(b.deb("foo", "1", "", nil))
	b.must(b.stage(b.deb("foo", "2", "", map[string]string{"DEBIAN/postinst": waiting})))
	b.must(b.driver.Begin(b.Context(), snapshot, nil))
	b.must(pipes[0].SetReadDeadline(time.Now().Add(5 * time.Minute)))
	if _, err := pipes[0].Read(make([]byte, 8)); err != nil {
		b.Fatalf("the maintainer script was not run: %v; its log: %s", err, b.file("run/nubo-packages/log"))
	}
	return func() {
		_, err := pipes[1].WriteString("x\n")
		b.must(err)
	}
}

// A service that is stopped, as when the host goes down, is told by its outer shell alone, and lets dpkg come to an end.
func TestStopLetsDpkgEnd(t *testing.T) {
	b := newBox(t)
	goOn, pid := b.held(), 0
	if _, err := fmt.Sscan(b.read("pid"), &pid); err != nil {
		t.Fatal(err)
	}
	b.must(syscall.Kill(pid, syscall.SIGTERM))
	b.must(os.WriteFile(filepath.Join(b.play, "is"), []byte("deactivating\n"), 0o644))
	if busy, err := b.driver.Busy(t.Context()); !busy || err != nil {
		t.Errorf("while it is being stopped it is busy %v, %v", busy, err)
	}
	goOn()
	b.must(b.driver.Follow(t.Context(), snapshot, func(string) {}))
	if got := b.file("etc/nubo/packages"); got != snapshot.Hex()+"\n" {
		t.Errorf("the mark is %q", got)
	}
}

// A systemd that does not answer for a moment, as while it runs itself anew, says nothing about the installation: it has not ended, and is not taken for none.
func TestSystemdIsSilent(t *testing.T) {
	b := newBox(t)
	goOn := b.held()
	silent := func(times int) {
		b.must(os.WriteFile(filepath.Join(b.play, "silent"), []byte(strings.Repeat("x\n", times)), 0o644))
	}
	silent(1)
	if _, err := b.driver.Busy(t.Context()); err == nil || !strings.Contains(err.Error(), "does not say") {
		t.Errorf("whether it is busy: %v", err)
	}
	silent(1)
	if err := b.driver.Begin(t.Context(), snapshot, nil); !errors.Is(err, packages.ErrRefused) {
		t.Errorf("begun once more: %v", err)
	}
	if err := b.stage(b.deb("foo", "3", "", nil)); !errors.Is(err, packages.ErrRefused) || !strings.Contains(err.Error(), "going on") {
		t.Errorf("files are changed while they are installed: %v", err)
	}
	silent(1)
	goOn()
	b.must(b.driver.Follow(t.Context(), snapshot, func(string) {}))
}

// What was tried out does not hold any more when somebody has changed a package since.
func TestStagedForWhatItHad(t *testing.T) {
	b := newBox(t)
	b.has(b.deb("foo", "2", "", nil), b.deb("bar", "1", "", nil))
	list := []packages.Package{b.deb("foo", "2", "", nil), b.deb("bar", "2", "", nil)}
	b.must(b.stage(list...))
	if o := b.state(list...); o.Staged != snapshot {
		t.Errorf("staged it is %+v", o)
	}
	if text, err := exec.Command("dpkg", "--root="+b.root, "--force-script-chrootless", "--force-unsafe-io", "--remove", "foo").CombinedOutput(); err != nil {
		t.Fatalf("dpkg: %v: %s", err, text)
	}
	b.has(b.deb("foo", "1", "", nil))
	if o := b.state(list...); o.Staged != "" {
		t.Error("it counts as staged without the file of foo")
	}
	b.must(b.stage(list...))
	b.must(b.install())
	b.is("in the end", list, "bar 2 same", "foo 2 same")
}

// Open vSwitch's database is kept before its package changes.
func TestDatabaseIsKept(t *testing.T) {
	b := newBox(t)
	b.has(b.deb("openvswitch-switch", "3.1.0-2", "", nil))
	b.must(os.WriteFile(filepath.Join(b.root, "etc/openvswitch/conf.db"), []byte("bridges"), 0o644))
	p := b.deb("openvswitch-switch", "3.1.0-3", "", map[string]string{"DEBIAN/preinst": "#!/bin/sh\necho other >\"$DPKG_ROOT/etc/openvswitch/conf.db\"\n"})
	b.must(b.stage(p))
	b.must(b.install(packages.Restart{Unit: "openvswitch-switch.service"}))
	if got := b.file("var/lib/nubo/packages/" + snapshot.Hex() + "/conf.db"); got != "bridges" {
		t.Errorf("what is kept is %q", got)
	}
}
