// Package vtime is virtual time for a simulation: a clock that jumps from one event to the next, and coroutines that wait in it. Everything runs in the
// goroutine that calls Wait, one thing at a time, so that a seed decides the order of everything. It is the Clock of packages engine and ops, and
// the engine's Executor.
package vtime

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Epoch is when virtual time begins.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// Time is one simulation's clock and its coroutines. It is not safe for concurrent use.
type Time struct {
	now    time.Duration // since Epoch
	queue  queue
	seq    int64
	ready  []*coroutine
	parked []*coroutine
	self   *coroutine // that runs; nil: whoever called Wait, or somebody outside of coroutines
	ended  bool
}

// New makes a time that stands at Epoch.
func New() *Time { return &Time{} }

// coroutine is one op's work.
type coroutine struct {
	next   func() (struct{}, bool)
	yield  func(struct{}) bool
	ctx    context.Context // while parked
	queued bool
}

// Now implements the clocks.
func (t *Time) Now() time.Time { return Epoch.Add(t.now) }

// Since tells how long the simulation has run.
func (t *Time) Since() time.Duration { return t.now }

// AfterFunc implements the clocks: f runs after d. It may end contexts.
func (t *Time) AfterFunc(d time.Duration, f func()) func() bool {
	e := t.push(d, f)
	e.ends = true
	return func() bool {
		was := e.do != nil
		e.do = nil
		return was
	}
}

// After lets something happen after d. It may not end contexts.
func (t *Time) After(d time.Duration, f func()) { t.push(d, f) }

func (t *Time) push(d time.Duration, f func()) *event {
	t.seq++
	e := &event{at: t.now + max(d, 0), seq: t.seq, do: f}
	t.queue.push(e)
	return e
}

// Sleep implements the clock of package ops.
func (t *Time) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var s Signal
	e := t.push(d, func() { s.Fire(t) })
	err := s.Wait(ctx, t)
	if err != nil {
		e.do = nil
	}
	return err
}

// Signal is something that one coroutine waits for. The zero value has not fired.
type Signal struct {
	fired bool
	who   *coroutine
}

// Fire lets the waiter go on.
func (s *Signal) Fire(t *Time) {
	s.fired = true
	if s.who != nil {
		t.wake(s.who)
	}
}

// Wait returns when the signal has fired, or with the context's error when that ends before. Outside of coroutines it lets time pass meanwhile.
func (s *Signal) Wait(ctx context.Context, t *Time) error {
	c := t.self
	for !s.fired && ctx.Err() == nil {
		if c == nil {
			t.step()
			continue
		}
		s.who, c.ctx = c, ctx
		t.parked = append(t.parked, c)
		c.yield(struct{}{})
		s.who = nil
	}
	if s.fired {
		return nil
	}
	return ctx.Err()
}

func (t *Time) wake(c *coroutine) {
	if !c.queued {
		c.queued = true
		t.ready = append(t.ready, c)
	}
}

// Go implements the engine's Executor. What it begins runs when somebody waits.
func (t *Time) Go(f func()) {
	c := &coroutine{}
	c.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		f()
	})
	t.wake(c)
}

// Wait implements the engine's Executor. A run that waits for what can never happen is a fault of the simulation, and panics.
func (t *Time) Wait(changed, stopping <-chan struct{}) {
	t.sweep()
	for !t.ended {
		select {
		case <-changed:
			return
		case <-stopping:
			return
		default:
		}
		t.step()
	}
	t.ended = false
}

// step runs what is ready, or lets time pass to the next event.
func (t *Time) step() {
	if len(t.ready) > 0 {
		c := t.ready[0]
		t.ready = t.ready[1:]
		t.resume(c)
		return
	}
	for {
		e := t.queue.pop()
		if e == nil {
			panic("simulation: everybody waits, and nothing will ever happen")
		}
		if e.do == nil {
			continue
		}
		t.now = e.at
		do := e.do
		e.do = nil
		do()
		if e.ends {
			t.sweep()
		}
		return
	}
}

// Until lets time pass until d since Epoch, with nobody at work.
func (t *Time) Until(d time.Duration) {
	reached := false
	t.push(d-t.now, func() { reached = true })
	for !reached {
		t.step()
	}
}

func (t *Time) resume(c *coroutine) {
	c.queued, c.ctx = false, nil
	if i := slices.Index(t.parked, c); i >= 0 {
		t.parked = slices.Delete(t.parked, i, i+1)
	}
	was := t.self
	t.self = c
	if _, more := c.next(); !more {
		t.ended = true
	}
	t.self = was
}

// sweep wakes those whose context has ended.
func (t *Time) sweep() {
	for _, c := range t.parked {
		if c.ctx != nil && c.ctx.Err() != nil {
			t.wake(c)
		}
	}
}
