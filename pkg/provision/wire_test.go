package provision_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
)

// TestNothingSecretOnTheWire installs a blade with the real agent, on a real disk, from the real servers, and searches all packets of the provisioning network:
// no private key is in them, neither the operator's nor one made on the blade. What is known to cross it is found there.
func TestNothingSecretOnTheWire(t *testing.T) {
	if !insideFleet(t) {
		return
	}
	size := fleetSize{Blades: 1, FirstStage: 16 << 10, Kernel: 32 << 10, Initrd: 32 << 10, Root: wireRoot(t)}
	s := startServers(t, size)
	wire := listen(t, "blades")
	s.say(t, "serve")
	serving := s.next(t, "serving")
	s.say(t, "arm")
	s.next(t, "armed")
	b := newSimBlade(0, newLAN(t, "blades"), serving.Trust, size)
	cmdline, err := b.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	m := newWireMachine(t)
	if err := m.install(t, cmdline, serving.Trust); err != nil {
		t.Fatal(err)
	}
	s.next(t, "installed")

	said := wire.said()
	private, public := m.hostKey(t)
	for what, secret := range map[string][]byte{"the host's private key": seedOf(t, private), "the key that signs orders": seedOfMinisign(t, serving.Secret)} {
		for _, form := range forms(secret) {
			for talk, text := range said {
				if bytes.Contains(text, form) {
					t.Errorf("%s is in %s", what, talk)
				}
			}
		}
	}
	for what, known := range map[string]string{"the order's id": argument(cmdline, "nubo.order"), "the host's public key": public, "the boot script": "#!ipxe"} {
		if !slices.ContainsFunc(slices.Collect(valuesOf(said)), func(text []byte) bool { return bytes.Contains(text, []byte(known)) }) {
			t.Errorf("%s is in none of %d conversations: the packets were not all seen", what, len(said))
		}
	}
	// The search itself must be able to find a key: the public one crosses the network in base64.
	raw, err := base64.StdEncoding.DecodeString(public)
	if err != nil || !slices.ContainsFunc(forms(raw[len(raw)-ed25519.PublicKeySize:]), func(form []byte) bool {
		return slices.ContainsFunc(slices.Collect(valuesOf(said)), func(text []byte) bool { return bytes.Contains(text, form) })
	}) {
		t.Errorf("the bytes of the public key are not found (%v)", err)
	}
	if wire.lost(t) > 0 {
		t.Error("packets came faster than they were read: not all were searched")
	}
}

func valuesOf(m map[string][]byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// forms are the ways in which the bytes of a secret may be written: as they are, in hexadecimal, in base64 from any place on.
func forms(secret []byte) [][]byte {
	out := [][]byte{secret, fmt.Appendf(nil, "%x", secret), fmt.Appendf(nil, "%X", secret)}
	for phase := range 3 {
		text := base64.StdEncoding.EncodeToString(append(make([]byte, phase), secret...))
		out = append(out, []byte(text[4:len(text)-4])) // what stands beside it changes its ends
	}
	return out
}

// seedOf is what is secret in an ed25519 key in OpenSSH's form; the public key is in that form, too.
func seedOf(t *testing.T, key []byte) []byte {
	t.Helper()
	parsed, err := ssh.ParseRawPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.(*ed25519.PrivateKey).Seed()
}

// seedOfMinisign is the same of a minisign key without a password: algorithms, salt, two limits, key number, then the key.
func seedOfMinisign(t *testing.T, key []byte) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(key)), "\n")
	raw, err := base64.StdEncoding.DecodeString(lines[len(lines)-1])
	const before = 2 + 2 + 2 + 32 + 8 + 8 + 8
	if err != nil || len(raw) != before+ed25519.PrivateKeySize+32 {
		t.Fatalf("a minisign key of %d bytes: %v", len(raw), err)
	}
	pair := ed25519.PrivateKey(raw[before : before+ed25519.PrivateKeySize])
	if !pair.Equal(ed25519.NewKeyFromSeed(pair.Seed())) {
		t.Fatal("a minisign key has its parts elsewhere")
	}
	return pair.Seed()
}

// wireRoot is the smallest root file system that the agent takes.
func wireRoot(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range []string{"./", "./etc/", "./mnt/", "./boot/", "./var/", "./var/lib/", "./root/", "./etc/passwd", "./etc/group"} {
		h, body := &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""
		if !strings.HasSuffix(name, "/") {
			body = map[string]string{"./etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "./etc/group": "root:x:0:\n"}[name]
			h = &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write([]byte(body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// wireMachine is blade 0 with a disk: a loop device.
type wireMachine struct{ dir, loop string }

func newWireMachine(t *testing.T) *wireMachine {
	t.Helper()
	m := &wireMachine{dir: t.TempDir()}
	image := filepath.Join(m.dir, "disk")
	for path, body := range map[string]string{
		"sys/class/dmi/id/product_serial": fleetSerial(0) + "\n", "sys/class/net/eth0/device/x": "", "agent": "agent", "disk": "",
		"sys/class/net/eth0/address":     net.HardwareAddr(fleetMAC(0)).String() + "\n",
		"proc/sys/kernel/random/boot_id": "boot-1\n", "proc/meminfo": "MemTotal:  2097152 kB\n", "proc/cpuinfo": "model name : Test CPU\n",
	} {
		err := os.MkdirAll(filepath.Dir(filepath.Join(m.dir, path)), 0o755)
		if err = errors.Join(err, os.WriteFile(filepath.Join(m.dir, path), []byte(body), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(image, 9<<30); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	m.loop = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		_ = exec.Command("partx", "--delete", m.loop).Run() // there may be none
		if out, err := exec.Command("losetup", "--detach", m.loop).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v %s", m.loop, err, out)
		}
	})
	return m
}

// Run runs the real tools, but shows only the loop device, under a serial number, and runs nothing inside the tiny image.
func (m *wireMachine) Run(ctx context.Context, c run.Cmd) ([]byte, error) {
	switch c.Name {
	case "chroot", "udevadm":
		return nil, nil
	case "lsblk":
		c.Args = append(slices.Clone(c.Args), m.loop)
	}
	out, err := run.Exec{}.Run(ctx, c)
	return bytes.Replace(out, []byte(`"serial": null`), []byte(`"serial": "root-01"`), 1), err
}

func (m *wireMachine) install(t *testing.T, cmdline string, trust []byte) error {
	i, err := installer.New(installer.Options{
		Relay: argument(cmdline, "nubo.relay"), OrderID: argument(cmdline, "nubo.order"), Trust: trust, Agent: filepath.Join(m.dir, "agent"),
		Sysroot: filepath.Join(m.dir, "run", "sysroot"), Sys: filepath.Join(m.dir, "sys"), Proc: filepath.Join(m.dir, "proc"), Runner: m, DiskTypes: []string{"loop"},
		BootLoaders: func(context.Context, *installer.Install) error { return nil },
		Log:         func(line string) { t.Log(line) },
	})
	if err != nil {
		return err
	}
	return i.Run(t.Context())
}

// hostKey reads the host's key from its disk.
func (m *wireMachine) hostKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(disk.PartPath(m.loop, disk.Number(disk.PartState)), dir, "ext4", unix.MS_RDONLY, "noload"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0) //nolint:errcheck // the namespace ends with the test
	key := filepath.Join(dir, slot.NuboDir, "ssh/ssh_host_ed25519_key")
	private, err1 := os.ReadFile(key)
	text, err2 := os.ReadFile(key + ".pub")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return private, strings.Fields(string(text))[1]
}

// capture hears every packet of an interface.
type capture struct {
	fd    int
	ended chan struct{}
	talks map[string]*talk
}

// talk is one direction of a conversation: datagrams as they came, segments of TCP by their place in it.
type talk struct {
	datagrams []byte
	segments  []segment
}

type segment struct {
	at   uint32
	data []byte
}

// listen begins to hear.
func listen(t *testing.T, name string) *capture {
	t.Helper()
	iface, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	c := &capture{fd: fd, ended: make(chan struct{}), talks: map[string]*talk{}}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index}))
	if err != nil {
		t.Fatal(err)
	}
	go c.hear()
	t.Cleanup(func() { _ = unix.Close(fd) })
	return c
}

// hear ends when the last packet of the test has come, and then nothing for a moment.
func (c *capture) hear() {
	defer close(c.ended)
	buf := make([]byte, 1<<17)
	for closing := false; ; {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && closing, err != nil && !errors.Is(err, unix.EAGAIN):
			return
		case err == nil && bytes.Contains(buf[:n], endOfCapture):
			closing = true
		case err == nil:
			c.take(buf[:n])
		}
	}
}

// endOfCapture is a packet that the test sends itself when there is nothing more to hear.
var endOfCapture = []byte("end of the capture")

// take files one Ethernet frame. What is no IPv4 is kept as it is.
func (c *capture) take(frame []byte) {
	const ethernet = 14
	if len(frame) < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP {
		c.talk("other frames").datagrams = append(c.talk("other frames").datagrams, frame...)
		return
	}
	ip := frame[ethernet:]
	ip = ip[:min(len(ip), int(binary.BigEndian.Uint16(ip[2:])))]
	head := int(ip[0]&15) * 4
	from, _ := netip.AddrFromSlice(ip[12:16])
	to, _ := netip.AddrFromSlice(ip[16:20])
	body := ip[head:]
	if len(body) < 8 {
		return
	}
	name := fmt.Sprintf("protocol %d %s:%d to %s:%d", ip[9], from, binary.BigEndian.Uint16(body), to, binary.BigEndian.Uint16(body[2:]))
	if ip[9] != unix.IPPROTO_TCP || len(body) < 20 {
		c.talk(name).datagrams = append(c.talk(name).datagrams, body[8:]...)
		return
	}
	if data := body[int(body[12]>>4)*4:]; len(data) > 0 {
		c.talk(name).segments = append(c.talk(name).segments, segment{binary.BigEndian.Uint32(body[4:]), bytes.Clone(data)})
	}
}

func (c *capture) talk(name string) *talk {
	if c.talks[name] == nil {
		c.talks[name] = &talk{}
	}
	return c.talks[name]
}

// said ends the capture and gives all that was said, conversation by conversation, in order.
func (c *capture) said() map[string][]byte {
	out := map[string][]byte{}
	if conn, err := net.Dial("udp4", netip.AddrPortFrom(fleetRelay, 9).String()); err == nil {
		_, _ = conn.Write(endOfCapture)
		_ = conn.Close()
	}
	<-c.ended
	for name, k := range c.talks {
		text := k.datagrams
		if len(k.segments) > 0 {
			first := k.segments[0].at // places wrap around, and conversations here are short
			slices.SortStableFunc(k.segments, func(a, b segment) int { return cmp.Compare(int32(a.at-first), int32(b.at-first)) })
		}
		for _, s := range k.segments {
			text = append(text, s.data...)
		}
		out[name] = text
	}
	return out
}

// lost counts packets that the kernel had no room to keep.
func (c *capture) lost(t *testing.T) uint32 {
	t.Helper()
	st, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		t.Fatal(err)
	}
	return st.Drops
}
