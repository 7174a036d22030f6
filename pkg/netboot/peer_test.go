package netboot

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tests against real peers run this test binary again in a network namespace of its own, which ends with it.

const inNamespace = "NUBO_TEST_NAMESPACE"

// namespaced runs the calling test in a fresh network namespace. It returns true inside of it; outside it returns false
// when the inner run is over, with its failures reported.
func namespaced(t *testing.T, programs ...string) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	if testing.Short() {
		t.Skip("boots a machine; left out by -short")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: run e2e/host-packages", p)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=15m") // longer than all that a test waits for
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in its namespace: %v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
	return false
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// program starts a peer that ends with the test, and returns what it prints.
func program(t *testing.T, name string, args ...string) *safeBuffer {
	t.Helper()
	out := &safeBuffer{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, out)
		}
	})
	return out
}

// relayOn runs a server on an interface that has 10.77.0.1.
func relayOn(t *testing.T, cfg Config, d Decider) (*Server, *recorder) {
	t.Helper()
	rec := &recorder{}
	cfg.Address, cfg.Observer = netip.MustParseAddr("10.77.0.1"), rec
	s, err := New(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	start := time.Now()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
		if t.Failed() || testing.Verbose() {
			for i, e := range rec.events {
				t.Logf("%v event: %s %s %s %s -> %s %v", rec.at[i].Sub(start).Round(10*time.Millisecond), e.Protocol, e.Client.MAC, e.Client.Stage, e.Request, e.Reply, e.Err)
			}
		}
	})
	return s, rec
}

// firmwareFiles are the real first stages of Debian's ipxe, and a stand-in for the kernel.
func firmwareFiles(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{bootFileBIOS, bootFileEFI} {
		run(t, "cp", filepath.Join("/usr/lib/ipxe", name), dir)
	}
	if err := os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("stand-in"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return Config{Interface: "prov0", Files: root.FS()}
}

// qemuBase is a machine with a serial console on its output.
func qemuBase() []string {
	return []string{
		"-accel", "tcg", "-cpu", "max", "-m", "256", "-nographic", "-monitor", "none", "-no-reboot", "-serial", "stdio", "-vga", "none",
	}
}

// blade is a machine whose network n is the tap device prov0.
func blade(t *testing.T, extra ...string) *safeBuffer {
	t.Helper()
	args := append(qemuBase(), "-netdev", "tap,id=n,ifname=prov0,script=no,downscript=no")
	return program(t, "qemu-system-x86_64", append(args, extra...)...)
}

func tap(t *testing.T) {
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "tuntap", "add", "prov0", "mode", "tap")
	run(t, "ip", "addr", "add", "10.77.0.1/24", "dev", "prov0")
	run(t, "ip", "link", "set", "prov0", "up")
}

// bladeBook has one machine that is to be installed and one that has no order.
func bladeBook() book {
	b := testBook()
	for _, a := range b {
		if a.Boot != nil {
			a.Boot.Kernel, a.Boot.Initrd = "/boot/vmlinuz", "/boot/missing" // so that the script goes round
		}
	}
	return b
}

func sent(rec *recorder, p Protocol, request, reply string) func() bool {
	return func() bool {
		_, ok := rec.find(func(e Event) bool {
			return e.Protocol == p && e.Err == nil && strings.Contains(e.Request, request) && strings.Contains(e.Reply, reply)
		})
		return ok
	}
}

const bladeLimit = 5 * time.Minute

func TestBladeBIOS(t *testing.T) {
	if !namespaced(t, "qemu-system-x86_64", "ip") {
		return
	}
	tap(t)
	_, rec := relayOn(t, firmwareFiles(t), bladeBook())
	console := blade(t, "-device", "virtio-net-pci,netdev=n,bootindex=1,mac="+macInstall)
	eventually(t, bladeLimit, "iPXE fetches its script", sent(rec, HTTP, "/ipxe", "install debian-13"))
	eventually(t, bladeLimit, "iPXE fetches the kernel", sent(rec, HTTP, "/boot/vmlinuz", "sent"))
	eventually(t, bladeLimit, "the console shows the attempt and its repetition", func() bool {
		return console.contains("nubo: attempt 1 of 5") && console.contains("nubo: attempt 2 of 5")
	})
}

func TestBladeBIOSFallsThroughToDisk(t *testing.T) {
	if !namespaced(t, "qemu-system-x86_64", "ip") {
		return
	}
	tap(t)
	_, rec := relayOn(t, firmwareFiles(t), bladeBook())
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, bootSector("NUBO-DISK-BOOTED"), 0o600); err != nil {
		t.Fatal(err)
	}
	console := blade(t, "-device", "virtio-net-pci,netdev=n,bootindex=1,mac="+macDisk,
		"-drive", "if=none,id=d,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=d,bootindex=2")
	eventually(t, bladeLimit, "the machine gets its address", sent(rec, DHCP, "REQUEST", "ACK 10.77.0.12"))
	eventually(t, bladeLimit, "the disk boots", func() bool { return console.contains("NUBO-DISK-BOOTED") })
}

func ovmf(t *testing.T) []string {
	t.Helper()
	vars := filepath.Join(t.TempDir(), "vars.fd")
	run(t, "cp", "/usr/share/OVMF/OVMF_VARS_4M.fd", vars)
	return []string{
		"-machine", "q35", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,file=" + vars,
		"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
	}
}

func TestBladeUEFI(t *testing.T) {
	if !namespaced(t, "qemu-system-x86_64", "ip") {
		return
	}
	tap(t)
	s, rec := relayOn(t, firmwareFiles(t), bladeBook())
	blade(t, append(ovmf(t), "-device", "virtio-net-pci,netdev=n,bootindex=1,romfile=,mac="+macInstall)...)
	eventually(t, bladeLimit, "UEFI fetches snponly.efi by TFTP", sent(rec, TFTP, bootFileEFI, "sent"))
	eventually(t, bladeLimit, "iPXE fetches its script", sent(rec, HTTP, "/ipxe", "install debian-13"))
	if st := s.Stats(); st.TFTPBytes < 100_000 {
		t.Errorf("counted %+v", st)
	}
}

func TestBladeUEFIHTTPBoot(t *testing.T) {
	if !namespaced(t, "qemu-system-x86_64", "ip") {
		return
	}
	tap(t)
	_, rec := relayOn(t, firmwareFiles(t), bladeBook())
	blade(t, append(ovmf(t), "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n",
		"-device", "virtio-net-pci,netdev=n,bootindex=1,romfile=,mac="+macInstall)...)
	eventually(t, bladeLimit, "UEFI fetches snponly.efi by HTTP", sent(rec, HTTP, "/boot/"+bootFileEFI, "sent"))
	eventually(t, bladeLimit, "iPXE fetches its script", sent(rec, HTTP, "/ipxe", "install debian-13"))
}

// TestBladeUEFIGoesOnWithoutOrder sees the firmware leave PXE and HTTP boot at once. OVMF then tries IPv6, which nobody
// answers here, before a disk; machines that boot by IPv4 only go to the disk.
func TestBladeUEFIGoesOnWithoutOrder(t *testing.T) {
	if !namespaced(t, "qemu-system-x86_64", "ip") {
		return
	}
	tap(t)
	relayOn(t, firmwareFiles(t), bladeBook())
	console := blade(t, append(ovmf(t), "-device", "virtio-net-pci,netdev=n,bootindex=1,romfile=,mac="+macDisk)...)
	eventually(t, bladeLimit, "UEFI leaves PXE", func() bool { return console.contains("Remote boot cancelled") })
	eventually(t, bladeLimit, "UEFI leaves HTTP boot", func() bool { return console.contains("Start HTTP Boot over IPv6") })
}

// foreignDHCP makes prov0 a bridge with the blade's tap device on it and, behind a cable in a namespace of its own,
// dnsmasq giving addresses from .100 on.
func foreignDHCP(t *testing.T) {
	t.Helper()
	holder := exec.Command("unshare", "--net", "cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = holder.Wait()
	})
	pid := fmt.Sprint(holder.Process.Pid)
	eventually(t, time.Minute, "the second namespace exists", func() bool {
		theirs, err := os.Readlink("/proc/" + pid + "/ns/net")
		return err == nil && theirs != ours
	})
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "prov0", "type", "bridge")
	run(t, "ip", "addr", "add", "10.77.0.1/24", "dev", "prov0")
	run(t, "ip", "tuntap", "add", "blade0", "mode", "tap")
	run(t, "ip", "link", "add", "cable0", "type", "veth", "peer", "name", "eth0", "netns", pid)
	for _, port := range []string{"blade0", "cable0"} {
		run(t, "ip", "link", "set", port, "master", "prov0", "up")
	}
	run(t, "ip", "link", "set", "prov0", "up")
	for _, args := range []string{"addr add 10.77.0.99/24 dev eth0", "link set eth0 up"} {
		run(t, "nsenter", append([]string{"-t", pid, "-n", "ip"}, strings.Fields(args)...)...)
	}
	log := program(t, "nsenter", "-t", pid, "-n", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--user=root",
		"--dhcp-authoritative", "--dhcp-range=10.77.0.100,10.77.0.120", "--dhcp-leasefile="+filepath.Join(t.TempDir(), "leases"), "--log-dhcp")
	eventually(t, time.Minute, "dnsmasq is up", func() bool { return log.contains("IP range 10.77.0.100") })
}

// proxied boots a blade whose address comes from dnsmasq and whose boot file comes from us.
func proxied(t *testing.T, machine ...string) *recorder {
	foreignDHCP(t)
	cfg := firmwareFiles(t)
	cfg.Mode = ModeProxy
	_, rec := relayOn(t, cfg, bladeBook())
	program(t, "qemu-system-x86_64", append(append(qemuBase(), "-netdev", "tap,id=n,ifname=blade0,script=no,downscript=no"), machine...)...)
	eventually(t, bladeLimit, "iPXE fetches its script", sent(rec, HTTP, "/ipxe", "install debian-13"))
	ev, _ := rec.find(func(e Event) bool { return e.Protocol == HTTP })
	if !netip.MustParsePrefix("10.77.0.96/27").Contains(ev.Peer.Addr()) {
		t.Errorf("the blade's address is %v, not one of dnsmasq's", ev.Peer)
	}
	return rec
}

func TestProxyBIOS(t *testing.T) {
	if namespaced(t, "qemu-system-x86_64", "ip", "dnsmasq") {
		proxied(t, "-device", "virtio-net-pci,netdev=n,bootindex=1,mac="+macInstall)
	}
}

func TestProxyUEFI(t *testing.T) {
	if namespaced(t, "qemu-system-x86_64", "ip", "dnsmasq") {
		rec := proxied(t, append(ovmf(t), "-device", "virtio-net-pci,netdev=n,bootindex=1,romfile=,mac="+macInstall)...)
		if !sent(rec, TFTP, bootFileEFI, "sent")() {
			t.Error("the first stage did not come by TFTP")
		}
	}
}

// bootSector is a BIOS boot sector that writes text to the first serial port and halts.
func bootSector(text string) []byte {
	code := []byte{
		0x31, 0xc0, // xor ax,ax
		0x8e, 0xd8, // mov ds,ax
		0xbe, 0x15, 0x7c, // mov si,0x7c15
		0xba, 0xf8, 0x03, // mov dx,0x3f8
		0xac,       // next: lodsb
		0x84, 0xc0, // test al,al
		0x74, 0x03, // jz halt
		0xee,       // out dx,al
		0xeb, 0xf8, // jmp next
		0xf4,       // halt: hlt
		0xeb, 0xfd, // jmp halt
	}
	disk := make([]byte, 1<<20)
	copy(disk, code)
	copy(disk[len(code):], text)
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}
