package installer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/installer/run"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

const (
	testSerial = "root-01"
	testMAC    = "52:54:00:77:00:01"
	diskSize   = 9 << 30
)

// blade is a machine of one loop device.
type blade struct {
	loop  string
	image string // file behind the loop device
	dir   string
	relay *relay
	ran   []string
	// serial is what the disk shows; looked counts how often the disks were listed, and looking is called before each time.
	serial  string
	looked  int
	looking func(n int)
	// patience is how long a neighbour is waited for.
	patience time.Duration
	hear     func(ctx context.Context, card string, heard func(order.Neighbour, bool)) error

	mu   sync.Mutex
	said []string // the agent's log
}

func (b *blade) say(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, line)
}

// Run runs the real tools, but shows only the loop device, under a serial number, and runs nothing inside the tiny image.
func (b *blade) Run(ctx context.Context, c run.Cmd) ([]byte, error) {
	if c.Name == "chroot" {
		b.ran = append(b.ran, strings.Join(c.Args[1:], " "))
		return nil, nil
	}
	if c.Name == "udevadm" { // nobody listens on the machines that run the tests
		return nil, nil
	}
	if c.Name == "lsblk" {
		c.Args = append(slices.Clone(c.Args), b.loop)
		if b.looked++; b.looking != nil {
			b.looking(b.looked)
		}
	}
	out, err := run.Exec{}.Run(ctx, c)
	if c.Name == "lsblk" {
		out = bytes.Replace(out, []byte(`"serial": null`), []byte(`"serial": "`+b.serial+`"`), 1)
	}
	return out, err
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// newBlade makes a blade with an empty disk, and a relay with a tiny image.
func newBlade(t *testing.T) *blade {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("lays out a loop device: needs root")
	}
	b := &blade{dir: t.TempDir(), serial: testSerial}
	b.image = filepath.Join(b.dir, "disk")
	if err := os.WriteFile(b.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(b.image, diskSize); err != nil {
		t.Fatal(err)
	}
	b.loop = tool(t, "losetup", "--find", "--show", b.image)
	t.Cleanup(func() {
		exec.Command("partx", "--delete", b.loop).Run() // there may be none
		if out, err := exec.Command("losetup", "--detach", b.loop).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v %s", b.loop, err, out)
		}
	})
	for path, body := range map[string]string{
		"sys/class/dmi/id/product_serial": "BLADE-1\n", "sys/class/net/eth0/address": testMAC + "\n", "sys/class/net/eth0/device/x": "",
		"proc/sys/kernel/random/boot_id": "boot-1\n", "proc/meminfo": "MemTotal:  2097152 kB\n", "proc/cpuinfo": "model name : Test CPU\n", "agent": "agent",
	} {
		b.put(t, path, body)
	}
	b.relay = newRelay(t, tinyRoot(t))
	return b
}

func (b *blade) put(t *testing.T, path, body string) {
	t.Helper()
	path = filepath.Join(b.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
}

func tinyRoot(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range []string{"./", "./etc/", "./mnt/", "./boot/", "./var/", "./var/lib/", "./var/lib/libvirt/", "./var/lib/libvirt/images/", "./root/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	big := strings.Repeat("some kernel code\n", 400_000) // more than one chunk
	for name, body := range map[string]string{"./etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "./etc/group": "root:x:0:\n", "./vmlinuz": big} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func testOrder() order.Order {
	now := time.Now()
	return order.Order{
		FormatVersion: order.FormatVersion, ID: "o-1", Goal: order.Install, Node: "lab/r1/az1/a/blade-01", Hostname: "blade-01",
		Machine: order.Machine{Serial: "BLADE-1", MACs: []string{testMAC}}, Nonce: "00112233445566778899aabbccddeeff",
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour), MaxAttempts: 2, Spec: model.DigestBytes([]byte("spec")),
		Disks:  order.Disks{Root: model.DeviceHints{Serial: testSerial}},
		Config: []byte(`{"ignition":{"version":"3.3.0"},"passwd":{"users":[{"name":"root","sshAuthorizedKeys":["ssh-ed25519 KEY"]}]},"storage":{"files":[{"path":"/var/lib/libvirt/x","contents":{"source":"data:,x"}}]}}`),
	}
}

// install runs the installer once, in a boot of its own.
func (b *blade) install(t *testing.T, bootID string) error {
	t.Helper()
	b.put(t, "proc/sys/kernel/random/boot_id", bootID+"\n")
	i, err := New(Options{
		Relay: b.relay.URL, OrderID: "o-1", Trust: b.relay.trust, Agent: filepath.Join(b.dir, "agent"), Sysroot: filepath.Join(b.dir, "run", "sysroot"),
		Sys: filepath.Join(b.dir, "sys"), Proc: filepath.Join(b.dir, "proc"), Runner: b, DiskTypes: []string{"loop"}, Patience: 2 * time.Second,
		BootLoaders: func(context.Context, *Install) error { return nil },
		Log:         func(line string) { t.Log(line); b.say(line) },
		Hear:        b.hear,
	})
	if err != nil {
		t.Fatal(err)
	}
	i.cablingTime = b.patience
	return i.Run(t.Context())
}

// tellsNoSecret looks at all that the agent has printed and reported so far: nothing of the host's configuration, and no private key, is in it.
func (b *blade) tellsNoSecret(t *testing.T, o order.Order) {
	t.Helper()
	said := strings.Join(b.said, "\n")
	record := b.relay.state()
	if record.Problem != nil {
		said += fmt.Sprintf("%+v", *record.Problem)
	}
	if len(b.said) == 0 {
		t.Error("the agent has said nothing")
	}
	for _, secret := range []string{"PRIVATE KEY", "sshAuthorizedKeys", "ssh-ed25519", "data:,x", string(o.Config)} {
		if strings.Contains(said, secret) {
			t.Errorf("the agent's log has %q in it:\n%s", secret, said)
		}
	}
}

// mounted shows a partition's files, read-only.
func (b *blade) mounted(t *testing.T, name string, look func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	tool(t, "mount", "-o", "ro,noload", disk.PartPath(b.loop, disk.Number(name)), dir)
	defer tool(t, "umount", dir)
	look(dir)
}

// beginning is the digest of a device's first 64 MiB: table, first partitions, superblocks.
func beginning(t *testing.T, path string) model.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return model.DigestBytes(b)
}

// untouched proves that no byte of the empty disk was written.
func (b *blade) untouched(t *testing.T) {
	t.Helper()
	st, err := os.Stat(b.image)
	if err != nil {
		t.Fatal(err)
	}
	if kib := tool(t, "du", "-k", b.image); !strings.HasPrefix(kib, "0\t") || st.Size() != diskSize {
		t.Errorf("the disk was written: %s", kib)
	}
}

func TestInstall(t *testing.T) {
	b := newBlade(t)
	b.relay.arm(t, testOrder(), b.relay.key)
	if err := b.install(t, "boot-1"); err != nil {
		t.Fatal(err)
	}
	record := b.relay.state()
	if record.Phase != order.PhaseInstalled || record.Facts.CPUModel != "Test CPU" || record.Facts.MemoryMiB != 2048 || len(record.Facts.Disks) != 1 {
		t.Errorf("record: %+v", record)
	}
	table := tool(t, "sfdisk", "--dump", b.loop)
	for _, want := range []string{"label-id: 00112233-4455-6677-8899-AABBCCDDEEFF", "nubo-bios", "nubo-esp", "nubo-boot", "nubo-a", "nubo-b", "nubo-state"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %s:\n%s", want, table)
		}
	}
	b.mounted(t, disk.PartA, func(dir string) {
		for path, want := range map[string]string{
			"etc/hostname": "blade-01\n", "etc/fstab": slot.Fstab(testOrder().Nonce, disk.PartA), "root/.ssh/authorized_keys": "ssh-ed25519 KEY\n",
			slot.AgentFile: "agent", slot.ConfigFile: string(testOrder().Config), slot.TrustFile: string(b.relay.trust),
		} {
			if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
				t.Errorf("%s: %v %q", path, err, got)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, boot.SlotConfig)); err != nil {
			t.Error(err)
		}
	})
	b.mounted(t, disk.PartState, func(dir string) {
		key, err := os.ReadFile(filepath.Join(dir, slot.NuboDir, "ssh/ssh_host_ed25519_key.pub"))
		if err != nil || !slices.Equal(record.Result.HostKeys, []string{strings.TrimSpace(string(key))}) {
			t.Errorf("host key %q, reported %v, %v", key, record.Result.HostKeys, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "var/lib/libvirt/x")); err != nil {
			t.Errorf("a configured file did not reach the state partition: %v", err)
		}
	})
	b.mounted(t, disk.PartBoot, func(dir string) {
		if env, err := boot.ReadEnv(boot.EnvPath(dir)); err != nil || env[boot.DefaultSlot] != "a" {
			t.Errorf("boot environment %v, %v", env, err)
		}
	})
	if want := "systemctl enable -- " + slot.TryUnit; !slices.Contains(b.ran, want) {
		t.Errorf("not run: %s in %v", want, b.ran)
	}
	// The nonce is used up: another boot is refused, and the disk keeps its system.
	before := beginning(t, disk.PartPath(b.loop, disk.Number(disk.PartA)))
	err := b.install(t, "boot-2")
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != 409 {
		t.Errorf("second use: %v", err)
	}
	if after := beginning(t, disk.PartPath(b.loop, disk.Number(disk.PartA))); after != before {
		t.Error("second use: the disk was written")
	}
}

// When only the report of success was lost, the next boot makes up for it and writes nothing.
func TestLostReport(t *testing.T) {
	b := newBlade(t)
	b.relay.arm(t, testOrder(), b.relay.key)
	var lost *order.Installed
	b.relay.change(func() { b.relay.deaf = true })
	if err := b.install(t, "boot-1"); err == nil {
		t.Fatal("a report that nobody took passes for one")
	}
	b.relay.change(func() {
		b.relay.deaf = false
		lost = b.relay.lost
	})
	before := beginning(t, disk.PartPath(b.loop, disk.Number(disk.PartA)))
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatal(err)
	}
	if after := beginning(t, disk.PartPath(b.loop, disk.Number(disk.PartA))); after != before {
		t.Error("the slot was written again")
	}
	got := b.relay.state()
	if got.Phase != order.PhaseInstalled || lost == nil || !slices.Equal(got.Result.HostKeys, lost.HostKeys) {
		t.Errorf("record %+v, the lost report was %+v", got.Result, lost)
	}
}

// A wrong chunk leaves a slot that does not boot; the next boot goes on with the disk because it carries the nonce, and no more often
// than the order says.
func TestWrongChunkThenContinuation(t *testing.T) {
	b := newBlade(t)
	o := testOrder()
	b.relay.arm(t, o, b.relay.key)
	whole := map[model.Digest][]byte{}
	b.relay.change(func() {
		for d, frame := range b.relay.chunks {
			whole[d] = frame
			b.relay.chunks[d] = append([]byte("x"), frame[1:]...)
		}
	})
	err := b.install(t, "boot-1")
	if !errors.Is(err, manifest.ErrChunk) {
		t.Fatalf("wrong chunk: %v", err)
	}
	record := b.relay.state()
	if record.Phase != order.PhaseFailed || record.Problem.Remedy == "" || len(record.Problem.Log) == 0 {
		t.Errorf("record: %+v %+v", record, record.Problem)
	}
	b.tellsNoSecret(t, o)
	b.mounted(t, disk.PartA, func(dir string) {
		if entries, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || !slices.Equal(entries, []string{filepath.Join(dir, "lost+found")}) {
			t.Errorf("a wrong chunk was unpacked: %v %v", entries, err)
		}
	})
	b.relay.change(func() { b.relay.chunks = whole })
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatalf("continuation: %v", err)
	}
	b.tellsNoSecret(t, o)
	if got := b.relay.state(); got.Phase != order.PhaseInstalled || got.Attempts != 2 {
		t.Errorf("after the continuation: %s, %d attempts", got.Phase, got.Attempts)
	}
}

// Whatever is wrong before the first write, nothing is written, and the report says what and what to do.
func TestRefusals(t *testing.T) {
	_, stranger, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		order func(*order.Order)
		relay func(t *testing.T, b *blade)
		key   *minisign.PrivateKey
		want  error
	}{
		"signature of a stranger": {key: &stranger, want: order.ErrSignature},
		"changed after signing":   {relay: func(_ *testing.T, b *blade) { b.relay.signed.Payload[20] ^= 1 }, want: order.ErrSignature},
		"expired":                 {order: func(o *order.Order) { o.ExpiresAt = time.Now().Add(-time.Second) }, want: order.ErrExpired},
		"another serial number":   {order: func(o *order.Order) { o.Machine.Serial = "BLADE-2" }, want: order.ErrMachine},
		"another address":         {order: func(o *order.Order) { o.Machine.MACs = []string{"52:54:00:00:00:00"} }, want: order.ErrMachine},
		"another order":           {order: func(o *order.Order) { o.ID = "o-2" }, want: order.ErrMalformed},
		"no such disk":            {order: func(o *order.Order) { o.Disks.Root.Serial = "root-02" }, want: disk.ErrNoDisk},
		"too small for the slots": {order: func(o *order.Order) { o.Disks.SlotGiB = 100 }, want: disk.ErrTooSmall},
		"config with disks": {order: func(o *order.Order) {
			o.Config = []byte(`{"ignition":{"version":"3.3.0"},"storage":{"disks":[{"device":"/dev/vda"}]}}`)
		}, want: hostfiles.ErrUnsupported},
		"kernel argument for GRUB": {order: func(o *order.Order) { o.KernelArgs = []string{"$root"} }, want: boot.ErrKernelArg},
		"manifest changed": {relay: func(_ *testing.T, b *blade) {
			b.relay.image = bytes.Replace(b.relay.image, []byte(`"payload":"eyJ`), []byte(`"payload":"eyK`), 1)
		}, want: manifest.ErrSignature},
		"LUKS": {order: func(o *order.Order) { o.Disks.LUKS = true }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlade(t)
			o, key := testOrder(), b.relay.key
			if c.order != nil {
				c.order(&o)
			}
			if c.key != nil {
				key = *c.key
			}
			b.relay.arm(t, o, key)
			if c.relay != nil {
				b.relay.change(func() { c.relay(t, b) })
			}
			err := b.install(t, "boot-1")
			var fault *Fault
			if !errors.As(err, &fault) || fault.Wrote || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			b.untouched(t)
			last := b.relay.reports[len(b.relay.reports)-1]
			if last.Kind != order.ReportRefused || last.Problem.Got == "" || c.want != nil && last.Problem.Remedy == "" {
				t.Errorf("report: %+v %+v", last, last.Problem)
			}
		})
	}
}

func TestForeignDataIsRefused(t *testing.T) {
	b := newBlade(t)
	tool(t, "mkfs.ext4", "-q", "-F", b.loop)
	before := beginning(t, b.loop)
	o := testOrder()
	b.relay.arm(t, o, b.relay.key)
	err := b.install(t, "boot-1")
	if !errors.Is(err, disk.ErrForeign) || !strings.Contains(err.Error(), "ext4") {
		t.Fatalf("got %v", err)
	}
	if after := beginning(t, b.loop); after != before {
		t.Error("the disk was written")
	}
	if got := b.relay.state(); got.Phase != order.PhaseRefused || got.Attempts != 0 {
		t.Errorf("record: %+v", got)
	}
	o.Disks.Consent = []string{testSerial}
	b.relay.arm(t, o, b.relay.key)
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatalf("with consent: %v", err)
	}
}

// The disk is looked at once more when the first write was granted: a name that leads to another disk by then, or a disk on which somebody has put something, is
// not written.
func TestDiskThatChangesBeforeTheFirstWrite(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *blade){
		"another disk":  func(_ *testing.T, b *blade) { b.serial = "data-07" },
		"a file system": func(t *testing.T, b *blade) { tool(t, "mkfs.ext4", "-q", "-F", b.loop) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlade(t)
			o := testOrder()
			o.Disks.Root = model.DeviceHints{MinSizeGiB: 8}
			b.relay.arm(t, o, b.relay.key)
			var before model.Digest
			b.looking = func(n int) {
				if n == 2 {
					change(t, b)
					before = beginning(t, b.loop)
				}
			}
			if err := b.install(t, "boot-1"); !errors.Is(err, disk.ErrChanged) {
				t.Fatalf("got %v", err)
			}
			if after := beginning(t, b.loop); after != before {
				t.Error("the disk was written")
			}
			if got := b.relay.state(); got.Phase != order.PhaseRefused || got.Problem == nil || !strings.Contains(got.Problem.Remedy, "find out which disk") {
				t.Errorf("record: %+v", got)
			}
		})
	}
}
