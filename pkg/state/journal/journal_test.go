package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{Epoch: 3, SegmentBytes: 2000, CheckpointEvery: 7})
	for i := range 20 {
		if r := mustAppend(t, j, intent(i)); r.Seq != int64(i+1) || r.Epoch != 3 || r.Hash == "" {
			t.Fatalf("%+v", r)
		}
	}
	mustClose(t, j)
	if _, err := j.Append(t.Context(), intent(0)); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	names, err := segments(dir)
	if err != nil || len(names) < 3 {
		t.Fatalf("segments %v: %v", names, err)
	}
	n := int64(0)
	for r, err := range Read(dir) {
		if n++; err != nil || r.Seq != n || r.Op.Target != intent(int(n-1)).Op.Target {
			t.Fatalf("%d: %+v %v", n, r, err)
		}
	}
	if n != 20 || count(t, dir) != 20 {
		t.Fatalf("%d records", n)
	}
	j = mustOpen(t, dir, Options{Epoch: 4})
	if r := mustAppend(t, j, intent(20)); r.Seq != 21 || r.Epoch != 4 {
		t.Fatalf("%+v", r)
	}
	mustClose(t, j)
	if _, err := Open(dir, Options{Epoch: 3}); !errors.Is(err, state.ErrFenced) {
		t.Fatalf("an older epoch may write: %v", err)
	}
}

func TestRuns(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{CheckpointEvery: 3})
	say := func(k state.Kind, run string, op int) {
		r := intent(op)
		r.Kind, r.Run, r.Plan = k, run, "sha256:p"
		mustAppend(t, j, r)
	}
	say(state.KindApproved, "a", 0)
	say(state.KindIntent, "a", 1)
	say(state.KindIntent, "a", 2)
	say(state.KindIntent, "a", 3)
	say(state.KindIntent, "a", 4)
	say(state.KindDone, "a", 1)
	say(state.KindFailed, "a", 2)
	say(state.KindReset, "a", 3)
	say(state.KindInterrupted, "a", 4)
	say(state.KindApproved, "b", 0)
	say(state.KindFinished, "b", 0)
	check := func(when string, runs []state.RunState) {
		t.Helper()
		if len(runs) != 1 || runs[0].ID != "a" || len(runs[0].Ops) != 4 {
			t.Fatalf("%s: %+v", when, runs)
		}
		open := runs[0].Open()
		if len(open) != 1 || open[0].Op.Target != intent(4).Op.Target {
			t.Fatalf("%s: open %+v", when, open)
		}
		failed := runs[0].Ops[plan.ID(plan.PowerOn, intent(2).Op.Target)]
		if failed.Last != state.KindFailed || failed.Intent == nil {
			t.Fatalf("%s: failed %+v", when, failed)
		}
	}
	check("while writing", j.Runs())
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	check("read from outside", loaded)
	mustClose(t, j)
	j = mustOpen(t, dir, Options{})
	check("after opening", j.Runs())
	if _, ok := j.Finished("sha256:p"); !ok {
		t.Fatal("the finished plan is forgotten")
	}
	say(state.KindClosed, "a", 0)
	mustClose(t, j)
	if err := os.Remove(filepath.Join(dir, checkpointName)); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, dir, Options{})
	if runs := j.Runs(); len(runs) != 0 {
		t.Fatalf("%+v", runs)
	}
	mustClose(t, j)
}

// TestConcurrent appends from many goroutines at once: nothing is lost, and they share syncs.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	syncs := 0
	j := mustOpen(t, dir, Options{open: func(path string, size int64) (file, error) {
		f, err := openFile(path, size)
		return &counting{file: f, n: &syncs}, err
	}})
	const workers, each = 32, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				r := intent(w)
				r.Text = fmt.Sprint(i)
				if _, err := j.Append(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, j)
	next := map[plan.OpID]int{}
	for r, err := range Read(dir) {
		if err != nil || r.Text != fmt.Sprint(next[r.OpID]) {
			t.Fatalf("%s out of order: %+v %v", r.OpID, r, err)
		}
		next[r.OpID]++
	}
	if n := count(t, dir); n != workers*each {
		t.Fatalf("%d records", n)
	}
	if syncs >= workers*each {
		t.Fatalf("%d syncs for %d records", syncs, workers*each)
	}
}

type counting struct {
	file
	n *int
}

func (c *counting) Sync() error { *c.n++; return c.file.Sync() }

func TestCheckpointIsOptional(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	for i := range 10 {
		mustAppend(t, j, intent(i))
	}
	mustClose(t, j)
	path := filepath.Join(dir, checkpointName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if j.pos.Seq != 10 {
			t.Fatalf("byte %d: at record %d", i, j.pos.Seq)
		}
		if err := j.out.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
