package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// Settle records what a person found out about an op whose outcome no probe can tell: plan.Applied or plan.NotApplied. The next run goes by
// it. The run must be in the journal with an open intent of the op.
func Settle(ctx context.Context, j Journal, run state.RunState, op plan.OpID, seen plan.Outcome, by string, now time.Time) error {
	if run.Ops[op].Intent == nil {
		return fmt.Errorf("settle %s of run %s: nothing about it is open", op, run.ID)
	}
	kind, ok := map[plan.Outcome]state.Kind{plan.Applied: state.KindDone, plan.NotApplied: state.KindReset}[seen]
	if !ok || by == "" {
		return fmt.Errorf("settle %s of run %s: say who looked, and whether it is %q or %q", op, run.ID, plan.Applied, plan.NotApplied)
	}
	return appendFor(ctx, j, run, state.Record{Kind: kind, OpID: op, Outcome: seen, By: by, Text: "settled by hand", Time: now})
}

// Close ends a run that is not under way, so that it does not go on: abort after the fact. Intents without an outcome are settled before,
// or by the next run's probes if the run stays open; closing over them is refused.
func Close(ctx context.Context, j Journal, run state.RunState, by string, now time.Time) error {
	if open := run.Open(); len(open) > 0 {
		return fmt.Errorf("close run %s: %s was begun and its %w; run it again, or settle that first", run.ID, open[0].OpID, ErrUnknown)
	}
	return appendFor(ctx, j, run, state.Record{Kind: state.KindClosed, By: by, Text: "aborted", Time: now})
}

func appendFor(ctx context.Context, j Journal, run state.RunState, rec state.Record) error {
	rec.Run, rec.Scope, rec.Plan, rec.Time = run.ID, run.Scope, run.Plan, rec.Time.UTC()
	if _, err := j.Append(ctx, rec); err != nil {
		return fmt.Errorf("run %s: %w: %w", run.ID, ErrJournal, err)
	}
	return nil
}
