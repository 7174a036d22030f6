package ops

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// The times of gates. A region must be healthy for gateStable without a break before it counts (Rook waits as long after a drain), and gets
// gateDeadline for that. While a batch bakes, what heals by itself within bakeTolerance is no reason to halt: alarms come and go.
const (
	gateEvery     = 15 * time.Second
	gateStable    = time.Minute
	gateDeadline  = 2 * time.Hour
	bakeEvery     = time.Minute
	bakeTolerance = 5 * time.Minute
)

func certify(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	batch, err := batchOf(op)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the batch to be certified"})
	return w.Batches.Certify(ctx, batch)
}

// gate waits until the batch's region is healthy, and has been for a while.
func gate(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	batch, err := batchOf(op)
	if err != nil {
		return err
	}
	began := w.Clock.Now()
	healthy := began
	for {
		wrong, err := w.Batches.Health(ctx, batch)
		if halts(err) {
			return err
		}
		if err != nil {
			wrong = []string{err.Error()}
		}
		now := w.Clock.Now()
		switch {
		case len(wrong) > 0 && now.Sub(began) >= gateDeadline:
			return &HaltedError{What: fmt.Sprintf("gate of batch %d: not healthy after %s", batch+1, gateDeadline), Why: wrong}
		case len(wrong) > 0:
			healthy = now
			report(plan.Progress{Waiting: wrong[0]})
		case now.Sub(healthy) >= gateStable:
			return ctx.Err()
		default:
			report(plan.Progress{Waiting: "the region to stay healthy"})
		}
		if err := w.Clock.Sleep(ctx, gateEvery); err != nil {
			return err
		}
	}
}

// bake waits for the seconds that the op names, and halts when the region stays unhealthy meanwhile.
func bake(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	batch, err := batchOf(op)
	if err != nil {
		return err
	}
	seconds, err := strconv.Atoi(op.Args["seconds"])
	if err != nil {
		return fmt.Errorf("%s: the seconds to wait are %q, not a number", op.ID, op.Args["seconds"])
	}
	began := w.Clock.Now()
	until, healthy := began.Add(time.Duration(seconds)*time.Second), began
	for {
		wrong, err := w.Batches.Health(ctx, batch)
		if halts(err) {
			return err
		}
		if err != nil {
			wrong = []string{err.Error()}
		}
		now := w.Clock.Now()
		if len(wrong) == 0 {
			healthy = now
		}
		if now.Sub(healthy) >= bakeTolerance {
			return &HaltedError{What: fmt.Sprintf("bake of batch %d: not healthy for %s", batch+1, bakeTolerance), Why: wrong}
		}
		if len(wrong) == 0 && !now.Before(until) {
			return ctx.Err()
		}
		report(plan.Progress{Text: fmt.Sprintf("baking for %s more", max(until.Sub(now), 0))})
		if err := w.Clock.Sleep(ctx, min(bakeEvery, max(until.Sub(now), gateEvery))); err != nil {
			return err
		}
	}
}

func batchOf(op plan.Op) (int, error) {
	batch, ok := op.Target.Batch()
	if !ok {
		return 0, fmt.Errorf("%s: %w", op.Target, ErrNotInInventory)
	}
	return batch, nil
}
