package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// settleAtOnce bounds the probes that settle makes at a time.
const settleAtOnce = 64

// settle finds out what came of the intents that other runs in the same scope left open, and closes those runs: this one takes their
// place. A target whose outcome stays unknown is not touched by this run.
func (r *run) settle() {
	r.stopped = map[plan.Subject]error{}
	why := "nothing is left to do"
	if r.name != "" {
		why = "run " + r.name + " took its place"
	}
	for _, old := range r.opt.Journal.Runs() {
		if old.ID == r.name || !state.Overlap(old.Scope, r.opt.Scope) {
			continue
		}
		if r.settleRun(old) && r.ctx.Err() == nil {
			_ = r.recordFor(old, state.Record{Kind: state.KindClosed, Text: why})
		}
	}
}

// settleRun probes the open intents of one run; false when one stays unknown.
func (r *run) settleRun(old state.RunState) bool {
	var mu sync.Mutex
	settled, begun := 0, 0
	ended := func() int {
		mu.Lock()
		defer mu.Unlock()
		return settled
	}
	ok := true
	open := old.Open()
	for ended() < len(open) {
		if begun == len(open) || begun-ended() == settleAtOnce {
			r.opt.Executor.Wait(nil, nil)
			continue
		}
		op := *open[begun].Op
		begun++
		r.opt.Executor.Go(func() {
			err := r.settleOp(old, op)
			mu.Lock()
			defer mu.Unlock()
			settled++
			if err != nil {
				ok = false
				r.stopped[op.Target] = err
			}
		})
	}
	return ok
}

func (r *run) settleOp(old state.RunState, op plan.Op) error {
	info, _ := op.Kind.Info()
	ctx, cancel := r.deadline(r.ctx, info.Timeout)
	defer cancel()
	outcome, err := r.probe(ctx, op)
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if rerr := r.recordFor(old, outcomeRecord(op, outcome, err)); rerr != nil {
		return rerr
	}
	if outcome == plan.Unknown {
		return fmt.Errorf("in run %s: %w", old.ID, &unknownError{op.ID, err})
	}
	return nil
}

// probe asks the op's driver what came of it. What cannot be asked is unknown.
func (r *run) probe(ctx context.Context, op plan.Op) (plan.Outcome, error) {
	d, ok := r.opt.Drivers(op.Kind)
	if !ok {
		return plan.Unknown, fmt.Errorf("this program has no driver for ops of kind %q", op.Kind)
	}
	outcome := plan.Unknown
	err := guard(func() error {
		var err error
		outcome, err = d.Probe(ctx, op)
		return err
	})
	if err != nil || (outcome != plan.Applied && outcome != plan.NotApplied) {
		outcome = plan.Unknown
	}
	return outcome, err
}

// outcomeRecord is the record of what a probe saw.
func outcomeRecord(op plan.Op, outcome plan.Outcome, err error) state.Record {
	rec := state.Record{OpID: op.ID, Outcome: outcome, Text: "found by looking"}
	switch outcome {
	case plan.Applied:
		rec.Kind = state.KindDone
	case plan.NotApplied:
		rec.Kind = state.KindReset
	default:
		rec.Kind = state.KindUnknown
	}
	if err != nil {
		rec.Error = err.Error()
	}
	return rec
}

// recordFor writes a record that belongs to another run.
func (r *run) recordFor(old state.RunState, rec state.Record) error {
	rec.Time = r.opt.Clock.Now()
	err := appendFor(context.WithoutCancel(r.ctx), r.opt.Journal, old, rec)
	if err != nil {
		r.stop(err)
	}
	return err
}
