// Package hosttest gives tests a host: network and mount namespaces of their own with a real Open vSwitch (user-space datapath), a real
// sshd behind a virtual cable, and, where asked for, a real libvirtd. Nothing touches the network of the machine. It needs root and the Debian
// packages openssh-server, openvswitch-switch, iproute2, ethtool, util-linux and, for libvirt, libvirt-daemon, libvirt-daemon-driver-qemu,
// qemu-system-x86; for Ceph, ceph-mon, ceph-osd, ceph-common; for disks of virtual machines on it, qemu-block-extra.
package hosttest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// Addresses of the cable between the operator's namespace and the host; the host's is on bridge br-ex.
const (
	operatorAddr = "192.0.2.1/24" // RFC 5737, TEST-NET-1
	hostAddr     = "192.0.2.2/24"
)

// Box is the host.
type Box struct {
	Dir  string // scratch directory, the same inside and outside
	SSHD *remotetest.SSHD

	host, operator *exec.Cmd // each holds a namespace
	services       *services
}

// New makes a host whose card eth0 is in bridge br-ex, with sshd on the bridge's address.
func New(t testing.TB) *Box {
	t.Helper()
	return newBox(t, "box")
}

// Addresses of the cable between two hosts (RFC 5737, TEST-NET-2).
const (
	FirstAddr  = "198.51.100.1"
	SecondAddr = "198.51.100.2"
)

// Pair makes two hosts, box-1 and box-2, with a further cable between them.
func Pair(t testing.TB) (first, second *Box) {
	t.Helper()
	first, second = newBox(t, "box-1"), newBox(t, "box-2")
	first.Must(t, "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9", "netns", fmt.Sprint(second.host.Process.Pid))
	for b, addr := range map[*Box]string{first: FirstAddr, second: SecondAddr} {
		b.Must(t, "ip", "address", "add", addr+"/24", "dev", "eth9")
		b.Must(t, "ip", "link", "set", "eth9", "up")
	}
	return first, second
}

// Site makes hosts with these names, all on one further network: the first has the address 198.51.100.1 there, and so on.
func Site(t testing.TB, names ...string) []*Box {
	t.Helper()
	var out []*Box
	for i, name := range names {
		b := newBox(t, name)
		out = append(out, b)
		if i == 0 {
			b.Must(t, "ip", "link", "add", "eth9", "type", "bridge")
		} else {
			port := fmt.Sprintf("port%d", i)
			b.Must(t, "ip", "link", "add", "eth9", "type", "veth", "peer", "name", port, "netns", fmt.Sprint(out[0].host.Process.Pid))
			out[0].Must(t, "ip", "link", "set", port, "master", "eth9", "up")
		}
		b.Must(t, "ip", "address", "add", SiteAddr(i)+"/24", "dev", "eth9")
		b.Must(t, "ip", "link", "set", "eth9", "up")
	}
	return out
}

// SiteAddr is the address of a host of a Site, by its index.
func SiteAddr(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }

func newBox(t testing.TB, name string) *Box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	b := &Box{Dir: shortDir(t)}
	for _, dir := range []string{"ovs", "libvirt-run", "libvirt-lib", "libvirt-log", "libvirt-etc", "libvirt-cache", "ceph-etc", "ceph-lib", "nubo-lib", "init", "pki", "units", "nubo"} {
		if err := os.Mkdir(filepath.Join(b.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(b.Dir, "bcrypt.py"), []byte(bcrypt), 0o644); err != nil {
		t.Fatal(err)
	}
	b.stubSystemd(t)
	b.addAccounts(t)
	b.operator = hold(t, "--net", "")
	b.host = hold(t, "--net --uts --mount --propagation private", "hostname "+name+"\n"+b.mounts())
	t.Cleanup(func() {
		b.Must(t, "sh", "-c", "for f in /run/*.timer; do [ ! -e $f ] || kill $(cat $f); done 2>/dev/null; true")
	})
	b.cable(t)
	b.startOVS(t)
	b.Must(t, "ovs-vsctl", "--timeout=20", "--", "add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev",
		"--", "add-port", "br-ex", "eth0")
	b.Must(t, "ip", "address", "add", hostAddr, "dev", "br-ex")
	b.Must(t, "ip", "link", "set", "br-ex", "up")
	b.SSHD = remotetest.ServeSSHD(t, b.listen(t, "192.0.2.2:22"), b.enter()...)
	return b
}

// shortDir is a temporary directory whose name leaves room for the 108 bytes of a socket's path.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "box")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the host's files: %v", err)
		}
	})
	return dir
}

// mounts gives the commands that put the scratch directories where the services expect theirs.
func (b *Box) mounts() string {
	var s strings.Builder
	s.WriteString("mount -t tmpfs run /run; mkdir -p /run/openvswitch /run/libvirt /run/lock /run/sshd /run/netns\n")
	for from, to := range map[string]string{
		"ovs": "/run/openvswitch", "libvirt-run": "/run/libvirt", "libvirt-lib": "/var/lib/libvirt",
		"libvirt-log": "/var/log/libvirt", "libvirt-etc": "/etc/libvirt", "libvirt-cache": "/var/cache/libvirt", "ceph-etc": "/etc/ceph", "ceph-lib": "/var/lib/ceph", "nubo-lib": "/usr/lib/nubo", "pki": "/etc/pki", "units": "/etc/systemd/system",
		"nubo": "/var/lib/nubo", "passwd": "/etc/passwd", "group": "/etc/group", "systemd-run": "/usr/bin/systemd-run", "systemctl": "/usr/bin/systemctl",
	} {
		source := filepath.Join(b.Dir, from)
		fmt.Fprintf(&s, "if [ -e %[2]s ] || mkdir -p %[2]s; then mount --bind %[1]s %[2]s; fi\n", source, to)
	}
	fmt.Fprintf(&s, "if [ -e %[2]s ]; then mount --bind %[1]s %[2]s; fi\n", filepath.Join(b.Dir, "bcrypt.py"), "/usr/lib/python3/dist-packages/bcrypt/__init__.py")
	return s.String()
}

// bcrypt stands in for Python's bcrypt in ceph-mgr, which cannot load the real one on Debian 13 and no module with it (PyO3 issue 576): the image of
// hosts has such a one too. Nothing here asks it for anything.
const bcrypt = `def _refuse(*_args, **_kwargs):
    raise NotImplementedError


gensalt = hashpw = checkpw = kdf = _refuse
`

// hold starts a process in new namespaces, prepares them, and keeps them until the test ends.
func hold(t testing.TB, namespaces, prepare string) *exec.Cmd {
	t.Helper()
	argv := append(strings.Fields(namespaces), "sh", "-euc", prepare+"\nip link set lo up\necho ready\nexec cat")
	cmd := exec.Command("unshare", argv...)
	cmd.Stderr = os.Stderr
	keep, err := cmd.StdinPipe() // the process ends with ours, also when ours crashes
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keep.Close()
		_ = cmd.Wait() // ends by itself at the end of its stdin
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("prepare namespaces: got %q, %v", line, err)
	}
	return cmd
}

// cable joins the two namespaces.
func (b *Box) cable(t testing.TB) {
	t.Helper()
	op, host := fmt.Sprint(b.operator.Process.Pid), fmt.Sprint(b.host.Process.Pid)
	for _, line := range [][]string{
		{"nsenter", "--target", op, "--net", "ip", "link", "add", "op0", "type", "veth", "peer", "name", "eth0", "netns", host},
		{"nsenter", "--target", op, "--net", "ip", "address", "add", operatorAddr, "dev", "op0"},
		// The user-space datapath passes packets on as they are: they must have their checksums.
		{"nsenter", "--target", op, "--net", "ethtool", "--offload", "op0", "tx", "off"},
		{"nsenter", "--target", op, "--net", "ip", "link", "set", "op0", "up"},
		{"nsenter", "--target", host, "--net", "ip", "link", "set", "eth0", "up"},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", line, err, out)
		}
	}
}

// enter gives the words that run a command on the host.
func (b *Box) enter() []string {
	return []string{"nsenter", "--target", fmt.Sprint(b.host.Process.Pid), "--net", "--uts", "--mount", "--root", "--wdns=/"}
}

// Must runs a command on the host, and fails the test when it fails.
func (b *Box) Must(t testing.TB, argv ...string) string {
	t.Helper()
	full := append(b.enter(), argv...)
	out, err := exec.Command(full[0], full[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
	return string(out)
}

// Daemon runs a service on the host until the test ends; its output is in the scratch directory under its name.
func (b *Box) Daemon(t testing.TB, argv ...string) {
	t.Helper()
	full := append(b.enter(), argv...)
	log, err := os.Create(filepath.Join(b.Dir, filepath.Base(argv[0])+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(full[0], full[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also when the test crashes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // ended already is fine
		_ = cmd.Wait()
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", argv[0], text)
		}
	})
}

// Local is the host without SSH: its own shell, and its sockets.
func (b *Box) Local() remote.Local { return remote.Local{Shell: append(b.enter(), "sh", "-c")} }

// Target is the way to the host's sshd over the cable.
func (b *Box) Target() remote.Target {
	target := b.SSHD.Target()
	target.Name, target.Via = "box", tunnel{b.operator.Process.Pid}
	target.Timeout, target.Greeting = 30*time.Second, 30*time.Second // a busy machine is slow with packets, which pass through its Open vSwitch, and with keys
	return target
}

// Link connects over the cable.
func (b *Box) Link(t testing.TB) *remote.Link {
	t.Helper()
	link := remote.NewLink(remote.To(b.Target()))
	t.Cleanup(func() { _ = link.Close() })
	return link
}

func (b *Box) listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var l net.Listener
	err := inNetwork(b.host.Process.Pid, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tunnel dials from the network namespace of a process.
type tunnel struct{ pid int }

// Dial is remote.Tunnel.
func (n tunnel) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = inNetwork(n.pid, func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// inNetwork calls do on a thread that is in the network namespace of a process; sockets stay where they were made.
func inNetwork(pid int, do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	other, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	did := do()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("leave network namespace: %v", err)) // going on would run anything on this thread
	}
	return did
}
