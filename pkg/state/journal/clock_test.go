package journal

import (
	"slices"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// TestClockJumps writes records while the workstation's clock jumps about. Their order is that of their numbers, whatever time they carry: what is open stays
// open, what is done is done, and the chain is whole.
func TestClockJumps(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	now := t0
	mustAppend(t, j, state.Record{Kind: state.KindApproved, Time: now, Run: "r", Plan: "sha256:00"})
	for i, jump := range []time.Duration{0, 10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, time.Nanosecond, 9 * 365 * 24 * time.Hour, -time.Hour} {
		now = now.Add(jump)
		r := intent(i)
		r.Time = now
		r = mustAppend(t, j, r)
		if i%2 == 1 {
			continue // stays open
		}
		now = now.Add(-time.Minute) // done before it began, by the clock
		mustAppend(t, j, state.Record{Kind: state.KindDone, Time: now, Run: r.Run, Plan: r.Plan, OpID: r.OpID})
		mustClose(t, j)
		j = mustOpen(t, dir, Options{})
	}
	mustClose(t, j)
	if n := count(t, dir); n != 10 {
		t.Errorf("%d records are there, want 10", n)
	}
	runs, err := Load(dir)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	var open []string
	for _, r := range runs[0].Open() {
		open = append(open, string(r.OpID))
	}
	slices.Sort(open) // an interrupted run keeps no order of them
	if len(open) != 3 || open[0] != string(intent(1).OpID) || open[1] != string(intent(3).OpID) || open[2] != string(intent(5).OpID) {
		t.Errorf("open are %q", open)
	}
}
