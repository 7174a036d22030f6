//go:build e2e

package rack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Unchanged remembers a blade's disk, whose blade must be off, and returns what fails the test when the disk is another one later.
func (r *Rack) Unchanged(t *testing.T, blade, disk string) (check func(t *testing.T)) {
	t.Helper()
	was := r.sum(t, blade, disk)
	return func(t *testing.T) {
		t.Helper()
		if now := r.sum(t, blade, disk); !bytes.Equal(was, now) {
			t.Errorf("disk %s of %s was written to", disk, blade)
		}
	}
}

func (r *Rack) sum(t *testing.T, blade, disk string) []byte {
	t.Helper()
	if r.Power(t, blade) != "off" {
		t.Fatalf("%s is on: its disks are QEMU's", blade)
	}
	f, err := os.Open(r.Disk(blade, disk))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

// Raw is a copy of a blade's disk, whose blade must be off, as plain sectors in a sparse file.
func (r *Rack) Raw(ctx context.Context, t *testing.T, blade, disk string) string {
	t.Helper()
	if r.Power(t, blade) != "off" {
		t.Fatalf("%s is on: its disks are QEMU's", blade)
	}
	raw := filepath.Join(t.TempDir(), disk+".raw")
	if out, err := exec.CommandContext(ctx, "qemu-img", "convert", "-O", "raw", r.Disk(blade, disk), raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img convert: %v\n%s", err, out)
	}
	return raw
}

// NotBootable fails the test when any firmware could start from a raw disk: boot code for BIOS, a loader on the ESP for UEFI, or a slot that
// GRUB would take.
func NotBootable(ctx context.Context, t *testing.T, raw string) {
	t.Helper()
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	code := make([]byte, 440) // of the master boot record; what follows is the partition table
	if _, err := io.ReadFull(f, code); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(code, make([]byte, len(code))) {
		t.Error("there is boot code in the master boot record")
	}
	if offset := partition(ctx, t, raw, "nubo-esp"); offset != "" {
		out, err := exec.CommandContext(ctx, "mdir", "-/", "-b", "-i", raw+"@@"+offset).CombinedOutput()
		if err == nil && strings.Contains(strings.ToLower(string(out)), ".efi") {
			t.Errorf("there is a boot loader on the ESP:\n%s", out)
		}
	}
	if offset := partition(ctx, t, raw, "nubo-a"); offset != "" {
		out, _ := exec.CommandContext(ctx, "debugfs", "-R", "cat /boot/nubo.cfg", raw+"?offset="+offset).Output()
		if len(out) > 0 {
			t.Errorf("slot a says that it is complete: %s", out)
		}
	}
}

// partition is the offset in bytes of a partition of that name, empty when there is none.
func partition(ctx context.Context, t *testing.T, raw, name string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, "partx", "--show", "--raw", "--noheadings", "--output", "NAME,START", raw).Output()
	if err != nil {
		return "" // no partition table
	}
	for line := range strings.Lines(string(out)) {
		var have string
		var start int64
		if n, _ := fmt.Sscan(line, &have, &start); n == 2 && have == name {
			return fmt.Sprint(start * 512)
		}
	}
	return ""
}
