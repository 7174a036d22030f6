package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// TestTornAtEveryByte cuts the file within the last records, which were written at once and never acknowledged, at every byte: all records before the
// cut stay, and writing goes on.
func TestTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	for i := range 3 {
		mustAppend(t, j, intent(i))
	}
	path, before := readSegment(t, dir)
	j.write([]*request{{rec: intent(3)}, {rec: intent(4)}, {rec: intent(5)}})
	_, after := readSegment(t, dir)
	for cut := len(before); cut <= len(after); cut++ {
		if err := os.WriteFile(path, after[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		reopen(t, dir, 3+int64(bytes.Count(after[len(before):cut], []byte{'\n'})), cut)
	}
}

// reopen opens what a crash left, expects that many records, writes another and verifies everything.
func reopen(t testing.TB, dir string, want int64, at int) {
	t.Helper()
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("cut at %d: %v", at, err)
	}
	if j.pos.Seq != want {
		t.Fatalf("cut at %d: %d records are left, want %d", at, j.pos.Seq, want)
	}
	mustAppend(t, j, intent(9))
	if err := j.out.Close(); err != nil { // as if killed: no checkpoint
		t.Fatal(err)
	}
	if n := count(t, dir); n != want+1 {
		t.Fatalf("cut at %d: %d records after going on", at, n)
	}
}

// TestTornBatch leaves any mix of the disk blocks of a batch that was never acknowledged, as a crash of the machine may.
func TestTornBatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		j := mustOpen(t, dir, Options{})
		acked := rapid.IntRange(0, 5).Draw(rt, "acknowledged")
		for i := range acked {
			mustAppend(t, j, intent(i))
		}
		path, safe := readSegment(t, dir)
		var batch []*request
		for i := range rapid.IntRange(1, 12).Draw(rt, "batch") {
			batch = append(batch, &request{rec: intent(i)})
		}
		j.write(batch)
		_, all := readSegment(t, dir)
		end := rapid.IntRange(len(safe), len(all)-1).Draw(rt, "end")
		data := bytes.Clone(all[:end])
		block := rapid.SampledFrom([]int{512, 4096}).Draw(rt, "block")
		holes := false
		for b := len(safe) / block; b*block < len(data); b++ {
			if rapid.Bool().Draw(rt, "hole") {
				from := max(b*block, len(safe))
				clear(data[from:min((b+1)*block, len(data))])
				holes = true
			}
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			rt.Fatal(err)
		}
		j, err := Open(dir, Options{})
		if err != nil {
			rt.Fatalf("holes %v: %v", holes, err)
		}
		if j.pos.Seq < int64(acked) {
			rt.Fatalf("%d of %d acknowledged records are left", j.pos.Seq, acked)
		}
		mustAppend(t, j, intent(99))
		mustClose(t, j)
		count(t, dir)
	})
}

// TestEdited flips a low, a middle (the case of a letter) and the high bit of every byte of what was acknowledged: each is found, and nothing is
// overwritten.
func TestEdited(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	for i := range 4 {
		mustAppend(t, j, intent(i))
	}
	path, good := readSegment(t, dir)
	lastLine := bytes.LastIndexByte(good[:len(good)-1], '\n') + 1
	for n := range 3 * len(good) {
		i, bit := n/3, []byte{0x01, 0x20, 0x80}[n%3]
		bad := bytes.Clone(good)
		bad[i] ^= bit
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir); i < len(good)-1 && !errors.Is(err, state.ErrDamaged) {
			t.Fatalf("byte %d: verify says %v", i, err)
		}
		if i >= lastLine {
			continue // what is not JSON behind the last acknowledged record looks like a crash
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, state.ErrDamaged) && !errors.Is(err, state.ErrFenced) {
			t.Fatalf("byte %d: open says %v", i, err)
		}
		if _, now := readSegment(t, dir); !bytes.Equal(now, bad) {
			t.Fatalf("byte %d: the damaged file was changed", i)
		}
	}
}

func TestRecordsTakenAway(t *testing.T) {
	for name, edit := range map[string]func(lines []string) []string{
		"first":  func(l []string) []string { return l[1:] },
		"middle": func(l []string) []string { return append(l[:2:2], l[3:]...) },
		"last":   func(l []string) []string { return l[:len(l)-1] },
		"swap":   func(l []string) []string { l[1], l[2] = l[2], l[1]; return l },
		"all":    func([]string) []string { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir, Options{})
			for i := range 5 {
				mustAppend(t, j, intent(i))
			}
			mustClose(t, j)
			path, data := readSegment(t, dir)
			lines := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
			lines[len(lines)-1] += "\n"
			if err := os.WriteFile(path, []byte(strings.Join(edit(lines), "")), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(dir); !errors.Is(err, state.ErrDamaged) {
				t.Fatalf("verify: %v", err)
			}
		})
	}
}

// TestDiskFull: the record is refused, the journal stays as it was, and goes on when there is room.
func TestDiskFull(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		var disk *faulty
		j := mustOpen(t, dir, Options{open: func(path string, size int64) (file, error) {
			f, err := openFile(path, size)
			disk = &faulty{file: f, room: -1}
			return disk, err
		}})
		mustAppend(t, j, intent(0))
		disk.room = rapid.IntRange(0, 400).Draw(rt, "room")
		if _, err := j.Append(t.Context(), intent(1)); !errors.Is(err, state.ErrFull) {
			rt.Fatalf("%v", err)
		}
		if n := count(t, dir); n != 1 {
			rt.Fatalf("%d records", n)
		}
		disk.room = -1
		mustAppend(t, j, intent(2))
		mustClose(t, j)
		if n := count(t, dir); n != 2 {
			rt.Fatalf("%d records", n)
		}
	})
}

func TestSyncFails(t *testing.T) {
	dir := t.TempDir()
	var disk *faulty
	j := mustOpen(t, dir, Options{open: func(path string, size int64) (file, error) {
		f, err := openFile(path, size)
		disk = &faulty{file: f, room: -1}
		return disk, err
	}})
	mustAppend(t, j, intent(0))
	disk.syncErr = syscall.EIO
	for range 2 {
		if _, err := j.Append(t.Context(), intent(1)); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		disk.syncErr = nil // the kernel reports it once; the journal must not believe the next one
	}
	if err := j.Close(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if n := count(t, dir); n != 1 {
		t.Fatalf("%d records", n)
	}
}

// TestRealDiskFull fills a small file system: what begins something is refused while the outcome of what has begun still finds room.
func TestRealDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mnt, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(mnt, "journal")
	j := mustOpen(t, dir, Options{})
	mustAppend(t, j, intent(0))
	if err := os.WriteFile(filepath.Join(mnt, "hog"), make([]byte, 8<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system is not full: %v", err)
	}
	n, err := 1, error(nil)
	for ; err == nil; n++ {
		r := intent(n)
		r.Text = strings.Repeat("x", 8000)
		_, err = j.Append(t.Context(), r)
	}
	if !errors.Is(err, state.ErrFull) {
		t.Fatalf("after %d: %v", n, err)
	}
	for i := range n - 1 {
		r := intent(i)
		r.Kind, r.Op = state.KindDone, nil
		mustAppend(t, j, r)
	}
	if err := j.Close(); err != nil && !errors.Is(err, state.ErrFull) {
		t.Fatal(err)
	}
	if got := count(t, dir); got != int64(2*(n-1)) {
		t.Fatalf("%d records, want %d", got, 2*(n-1))
	}
}
