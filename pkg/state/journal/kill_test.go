package journal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestMain makes the test program a writer when it is asked to be one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NUBO_TEST_WRITE"); dir != "" {
		writeForEver(dir)
		return
	}
	os.Exit(m.Run())
}

// writeForEver appends from several goroutines and says the number of each record when it is safe.
func writeForEver(dir string) {
	j, err := Open(dir, Options{SegmentBytes: 40_000, CheckpointEvery: 10})
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				r, err := j.Append(context.Background(), intent(i))
				if err != nil {
					panic(err)
				}
				os.Stdout.WriteString(fmt.Sprintln(r.Seq))
			}
		})
	}
	wg.Wait()
}

// TestKill kills a writer that others have believed, again and again: whatever it said was safe is there.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	last := int64(0)
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "NUBO_TEST_WRITE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for n := 0; said.Scan(); n++ {
			if n == 20+17*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			seq, err := strconv.ParseInt(strings.TrimSpace(said.Text()), 10, 64)
			if err == nil {
				last = max(last, seq)
			}
		}
		_ = cmd.Wait() // it was killed
		if n := count(t, dir); n < last {
			t.Fatalf("round %d: %d records, %d were safe", round, n, last)
		}
	}
	mustClose(t, mustOpen(t, dir, Options{}))
}

// FuzzTail puts anything behind two safe records: they stay, and the journal opens or says that it is damaged.
func FuzzTail(f *testing.F) {
	f.Add([]byte(`{"format_version":1,"seq":3`))
	f.Add([]byte("\x00\x00\x00\n"))
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"format_version":1,"hash":"` + strings.Repeat("0", 64) + "\"}\n"))
	f.Fuzz(func(t *testing.T, tail []byte) {
		dir := t.TempDir()
		j := mustOpen(t, dir, Options{open: func(path string, size int64) (file, error) {
			f, err := openFile(path, size)
			return &unsynced{f}, err
		}})
		mustAppend(t, j, intent(0))
		second := mustAppend(t, j, intent(1))
		path, good := readSegment(t, dir)
		if err := os.WriteFile(path, append(good, tail...), 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := Open(dir, Options{})
		if err != nil {
			return
		}
		if j.pos.Seq < 2 || (j.pos.Seq == 2 && j.pos.Hash != second.Hash) {
			t.Fatalf("at record %d", j.pos.Seq)
		}
		mustClose(t, j)
	})
}
