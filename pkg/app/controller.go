package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// controller does what others ask of a process that holds a lease: while it plans, while it carries out, and until it ends.
type controller struct {
	holder state.Holder
	stop   context.CancelCauseFunc // ends what it does before it has begun to carry out

	mu     sync.Mutex
	begun  bool
	live   *view.Live      // of the last run
	engine *engine.Control // nil unless a run goes on
}

// begin has a run obey from now on, until ended is called.
func (c *controller) begin(live *view.Live) (control *engine.Control, ended func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.live, c.engine = true, live, engine.NewControl()
	return c.engine, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.engine = nil
	}
}

// do answers an ask.
func (c *controller) do(a state.Ask) state.Answer {
	out := state.Answer{By: c.holder}
	if a.Verb != state.AskStatus {
		if err := c.obey(a); err != nil {
			out.Refused = err.Error()
		}
	}
	out.Status, _ = json.Marshal(c.status()) // plain values, which can be encoded
	return out
}

func (c *controller) obey(a state.Ask) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := a.By.User + "@" + a.By.Host
	switch {
	case c.engine != nil:
		return c.engine.Obey(a)
	case c.begun && a.Verb == state.AskYield:
		return nil // it gives the lease up in a moment
	case c.begun:
		return errors.New("its run has ended")
	case a.Verb == state.AskYield:
		c.stop(fmt.Errorf("%w, as %s asked: nothing was done", engine.ErrYielded, by))
	case a.Verb == state.AskAbort:
		c.stop(fmt.Errorf("%w, as %s asked: nothing was done", engine.ErrAborted, by))
	default:
		return fmt.Errorf("it has not begun to carry out a plan: there is nothing to %s", a.Verb)
	}
	return nil
}

// lost ends a plan in the making when the lease was lost under which it would be applied; a run looks after itself.
func (c *controller) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.stop(fmt.Errorf("%w: nothing was done", engine.ErrLeaseLost))
	}
}

func (c *controller) status() runStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := runStatus{FormatVersion: 1, Running: true, Holder: &c.holder}
	if c.engine != nil {
		st.Paused, _ = c.engine.State()
	}
	if c.live != nil {
		p := c.live.Progress()
		st.Run = &p
	}
	return st
}

// listen does what others ask of the holder of a lease, until deaf is called. Its context ends when they ask for that before a run has begun.
func (s *session) listen(ctx context.Context, lease state.Lease, command string) (listening context.Context, deaf func()) {
	listening, stop := context.WithCancelCause(ctx)
	s.control = &controller{holder: holder(s.env, command), stop: stop}
	served, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- s.store.Answer(served, lease, s.control.do) }()
	go func() {
		select {
		case <-lease.Lost():
			s.control.lost()
		case <-served.Done():
		}
	}()
	return listening, func() {
		end()
		if err := <-done; err != nil {
			s.env.note("Others may not have been able to ask this process anything: %v", err)
		}
		stop(nil)
	}
}

// unlessStopped says why a command ended before it had begun to carry out, when others had asked for that, or its lease was lost.
func (s *session) unlessStopped(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	if errors.Is(why, engine.ErrYielded) || errors.Is(why, engine.ErrAborted) || errors.Is(why, engine.ErrLeaseLost) {
		return &Exit{Code: ExitInterrupted, Err: why}
	}
	return err
}
