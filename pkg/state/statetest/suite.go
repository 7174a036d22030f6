// Package statetest is the conformance suite of state.Store: what every driver must do, the embedded and the shared one alike.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Place makes handles on one store that is empty at first. Each handle stands for a process of its own.
type Place interface {
	Open(t *testing.T) state.Store
}

// Run runs the suite; fresh makes an empty place for each test.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	tests := map[string]func(*testing.T, Place){
		"empty":     testEmpty,
		"write":     testWrite,
		"list":      testList,
		"condition": testCondition,
		"atomic":    testAtomic,
		"readers":   testReaders,
		"locked":    testLocked,
		"epochs":    testEpochs,
		"fenced":    testFenced,
		"overlap":   testOverlap,
		"bucket":    testBucket,
		"update":    testUpdate,
		"reopen":    testReopen,
		"asks":      testAsks,
		"askers":    testAskers,
		"ask over":  testAskOver,
		"unheard":   testUnheard,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func open(t *testing.T, p Place) state.Store {
	t.Helper()
	s := p.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// Holder is a holder for tests.
func Holder(name string) state.Holder {
	return state.Holder{User: name, Host: "workstation", PID: 4711, Command: "nuboctl apply", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func acquire(t *testing.T, s state.Store, scope string) state.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), scope, Holder("ann"))
	if err != nil {
		t.Fatalf("acquire %q: %v", scope, err)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want one that is %v", err, want)
	}
}

func put(key, value string) state.Write {
	return state.Write{Bucket: "b", Key: key, Value: []byte(value)}
}

func get(t *testing.T, s state.Store, key string) string {
	t.Helper()
	e, err := s.Get(t.Context(), "b", key)
	must(t, err)
	if e.Rev == 0 || e.Key != key {
		t.Fatalf("entry %+v", e)
	}
	return string(e.Value)
}

func testEmpty(t *testing.T, p Place) {
	s := open(t, p)
	_, err := s.Get(t.Context(), "b", "k")
	wantErr(t, err, state.ErrNotFound)
	list, err := s.List(t.Context(), "b", "")
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("an empty store lists %v", list)
	}
	wantErr(t, s.Commit(t.Context(), state.Fence{}, put("k", "v")), state.ErrFenced)
}

func testWrite(t *testing.T, p Place) {
	s := open(t, p)
	l := acquire(t, s, "")
	must(t, s.Commit(t.Context(), l.Fence(), put("k", "1")))
	first, err := s.Get(t.Context(), "b", "k")
	must(t, err)
	must(t, s.Commit(t.Context(), l.Fence(), put("k", "2"), put("empty", "")))
	second, err := s.Get(t.Context(), "b", "k")
	must(t, err)
	if string(second.Value) != "2" || second.Rev <= first.Rev {
		t.Fatalf("after %+v came %+v", first, second)
	}
	if get(t, s, "empty") != "" {
		t.Fatal("an empty value is not kept")
	}
	must(t, s.Commit(t.Context(), l.Fence(), state.Write{Bucket: "b", Key: "k"}, state.Write{Bucket: "b", Key: "never"}))
	_, err = s.Get(t.Context(), "b", "k")
	wantErr(t, err, state.ErrNotFound)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.Commit(ended, l.Fence(), put("k", "3")), context.Canceled)
}

func testList(t *testing.T, p Place) {
	s := open(t, p)
	l := acquire(t, s, "")
	for _, k := range []string{"lab/b", "lab/a", "lab2/x", "la", "lab/", "lac"} {
		must(t, s.Commit(t.Context(), l.Fence(), put(k, k)))
	}
	list, err := s.List(t.Context(), "b", "lab/")
	must(t, err)
	var keys []string
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	if d := cmp.Diff([]string{"lab/", "lab/a", "lab/b"}, keys); d != "" {
		t.Fatal(d)
	}
}

func testCondition(t *testing.T, p Place) {
	s := open(t, p)
	f := acquire(t, s, "").Fence()
	w := put("k", "1")
	w.If.Absent = true
	must(t, s.Commit(t.Context(), f, w))
	wantErr(t, s.Commit(t.Context(), f, w), state.ErrConflict)
	e, err := s.Get(t.Context(), "b", "k")
	must(t, err)
	w = put("k", "2")
	w.If.Rev = e.Rev
	must(t, s.Commit(t.Context(), f, w))
	wantErr(t, s.Commit(t.Context(), f, w), state.ErrConflict)
	w = state.Write{Bucket: "b", Key: "none", Value: []byte("x"), If: state.Condition{Rev: e.Rev}}
	wantErr(t, s.Commit(t.Context(), f, w), state.ErrConflict)
}

func testAtomic(t *testing.T, p Place) {
	s := open(t, p)
	f := acquire(t, s, "").Fence()
	must(t, s.Commit(t.Context(), f, put("a", "1")))
	bad := put("a", "2")
	bad.If.Absent = true
	wantErr(t, s.Commit(t.Context(), f, put("z", "1"), bad), state.ErrConflict)
	_, err := s.Get(t.Context(), "b", "z")
	wantErr(t, err, state.ErrNotFound)
}

// testReaders reads through another handle while the holder writes: every read sees a whole commit, and never an older one than before.
func testReaders(t *testing.T, p Place) {
	s, reader := open(t, p), open(t, p)
	f := acquire(t, s, "").Fence()
	must(t, s.Commit(t.Context(), f, put("x", "0"), put("y", "0")))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 100 {
			v := fmt.Sprint(i)
			if err := s.Commit(t.Context(), f, put("x", v), put("y", v), put(fmt.Sprintf("fill-%d", i), string(make([]byte, 3000)))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	last := -1
	for last < 99 && !t.Failed() {
		list, err := reader.List(t.Context(), "b", "")
		must(t, err)
		seen := map[string]string{}
		for _, e := range list {
			seen[e.Key] = string(e.Value)
		}
		var n int
		if _, err := fmt.Sscan(seen["x"], &n); err != nil || seen["x"] != seen["y"] || n < last {
			t.Fatalf("saw x=%q y=%q after %d (%v)", seen["x"], seen["y"], last, err)
		}
		last = n
	}
	wg.Wait()
}

func testLocked(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	l := acquire(t, a, "lab/r1")
	_, err := b.Acquire(t.Context(), "lab/r1", Holder("bob"))
	wantErr(t, err, state.ErrLocked)
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.Holder != Holder("ann") || locked.Remedy == "" || locked.Scope != "lab/r1" {
		t.Fatalf("%+v", locked)
	}
	must(t, l.Release())
	must(t, l.Release())
	select {
	case <-l.Lost():
	default:
		t.Fatal("a released lease does not count as lost")
	}
	l2, err := b.Acquire(t.Context(), "lab/r1", Holder("bob"))
	must(t, err)
	if l2.Fence().Epoch <= l.Fence().Epoch {
		t.Fatalf("epoch %d after %d", l2.Fence().Epoch, l.Fence().Epoch)
	}
	must(t, b.Close())
	acquire(t, a, "lab/r1")
}

func testEpochs(t *testing.T, p Place) {
	last := int64(0)
	for range 5 {
		s := p.Open(t)
		l := acquire(t, s, "lab")
		if e := l.Fence().Epoch; e <= last {
			t.Fatalf("epoch %d after %d", e, last)
		}
		last = l.Fence().Epoch
		must(t, s.Close())
	}
}

func testFenced(t *testing.T, p Place) {
	a, b := open(t, p), open(t, p)
	old := acquire(t, a, "lab/r1")
	must(t, a.Commit(t.Context(), old.Fence(), put("k", "a")))
	must(t, old.Release())
	wantErr(t, a.Commit(t.Context(), old.Fence(), put("k", "stale")), state.ErrFenced)
	l := acquire(t, b, "lab")
	must(t, b.Commit(t.Context(), l.Fence(), put("k", "b")))
	wantErr(t, a.Commit(t.Context(), old.Fence(), put("k", "stale")), state.ErrFenced)
	wantErr(t, b.Commit(t.Context(), old.Fence(), put("k", "stale")), state.ErrFenced)
	forged := l.Fence()
	forged.Epoch++
	wantErr(t, b.Commit(t.Context(), forged, put("k", "forged")), state.ErrFenced)
	if v := get(t, a, "k"); v != "b" {
		t.Fatalf("k is %q", v)
	}
}

func testOverlap(t *testing.T, p Place) {
	s := open(t, p)
	region := acquire(t, s, "lab/r1")
	other := acquire(t, s, "lab/r10")
	for _, scope := range []string{"", "lab", "lab/r1", "lab/r1/az1"} {
		_, err := s.Acquire(t.Context(), scope, Holder("bob"))
		wantErr(t, err, state.ErrLocked)
	}
	must(t, s.Commit(t.Context(), region.Fence(), put("k", "1")))
	must(t, s.Commit(t.Context(), other.Fence(), put("k", "2")))
	must(t, region.Release())
	must(t, s.Commit(t.Context(), other.Fence(), put("k", "3")))
	must(t, other.Release())
	acquire(t, s, "")
}

func testBucket(t *testing.T, p Place) {
	s := open(t, p)
	keys := state.HostKeys(s, acquire(t, s, "").Fence())
	_, ok, err := keys.Lookup(t.Context(), "lab/b")
	if must(t, err); ok {
		t.Fatal("found what was never put")
	}
	must(t, keys.Put(t.Context(), "lab/b", []string{"ssh-ed25519 AAAA"}))
	must(t, keys.Put(t.Context(), "lab/a", nil))
	items, err := keys.List(t.Context(), "lab/")
	must(t, err)
	want := []state.Item[[]string]{{Key: "lab/a"}, {Key: "lab/b", Value: []string{"ssh-ed25519 AAAA"}}}
	if d := cmp.Diff(want, items); d != "" {
		t.Fatal(d)
	}
	must(t, keys.Delete(t.Context(), "lab/a"))
	_, err = keys.Get(t.Context(), "lab/a")
	wantErr(t, err, state.ErrNotFound)
	wantErr(t, state.HostKeys(s, state.Fence{}).Put(t.Context(), "x", nil), state.ErrFenced)
}

// testUpdate counts from many goroutines: no step may be lost.
func testUpdate(t *testing.T, p Place) {
	s := open(t, p)
	counter := state.NewBucket[int](s, acquire(t, s, "").Fence(), "counters")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := counter.Update(t.Context(), "n", func(n int) (int, error) { return n + 1, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n, err := counter.Get(t.Context(), "n")
	if must(t, err); n != 40 {
		t.Fatalf("counted to %d", n)
	}
	refuse := errors.New("no")
	_, err = counter.Update(t.Context(), "n", func(int) (int, error) { return 0, refuse })
	wantErr(t, err, refuse)
}

func testReopen(t *testing.T, p Place) {
	s := p.Open(t)
	must(t, s.Commit(t.Context(), acquire(t, s, "").Fence(), put("k", "v")))
	must(t, s.Close())
	if v := get(t, open(t, p), "k"); v != "v" {
		t.Fatalf("k is %q", v)
	}
}
