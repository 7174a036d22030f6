package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// intent is a record of the size that real ones have.
func intent(i int) state.Record {
	op := plan.Op{Kind: plan.PowerOn, Target: plan.Subject(fmt.Sprintf("node:lab/r1/az1/a/blade-%04d", i)), Uses: []string{"bmc:x"},
		Pre:  []plan.Fact{{Subject: "node:x", Attr: plan.AttrPower, Value: "off"}},
		Post: []plan.Fact{{Subject: "node:x", Attr: plan.AttrPower, Value: "on"}}}
	op.ID = plan.ID(op.Kind, op.Target)
	return state.Record{Kind: state.KindIntent, Time: t0, Run: "r", Plan: "sha256:00", OpID: op.ID, Op: &op}
}

func mustOpen(t testing.TB, dir string, opt Options) *Journal {
	t.Helper()
	j, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func mustAppend(t testing.TB, j *Journal, r state.Record) state.Record {
	t.Helper()
	r, err := j.Append(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, dir string) int64 {
	t.Helper()
	rep, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	return rep.Records
}

// faulty is a segment on a disk that fills up, or whose sync or repair fails.
type faulty struct {
	file
	room     int // bytes that still fit; -1: as many as you like
	syncErr  error
	truncErr error
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.room >= 0 && len(p) > f.room {
		n, err := f.file.Write(p[:f.room])
		f.room = 0
		return n, errors.Join(err, syscall.ENOSPC)
	}
	if f.room >= 0 {
		f.room -= len(p)
	}
	return f.file.Write(p)
}

func (f *faulty) Sync() error { return errors.Join(f.file.Sync(), f.syncErr) }

func (f *faulty) Truncate(n int64) error { return errors.Join(f.file.Truncate(n), f.truncErr) }

func (f *faulty) reserve(int64) int64 { return -1 }

// readSegment returns the newest segment's path and content.
func readSegment(t testing.TB, dir string) (string, []byte) {
	t.Helper()
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		t.Fatalf("%v %v", names, err)
	}
	path := filepath.Join(dir, names[len(names)-1])
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}
