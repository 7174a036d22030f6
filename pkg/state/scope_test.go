package state_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// TestFence: of any history of acquisitions exactly those fences are valid that no overlapping acquisition followed.
func TestFence(t *testing.T) {
	scopes := []string{"", "lab", "lab/r1", "lab/r1/az1", "lab/r10", "pi", "pi/r1"}
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.SliceOfN(rapid.SampledFrom(scopes), 1, 12).Draw(t, "history")
		newest := map[string]int64{}
		for i, s := range history {
			newest[s] = int64(i + 1)
		}
		for i, s := range history {
			want := true
			for _, later := range history[i+1:] {
				want = want && !state.Overlap(s, later)
			}
			if got := (state.Fence{Scope: s, Epoch: int64(i + 1)}).Valid(newest); got != want {
				t.Fatalf("acquisition %d of %v: valid %v", i, history, got)
			}
		}
	})
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "lab", true}, {"lab", "lab", true}, {"lab/r1", "lab", true}, {"lab/r1", "lab/r10", false}, {"lab/r1", "lab/r2", false}} {
		if state.Overlap(c.a, c.b) != c.want || state.Overlap(c.b, c.a) != c.want {
			t.Errorf("%q and %q: want %v", c.a, c.b, c.want)
		}
	}
}

func TestLockedError(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var err error = &state.LockedError{Scope: "lab/r1", Remedy: "wait", Holder: state.Holder{User: "ann", Host: "ws", PID: 12, Command: "nuboctl apply", Since: since}}
	if !errors.Is(err, state.ErrLocked) {
		t.Fatal(err)
	}
	for _, part := range []string{"lab/r1", "ann@ws", "12", "nuboctl apply", "2026-01-02T03:04:05Z", "wait"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q says nothing of %q", err, part)
		}
	}
}

func TestIOError(t *testing.T) {
	if state.IOError("write", "f", nil) != nil {
		t.Fatal("an error out of nothing")
	}
	full := state.IOError("write", "f", fmt.Errorf("pwrite: %w", syscall.ENOSPC))
	if !errors.Is(full, state.ErrFull) || !errors.Is(full, syscall.ENOSPC) {
		t.Fatal(full)
	}
	if other := state.IOError("write", "f", syscall.EIO); errors.Is(other, state.ErrFull) || !errors.Is(other, syscall.EIO) {
		t.Fatal(other)
	}
}
