package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// node is one op of the stage being run.
type node struct {
	op        plan.Op
	resources []string
	needs     int // ops not yet done that it needs
	then      []*node
	started   time.Time
	queued    bool
	running   bool
	ended     bool
	announced bool // as waiting
	reporter  *reporter
}

// stage runs one stage. Everything but the ops themselves happens where run was called; the executor runs the ops.
type stage struct {
	r        *run
	index    int
	nodes    []*node
	byTarget map[plan.Subject][]*node
	limiter  *limiter
	ready    []*node
	running  int
	ok       bool
	halted   bool // nothing new may begin: paused, yielding, or stopping
	told     bool // that the run is to stop
	heard    wish // what was asked for when it was last looked at
	ended    inbox
}

// ended is what came of a node that was started.
type ended struct {
	n   *node
	out outcome
}

func newStage(r *run, index int) *stage {
	s := &stage{r: r, index: index, byTarget: map[plan.Subject][]*node{}, limiter: newLimiter(r.opt.Limits), ok: true}
	byID := map[plan.OpID]*node{}
	for _, op := range r.plan.Stages[index].Order() {
		n := &node{op: op, resources: resources(op), needs: len(op.Needs)}
		byID[op.ID] = n
		s.nodes = append(s.nodes, n)
		s.byTarget[op.Target] = append(s.byTarget[op.Target], n)
		for _, id := range op.Needs {
			byID[id].then = append(byID[id].then, n)
		}
	}
	return s
}

// run returns whether every op is done.
func (s *stage) run() bool {
	s.begin()
	for {
		changed := s.obey()
		s.launch()
		if s.running == 0 && !(s.paused() && s.left()) {
			break
		}
		s.r.opt.Executor.Wait(changed, s.stopping())
		for _, e := range s.ended.take() {
			s.running--
			s.limiter.give(e.n)
			s.finish(e.n, e.out)
			s.wake(e.n)
		}
	}
	s.rest()
	return s.ok
}

// begin queues what needs nothing, and settles what is known from before.
func (s *stage) begin() {
	for _, n := range s.nodes {
		if err := s.r.stopped[n.op.Target]; err != nil && !n.ended {
			s.finish(n, outcome{status: OpUnknown, err: err})
		}
	}
	for _, n := range s.nodes {
		if n.needs == 0 && !n.ended {
			s.queue(n)
		}
	}
}

// queue makes a node ready, once; one that the journal knows as done is done.
func (s *stage) queue(n *node) {
	if n.queued {
		return
	}
	n.queued = true
	if s.r.history[n.op.ID].Last == state.KindDone {
		s.finish(n, outcome{status: OpHeld, reason: "it was done before, in the same run"})
		return
	}
	s.ready = append(s.ready, n)
	s.r.emit(opEvent(OpQueued, s.index, n.op))
}

// obey looks at what was asked for from outside, and tells when to look again.
func (s *stage) obey() <-chan struct{} {
	asked, changed := s.r.opt.Control.watch()
	switch {
	case asked.aborted:
		s.r.stop(asked.asked(ErrAborted))
	case asked.yielded && s.left() && s.idle():
		s.r.stop(asked.asked(ErrYielded))
	}
	was := s.halted
	s.halted = asked.paused || asked.yielded || s.r.ctx.Err() != nil
	switch {
	case s.r.ctx.Err() != nil:
		if !s.told {
			s.r.emit(Event{Kind: RunStopping, Stage: s.index + 1}.withError(context.Cause(s.r.ctx)))
		}
		s.told = true
	case asked.yielded && !s.heard.yielded:
		s.obeyed(RunYielding, state.AskYield, asked)
	case asked.paused && !s.heard.paused:
		s.obeyed(RunPaused, state.AskPause, asked)
	case was && !s.halted:
		s.obeyed(RunContinued, state.AskResume, asked)
		for resource := range s.limiter.parked {
			s.refill(resource)
		}
	}
	s.heard = asked
	return changed
}

// obeyed tells that what somebody asked for is being done, and puts on record who it was.
func (s *stage) obeyed(k EventKind, v state.Verb, asked wish) {
	if asked.by != "" {
		// Where this cannot be recorded, nothing can: the run stops.
		_ = s.r.record(state.Record{Kind: state.KindNote, By: asked.by, Text: "asked to " + string(v)})
	}
	s.r.emit(Event{Kind: k, Stage: s.index + 1, Text: asked.by})
}

// idle reports whether everything that runs only looks and waits.
func (s *stage) idle() bool {
	return !slices.ContainsFunc(s.nodes, func(n *node) bool {
		info, _ := n.op.Kind.Info()
		return n.running && !info.Waits
	})
}

// stopping is ready when the run is to stop and this loop has not noticed yet.
func (s *stage) stopping() <-chan struct{} {
	if s.told {
		return nil
	}
	return s.r.ctx.Done()
}

func (s *stage) paused() bool { return s.halted && s.r.ctx.Err() == nil }

func (s *stage) left() bool {
	for _, n := range s.nodes {
		if !n.ended {
			return true
		}
	}
	return false
}

// launch starts what is ready, as far as limits allow.
func (s *stage) launch() {
	for len(s.ready) > 0 && !s.halted {
		n := s.ready[0]
		s.ready = s.ready[1:]
		s.try(n)
	}
}

// try starts a node or lets it wait.
func (s *stage) try(n *node) {
	if n.ended {
		return
	}
	resource, ok := s.limiter.take(n)
	if ok {
		s.start(n)
		return
	}
	if !n.announced {
		n.announced = true
		e := opEvent(OpWaiting, s.index, n.op)
		e.Text = resource
		if resource == "" {
			e.Text = "its turn"
		}
		s.r.emit(e)
	}
}

// wake lets those go on that waited for what a node had.
func (s *stage) wake(n *node) {
	for _, resource := range n.resources {
		s.refill(resource)
	}
}

func (s *stage) refill(resource string) {
	for !s.halted {
		n := s.limiter.next(resource)
		if n == nil {
			return
		}
		s.try(n)
	}
}

func (s *stage) start(n *node) {
	n.running, n.started = true, s.r.opt.Clock.Now()
	n.reporter = &reporter{emit: func(p plan.Progress) {
		e := opEvent(OpProgress, s.index, n.op)
		e.Progress = &p
		s.r.emit(e)
	}}
	s.running++
	s.r.emit(opEvent(OpStarted, s.index, n.op))
	s.r.opt.Executor.Go(func() {
		out := s.r.work(n.op, n.reporter.progress)
		n.reporter.end()
		s.ended.put(ended{n, out})
	})
}

// finish takes in what came of a node: what needed it goes on, or is skipped with the rest of its target.
func (s *stage) finish(n *node, out outcome) {
	s.close(n, out)
	if out.status.good() {
		for _, m := range n.then {
			m.needs--
			if m.needs == 0 && !m.ended {
				s.queue(m)
			}
		}
		return
	}
	s.ok = false
	why := fmt.Sprintf("%s is %s", n.op.ID, out.status)
	for _, m := range s.byTarget[n.op.Target] {
		s.skip(m, why)
	}
	for _, m := range n.then {
		s.skip(m, why)
	}
}

// skip closes a node that will not begin, and what needs it.
func (s *stage) skip(n *node, why string) {
	if n.ended || n.running {
		return
	}
	s.close(n, outcome{status: OpSkipped, reason: why})
	for _, m := range n.then {
		s.skip(m, why)
	}
}

func (s *stage) close(n *node, out outcome) {
	n.ended, n.running = true, false
	now := s.r.opt.Clock.Now()
	s.r.result.Ops = append(s.r.result.Ops, OpResult{Op: n.op, Stage: s.index, Status: out.status, Err: out.err, Reason: out.reason, Started: n.started, Ended: now})
	e := opEvent(OpEnded, s.index, n.op).withError(out.err)
	e.Status, e.Text = out.status, out.reason
	if !n.started.IsZero() {
		e.ElapsedMs = now.Sub(n.started).Milliseconds()
	}
	s.r.emit(e)
}

// rest closes what never began because the run stopped.
func (s *stage) rest() {
	for _, n := range s.nodes {
		if !n.ended {
			s.ok = false
			n.ended = true
			s.r.result.Ops = append(s.r.result.Ops, OpResult{Op: n.op, Stage: s.index, Status: OpSkipped, Reason: "the run stopped before it"})
		}
	}
}
