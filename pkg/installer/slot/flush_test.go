package slot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// fill writes until there is no more room, and says how much that was.
func fill(t *testing.T, path string) (written int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := bytes.Repeat([]byte("x"), 4096); ; written += len(block) {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return written
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskLosesData writes a file to a disk that takes everything but this file's bytes: its free blocks are holes in a file on a file system that is full, so the
// kernel answers writes there with an error, and writes of anything that was there before succeed. The file system sees no fault of its own.
func TestDiskLosesData(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a loop device: needs root")
	}
	small, root := t.TempDir(), t.TempDir()
	tool(t, "mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", small)
	t.Cleanup(func() { tool(t, "umount", small) })
	image := filepath.Join(small, "disk")
	if err := os.WriteFile(image, bytes.Repeat([]byte{0}, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := tool(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { tool(t, "losetup", "--detach", loop) })
	tool(t, "mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", loop)
	tool(t, "mount", loop, root)
	free := fill(t, filepath.Join(root, "all"))
	if err := os.WriteFile(filepath.Join(root, "kernel"), nil, 0o600); err != nil { // its place in the directory
		t.Fatal(err)
	}
	unix.Sync()
	blocks := strings.Fields(tool(t, "debugfs", "-R", "blocks /all", loop))
	if err := os.Remove(filepath.Join(root, "all")); err != nil {
		t.Fatal(err)
	}
	tool(t, "umount", root)
	punch(t, image, blocks)
	fill(t, filepath.Join(small, "rest"))
	tool(t, "mount", loop, root)
	t.Cleanup(func() { tool(t, "umount", root) })

	d, err := watch(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.flush(); err != nil {
		t.Fatalf("before anything is written: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(root, "kernel"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeros{}, int64(free/2))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("the kernel has refused what it should have taken: %v", err)
	}
	if err := d.flush(); !errors.Is(err, unix.EIO) && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("half of the disk's room was written and lost, and flush says %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'z'
	}
	return len(p), nil
}

// punch makes holes of a file's blocks of 4 KiB.
func punch(t *testing.T, path string, blocks []string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, text := range blocks {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, n*4096, 4096)
		}
		if err != nil {
			t.Fatal(fmt.Errorf("block %s: %w", text, err))
		}
	}
}
