package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// TestByHand: an op that no probe can tell of is settled by a person, and the run goes on from there.
func TestByHand(t *testing.T) {
	d := newDesk(t, install(1))
	id := at(plan.PowerOn, 0)
	d.killAt(id, afterAct)
	d.w.blind[id] = true
	want(t, d.apply(t.Context()), engine.Failed)

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.withJournal(func(j *journal.Journal, run state.RunState) {
		if err := engine.Close(t.Context(), j, run, "ann", now); !errors.Is(err, engine.ErrUnknown) {
			t.Fatal(err)
		}
		if engine.Settle(t.Context(), j, run, at(plan.PowerOff, 0), plan.Applied, "ann", now) == nil {
			t.Fatal("settled what is not open")
		}
		if engine.Settle(t.Context(), j, run, id, plan.Unknown, "ann", now) == nil {
			t.Fatal("settled as unknown")
		}
		if err := engine.Settle(t.Context(), j, run, id, plan.Applied, "ann", now); err != nil {
			t.Fatal(err)
		}
	})
	want(t, d.apply(t.Context()), engine.Done)
	d.final()
}

func TestCloseByHand(t *testing.T) {
	d := newDesk(t, install(1))
	d.killAt(at(plan.PowerOn, 0), beforeIntent)
	d.withJournal(func(j *journal.Journal, run state.RunState) {
		if err := engine.Close(t.Context(), j, run, "ann", time.Now()); err != nil {
			t.Fatal(err)
		}
		if len(j.Runs()) != 0 {
			t.Fatal("the run is still open")
		}
	})
}

// withJournal opens the journal, which must have one open run.
func (d *desk) withJournal(f func(*journal.Journal, state.RunState)) {
	d.t.Helper()
	j, err := journal.Open(d.dir, journal.Options{Epoch: 1})
	if err != nil {
		d.t.Fatal(err)
	}
	defer j.Close()
	runs := j.Runs()
	if len(runs) != 1 {
		d.t.Fatalf("%d open runs", len(runs))
	}
	f(j, runs[0])
}
