package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// run is one execution of a plan by this process.
type run struct {
	opt    Options
	plan   plan.Plan
	digest model.Digest
	name   string
	ctx    context.Context
	stop   context.CancelCauseFunc

	history map[plan.OpID]state.OpState // from the journal, when the run goes on
	stopped map[plan.Subject]error      // targets with an unknown outcome from an earlier run
	chains  map[plan.Subject]*chain

	eventMu sync.Mutex
	result  Result
}

// Run executes a plan, or goes on with it when the journal has a run of the same plan that is not finished. The error is for runs that
// could not begin; what happened to one that did is in the Result. An empty plan only settles what interrupted runs left open.
func Run(ctx context.Context, p plan.Plan, opt Options) (Result, error) {
	opt, err := opt.withDefaults(p)
	if err != nil {
		return Result{}, err
	}
	digest := opt.Checked
	if digest == "" {
		if err := plan.Validate(p); err != nil {
			return Result{}, err
		}
		digest = p.Digest()
	}
	r := &run{opt: opt, plan: p, digest: digest}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	r.result = Result{Plan: r.digest, Started: opt.Clock.Now()}
	if p.Empty() {
		return r.nothing(), nil
	}
	if err := r.begin(); err != nil {
		return Result{}, err
	}
	defer r.watchLease()()
	r.emit(Event{Kind: RunStarted, Plan: r.digest, Ops: p.Ops(), Text: map[bool]string{true: "goes on"}[r.result.Resumed]})
	r.settle()
	r.stages()
	return r.end(), nil
}

// nothing ends a run with nothing to do. What interrupted runs left open is settled all the same.
func (r *run) nothing() Result {
	r.settle()
	for target, err := range r.stopped {
		r.result.Ops = append(r.result.Ops, OpResult{Op: plan.Op{ID: plan.OpID(target), Target: target}, Status: OpUnknown, Err: err})
	}
	r.result.Err = context.Cause(r.ctx)
	r.result.Kind, r.result.Ended = r.result.kind(), r.opt.Clock.Now()
	return r.result
}

// begin finds the run in the journal or approves a new one.
func (r *run) begin() error {
	var again bool
	_, again = r.opt.Journal.Finished(r.digest)
	r.chains = chains(r.plan, again)
	for _, old := range r.opt.Journal.Runs() {
		if old.Plan == r.digest {
			r.name, r.history, r.result.Resumed = old.ID, old.Ops, true
		}
	}
	first := state.Record{Kind: state.KindResumed, By: r.opt.Approver}
	if !r.result.Resumed {
		if r.opt.Approver == "" && destructive(r.plan) {
			return fmt.Errorf("run plan %s: %w, and it can destroy data", r.digest.Short(), ErrNotApproved)
		}
		r.name, first.Kind = r.opt.runName(r.digest), state.KindApproved
	}
	r.result.Run = r.name
	if err := r.record(first); err != nil {
		return fmt.Errorf("begin run %s: %w", r.name, err)
	}
	return nil
}

func destructive(p plan.Plan) bool {
	for _, s := range p.Stages {
		for _, op := range s.Ops {
			if info, _ := op.Kind.Info(); info.Destructive {
				return true
			}
		}
	}
	return false
}

// watchLease stops the run when its lease is lost.
func (r *run) watchLease() (done func()) {
	if r.opt.Lost == nil {
		return func() {}
	}
	end, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-r.opt.Lost:
			r.stop(ErrLeaseLost)
		case <-end:
		}
	}()
	return func() { close(end); <-gone }
}

// stages runs one stage after the other, until one does not come to its end.
func (r *run) stages() {
	for i, s := range r.plan.Stages {
		start := r.opt.Clock.Now()
		r.emit(Event{Kind: StageStarted, Stage: i + 1, Title: s.Title, Ops: len(s.Ops)})
		ok := newStage(r, i).run()
		r.emit(Event{Kind: StageFinished, Stage: i + 1, Title: s.Title, ElapsedMs: r.opt.Clock.Now().Sub(start).Milliseconds(), Text: map[bool]string{false: "not complete"}[ok]})
		if !ok {
			r.skipAfter(i)
			return
		}
	}
}

func (r *run) skipAfter(stage int) {
	reason := fmt.Sprintf("stage %d is not complete", stage+1)
	for i := stage + 1; i < len(r.plan.Stages); i++ {
		for _, op := range r.plan.Stages[i].Ops {
			r.result.Ops = append(r.result.Ops, OpResult{Op: op, Stage: i, Status: OpSkipped, Reason: reason})
		}
	}
}

// end closes the run in the journal when it will not go on.
func (r *run) end() Result {
	if err := context.Cause(r.ctx); err != nil {
		r.result.Err = err
	}
	r.result.Kind, r.result.Ended = r.result.kind(), r.opt.Clock.Now()
	var err error
	switch r.result.Kind {
	case Done:
		err = r.record(state.Record{Kind: state.KindFinished})
	case Aborted:
		err = r.record(state.Record{Kind: state.KindClosed, Text: "aborted"})
	}
	if err != nil {
		r.result.Err = errors.Join(r.result.Err, err)
		r.result.Kind = Failed
	}
	r.emit(Event{Kind: RunFinished, Plan: r.digest, Result: r.result.Kind, ElapsedMs: r.result.Ended.Sub(r.result.Started).Milliseconds()}.withError(r.result.Err))
	return r.result
}

// record writes to the journal. When that fails nothing more may begin: the run stops.
func (r *run) record(rec state.Record) error {
	rec.Run, rec.Scope, rec.Plan, rec.Time = r.name, r.opt.Scope, r.digest, r.opt.Clock.Now().UTC()
	if _, err := r.opt.Journal.Append(context.WithoutCancel(r.ctx), rec); err != nil {
		err = fmt.Errorf("%w: %w", ErrJournal, err)
		r.stop(err)
		return err
	}
	return nil
}
