package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// outcome is what came of an op that was started.
type outcome struct {
	status Status
	reason string
	err    error
}

// work takes one op from its check to its outcome in the journal: probe what was begun before, check, INTENT, act, observe, DONE.
func (r *run) work(op plan.Op, progress func(plan.Progress)) outcome {
	info, _ := op.Kind.Info()
	ctx, cancel := r.deadline(r.ctx, info.Timeout)
	defer cancel()
	ctx = plan.Listen(ctx, progress)
	d, _ := r.opt.Drivers(op.Kind)
	if r.passed(ctx, op) {
		return r.held(op, "it is so, or a later step of its target is")
	}
	if out, ended := r.continued(ctx, op); ended {
		return out
	}
	begins := op
	if r.history[op.ID].Intent != nil {
		begins = op.Again()
	}
	if out, ended := r.check(ctx, d, begins); ended {
		return out
	}
	if r.ctx.Err() != nil {
		return outcome{status: OpInterrupted, err: context.Cause(r.ctx)}
	}
	if err := r.record(state.Record{Kind: state.KindIntent, OpID: op.ID, Op: &op}); err != nil {
		return outcome{status: OpFailed, err: err}
	}
	err := guard(func() error { return d.Apply(ctx, op, progress) })
	if err == nil {
		err = guard(func() error { return d.Verify(ctx, op) })
	}
	if err != nil {
		return r.failed(ctx, op, err)
	}
	if err := r.record(state.Record{Kind: state.KindDone, OpID: op.ID}); err != nil {
		return outcome{status: OpFailed, err: fmt.Errorf("it is done, but: %w", err)}
	}
	return outcome{status: OpDone}
}

// continued looks at what came of an earlier try in the same run.
func (r *run) continued(ctx context.Context, op plan.Op) (outcome, bool) {
	if r.history[op.ID].Intent == nil {
		return outcome{}, false
	}
	seen, err := r.probe(ctx, op)
	if r.ctx.Err() != nil {
		return outcome{status: OpInterrupted, err: context.Cause(r.ctx)}, true
	}
	if rerr := r.record(outcomeRecord(op, seen, err)); rerr != nil {
		return outcome{status: OpFailed, err: rerr}, true
	}
	switch seen {
	case plan.Applied:
		return outcome{status: OpHeld, reason: "it was done before the interruption"}, true
	case plan.NotApplied:
		return outcome{}, false
	}
	return outcome{status: OpUnknown, err: &unknownError{op.ID, err}}, true
}

// check asks the driver whether the op may begin.
func (r *run) check(ctx context.Context, d Driver, op plan.Op) (outcome, bool) {
	err := guard(func() error { return d.Check(ctx, op) })
	switch {
	case err == nil:
		return outcome{}, false
	case r.ctx.Err() != nil:
		return outcome{status: OpInterrupted, err: errors.Join(context.Cause(r.ctx), err)}, true
	case isHeld(err):
		return r.held(op, "it is so already"), true
	case isStale(err):
		if r.overtaken(ctx, op) {
			return r.held(op, "it is so, or a later step of its target is"), true
		}
		return outcome{status: OpStale, err: err}, true
	}
	return r.failed(ctx, op, err), true
}

// held records that there was nothing to do.
func (r *run) held(op plan.Op, reason string) outcome {
	if err := r.record(state.Record{Kind: state.KindDone, OpID: op.ID, Outcome: plan.Applied, Text: reason}); err != nil {
		return outcome{status: OpFailed, err: err}
	}
	return outcome{status: OpHeld, reason: reason}
}

// failed records that an op ended with an error. When the run itself was stopped the intent stays open: what came of it will be probed.
func (r *run) failed(ctx context.Context, op plan.Op, err error) outcome {
	out := outcome{status: OpFailed, err: err}
	kind := state.KindFailed
	var late *deadlineError
	switch {
	case r.ctx.Err() != nil:
		kind, out.status, out.err = state.KindInterrupted, OpInterrupted, errors.Join(context.Cause(r.ctx), err)
	case errors.As(context.Cause(ctx), &late):
		out.err = fmt.Errorf("%w; last: %w", late, err)
	}
	if rerr := r.record(state.Record{Kind: kind, OpID: op.ID, Error: out.err.Error()}); rerr != nil {
		out.err = errors.Join(out.err, rerr)
	}
	return out
}

// deadline bounds a context in the run's own time; d of 0 is no bound.
func (r *run) deadline(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := func() bool { return true }
	if d > 0 {
		stop = r.opt.Clock.AfterFunc(d, func() { cancel(&deadlineError{d, context.DeadlineExceeded}) })
	}
	return ctx, func() { stop(); cancel(nil) }
}

// guard turns a driver's panic into an error: one faulty driver must not end a run of thousands of machines without a record.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("driver panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// reporter passes on an op's progress until it has ended.
type reporter struct {
	mu    sync.Mutex
	ended bool
	emit  func(plan.Progress)
}

func (p *reporter) progress(v plan.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.emit(v)
	}
}

func (p *reporter) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}
