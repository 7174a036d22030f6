package installer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// The nonces of the orders after the first.
const (
	secondNonce = "22222222222222222222222222222222"
	thirdNonce  = "33333333333333333333333333333333"
)

// osdFile is what a reinstall must not lose.
const osdFile = "var/lib/ceph/osd/ceph-0/keyring"

// lives installs a blade and gives its state something to lose.
func lives(t *testing.T) (b *blade, keys []string) {
	t.Helper()
	b = newBlade(t)
	b.relay.arm(t, testOrder(), b.relay.key)
	if err := b.install(t, "boot-1"); err != nil {
		t.Fatal(err)
	}
	b.change(t, disk.PartState, func(dir string) {
		path := filepath.Join(dir, osdFile)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("secret"), 0o600)); err != nil {
			t.Fatal(err)
		}
	})
	b.change(t, disk.PartA, func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "of-the-first"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	tool(t, "mkfs.ext4", "-q", "-F", disk.PartPath(b.loop, disk.Number(disk.PartB)))
	return b, b.relay.state().Result.HostKeys
}

// change shows a partition's files for writing.
func (b *blade) change(t *testing.T, name string, do func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	tool(t, "mount", disk.PartPath(b.loop, disk.Number(name)), dir)
	defer tool(t, "umount", dir)
	do(dir)
}

// nextOrder is an order for a node that was installed before.
func nextOrder(goal order.Goal, nonce string, unfinished ...string) order.Order {
	o := testOrder()
	o.Goal, o.Nonce = goal, nonce
	o.Disks.Unfinished, o.Disks.Keep = unfinished, append([]string{testOrder().Nonce}, unfinished...)
	return o
}

// anew checks that a system was laid down anew under a nonce, and that what the host keeps is as it was.
func (b *blade) anew(t *testing.T, nonce string, keys []string) {
	t.Helper()
	if r := b.relay.state(); r.Phase != order.PhaseInstalled || !slices.Equal(r.Result.HostKeys, keys) {
		t.Errorf("the order is %s with host keys %v, want those of before: %v", r.Phase, r.Result.HostKeys, keys)
	}
	b.mounted(t, disk.PartState, func(dir string) {
		if got, err := os.ReadFile(filepath.Join(dir, osdFile)); err != nil || string(got) != "secret" {
			t.Errorf("what Ceph keeps: %v %q", err, got)
		}
	})
	b.mounted(t, disk.PartA, func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, "of-the-first")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the slot is the one of before: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, boot.SlotConfig)); err != nil {
			t.Error(err)
		}
		fstab, err := os.ReadFile(filepath.Join(dir, "etc/fstab"))
		id := strings.ToLower(tool(t, "sfdisk", "--part-uuid", b.loop, "6"))
		if err != nil || string(fstab) != slot.Fstab(nonce, disk.PartA) || !strings.Contains(string(fstab), "PARTUUID="+id+" /state ") {
			t.Errorf("the state partition has identity %s, fstab is %v\n%s", id, err, fstab)
		}
	})
	b.mounted(t, disk.PartBoot, func(dir string) {
		if env, err := boot.ReadEnv(boot.EnvPath(dir)); err != nil || env[boot.DefaultSlot] != "a" || env[boot.LaidUnder] != nonce {
			t.Errorf("boot environment %v, %v", env, err)
		}
	})
	if found := tool(t, "wipefs", "--no-act", disk.PartPath(b.loop, disk.Number(disk.PartB))); found != "" {
		t.Errorf("slot b still holds something: %s", found)
	}
}

// A reinstall lays the slots down anew and keeps what outlives slots: nothing of a Ceph OSD is lost, and the host stays known by its key.
func TestReinstallKeepsTheState(t *testing.T) {
	b, keys := lives(t)
	b.relay.arm(t, nextOrder(order.Reinstall, secondNonce), b.relay.key)
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatal(err)
	}
	b.anew(t, secondNonce, keys)
	again := nextOrder(order.Reinstall, thirdNonce)
	again.Disks.Keep = []string{secondNonce}
	b.relay.arm(t, again, b.relay.key)
	if err := b.install(t, "boot-3"); err != nil {
		t.Fatalf("once more: %v", err)
	}
	b.anew(t, thirdNonce, keys)
}

// A reinstall that breaks off after its first write goes on without losing the state: in the machine's next boot, and under another order.
func TestBrokenReinstallKeepsTheState(t *testing.T) {
	for name, next := range map[string]func(b *blade){
		"same order":        func(*blade) {},
		"an install order":  func(b *blade) { b.relay.arm(t, nextOrder(order.Install, thirdNonce, secondNonce), b.relay.key) },
		"another reinstall": func(b *blade) { b.relay.arm(t, nextOrder(order.Reinstall, thirdNonce, secondNonce), b.relay.key) },
	} {
		t.Run(name, func(t *testing.T) {
			b, keys := lives(t)
			b.relay.arm(t, nextOrder(order.Reinstall, secondNonce), b.relay.key)
			whole := b.relay.chunks
			b.relay.change(func() { b.relay.chunks = map[model.Digest][]byte{} })
			if err := b.install(t, "boot-2"); err == nil || errors.Is(err, manifest.ErrChunk) {
				t.Fatalf("without chunks: %v", err)
			}
			b.relay.change(func() { b.relay.chunks = whole })
			next(b)
			if err := b.install(t, "boot-3"); err != nil {
				t.Fatal(err)
			}
			b.anew(t, b.relay.state().Order.Nonce, keys)
		})
	}
}

// The table is the first write: a machine that dies right behind it has a boot environment of the install before, which is not this order's end.
func TestReinstallThatDiedBehindItsTable(t *testing.T) {
	b, keys := lives(t)
	o := nextOrder(order.Reinstall, secondNonce)
	b.relay.arm(t, o, b.relay.key)
	devices, err := disk.Scanner{Runner: b, Types: []string{"loop"}, Sys: filepath.Join(b.dir, "sys")}.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := disk.Keeping(devices[0].Table, 0, secondNonce)
	if err == nil {
		err = l.Write(t.Context(), b, b.loop)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := b.install(t, "boot-2"); err != nil {
		t.Fatal(err)
	}
	b.anew(t, secondNonce, keys)
}

// What cannot be kept is not written over.
func TestReinstallRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		order func(*order.Order)
		disk  func(t *testing.T, b *blade)
		want  error
	}{
		"slots of another size":  {order: func(o *order.Order) { o.Disks.SlotGiB = 4; o.Disks.Root.Serial = testSerial }, want: disk.ErrState},
		"a disk of another node": {order: func(o *order.Order) { o.Disks.Keep = []string{thirdNonce} }, want: disk.ErrForeign},
		"an install unasked":     {order: func(o *order.Order) { o.Goal = order.Install }, want: disk.ErrForeign},
		"a state that cannot be read": {disk: func(t *testing.T, b *blade) {
			tool(t, "dd", "if=/dev/zero", "of="+disk.PartPath(b.loop, disk.Number(disk.PartState)), "bs=4k", "count=1", "conv=notrunc,fsync")
		}, want: disk.ErrState},
		"another partition beside ours": {disk: func(t *testing.T, b *blade) {
			tool(t, "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--part-label", b.loop, "5", "somebody's")
		}, want: disk.ErrState},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := lives(t)
			o := nextOrder(order.Reinstall, secondNonce)
			if c.order != nil {
				c.order(&o)
			}
			if c.disk != nil {
				c.disk(t, b)
			}
			b.relay.arm(t, o, b.relay.key)
			before := beginning(t, b.loop)
			err := b.install(t, "boot-2")
			var fault *Fault
			if !errors.As(err, &fault) || fault.Wrote || !errors.Is(err, c.want) || b.relay.state().Phase != order.PhaseRefused {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if after := beginning(t, b.loop); after != before {
				t.Error("the disk was written")
			}
			if p := b.relay.state().Problem; p.Remedy == "" {
				t.Errorf("no remedy: %+v", p)
			}
		})
	}
}

// A new disk in an old node has nothing to keep.
func TestReinstallOntoANewDisk(t *testing.T) {
	b := newBlade(t)
	b.relay.arm(t, nextOrder(order.Reinstall, secondNonce), b.relay.key)
	if err := b.install(t, "boot-1"); err != nil {
		t.Fatal(err)
	}
	if b.relay.state().Phase != order.PhaseInstalled {
		t.Errorf("record: %+v", b.relay.state())
	}
}
