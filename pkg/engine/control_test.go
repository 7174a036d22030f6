package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// slow makes every op of a world take a minute of the bubble's time, or until its context ends. An op whose deadline is that minute is in time.
func slow(w *world) {
	w.during = func(ctx context.Context, _ plan.Op) error {
		began := time.Now()
		select {
		case <-time.After(time.Minute):
			return nil
		case <-ctx.Done():
			if time.Since(began) >= time.Minute {
				return nil
			}
			return ctx.Err()
		}
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(3))
		slow(d.w)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		res := d.apply(ctx)
		want(t, res, engine.Interrupted)
		if n := len(res.With(engine.OpInterrupted)); n != 3 {
			t.Fatalf("%d interrupted", n)
		}
		if n := d.records(state.KindInterrupted); n != 3 {
			t.Fatalf("%d interruptions are on record", n)
		}
		d.w.during = nil
		want(t, d.apply(t.Context()), engine.Done)
		d.final()
	})
}

func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(1))
		slow(d.w)
		lost := make(chan struct{})
		time.AfterFunc(90*time.Second, func() { close(lost) })
		res := d.apply(t.Context(), func(o *engine.Options) { o.Lost = lost })
		want(t, res, engine.Interrupted)
		if !errors.Is(res.Err, engine.ErrLeaseLost) {
			t.Fatal(res.Err)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(3))
		slow(d.w)
		c := engine.NewControl()
		tracker := engine.NewTracker(nil)
		start := time.Now()
		time.AfterFunc(90*time.Second, c.Pause)
		time.AfterFunc(10*time.Minute, func() {
			p := tracker.Progress()
			if !p.Paused || len(p.Running) != 0 || p.Counts[engine.OpDone] != 6 {
				t.Errorf("while paused: %+v", p)
			}
		})
		time.AfterFunc(time.Hour, c.Resume)
		res := d.apply(t.Context(), func(o *engine.Options) { o.Control, o.Observer = c, tracker })
		want(t, res, engine.Done)
		d.final()
		if took := time.Since(start); took != time.Hour+6*time.Minute {
			t.Fatalf("took %s", took)
		}
	})
}

// TestPausedThenCancelled: Ctrl-C ends a run that is paused.
func TestPausedThenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(1))
		c := engine.NewControl()
		c.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		want(t, d.apply(ctx, func(o *engine.Options) { o.Control = c }), engine.Interrupted)
		if len(d.w.calls) != 0 {
			t.Fatal(d.w.calls)
		}
	})
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(2))
		slow(d.w)
		c := engine.NewControl()
		time.AfterFunc(90*time.Second, c.Abort)
		res := d.apply(t.Context(), func(o *engine.Options) { o.Control = c })
		want(t, res, engine.Aborted)
		if d.records(state.KindClosed) != 1 {
			t.Fatal("the run is not closed")
		}
	})
}

// TestLimits runs many ops that share resources: no limit is ever exceeded, each is used to the full, and nothing is refused.
func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits engine.Limits
		most   int
		took   time.Duration
	}{
		"none":    {engine.Limits{}, 24, 8 * time.Minute},
		"overall": {engine.Limits{Overall: 5}, 5, (24*7/5+1)*time.Minute + 5*time.Minute},
		"rack":    {engine.Limits{Class: map[string]int{"rack": 4}}, 24, 42*time.Minute + time.Minute},
		"name":    {engine.Limits{Class: map[string]int{"rack": 4}, Name: map[string]int{"rack:a": 8}}, 24, 21*time.Minute + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, install(24))
				var mu sync.Mutex
				running, most := 0, 0
				d.w.during = func(context.Context, plan.Op) error {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(time.Minute)
					mu.Lock()
					running--
					mu.Unlock()
					return nil
				}
				start := time.Now()
				want(t, d.apply(t.Context(), func(o *engine.Options) { o.Limits = test.limits }), engine.Done)
				d.final()
				if took := time.Since(start); took > test.took || most != test.most {
					t.Fatalf("%d at once, took %s", most, took)
				}
			})
		})
	}
}

// TestDiskFull: when nothing can be recorded nothing begins; what was done stays known.
func TestDiskFull(t *testing.T) {
	d := newDesk(t, install(2))
	full := fmt.Errorf("write journal: %w (%w)", state.ErrFull, syscall.ENOSPC)
	n := 0
	d.w.facts = d.p.Initial.Clone()
	m := &memory{fail: func(r state.Record) error {
		if r.Kind == state.KindIntent {
			n++
		}
		if n > 4 && r.Kind == state.KindIntent {
			return full
		}
		return nil
	}}
	res, err := engine.Run(t.Context(), d.p, engine.Options{Journal: m, Drivers: d.w.drivers, Approver: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, res, engine.Failed)
	if !errors.Is(res.Err, state.ErrFull) || !errors.Is(res.Err, engine.ErrJournal) {
		t.Fatal(res.Err)
	}
	if len(d.w.applied) > 4 {
		t.Fatalf("%d ops acted without a record", len(d.w.applied)-4)
	}
}

// TestManyOps keeps the bookkeeping of a large stage cheap: it would not end in time if each end of an op looked at all others.
func TestManyOps(t *testing.T) {
	p := install(2000)
	w := newWorld(p)
	res, err := engine.Run(t.Context(), p, engine.Options{Journal: &memory{}, Drivers: w.drivers, Approver: "ann", Limits: engine.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	want(t, res, engine.Done)
}

// unhurried makes every op of a world take 50 seconds of the bubble's time, which is within the deadline of each.
func unhurried(w *world) {
	w.during = func(context.Context, plan.Op) error {
		time.Sleep(50 * time.Second)
		return nil
	}
}

// TestYield: what changes something comes to its end, nothing else begins, and the run ends so that it can go on; a pause does not hold it back.
func TestYield(t *testing.T) {
	for name, paused := range map[string]bool{"running": false, "paused": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, install(3))
				unhurried(d.w)
				c := engine.NewControl()
				var events []engine.Event
				if paused {
					time.AfterFunc(60*time.Second, c.Pause)
				}
				time.AfterFunc(75*time.Second, func() {
					if err := c.Obey(state.Ask{Verb: state.AskYield, By: state.Holder{User: "bob", Host: "elsewhere"}}); err != nil {
						t.Error(err)
					}
				})
				res := d.apply(t.Context(), func(o *engine.Options) {
					o.Control, o.Observer = c, observe(func(e engine.Event) { events = append(events, e) })
				})
				want(t, res, engine.Interrupted)
				if !errors.Is(res.Err, engine.ErrYielded) || !strings.Contains(res.Err.Error(), "bob@elsewhere") {
					t.Fatal(res.Err)
				}
				if done, stopped := len(res.With(engine.OpDone)), len(res.With(engine.OpInterrupted)); done != 6 || stopped != 0 {
					t.Fatalf("%d done, %d interrupted", done, stopped)
				}
				var said []string
				for _, e := range events {
					if e.Kind == engine.RunYielding || e.Kind == engine.RunStopping {
						said = append(said, string(e.Kind)+" "+e.Text)
					}
				}
				if s := strings.Join(said, "; "); s != "run.yielding bob@elsewhere; run.stopping " {
					t.Fatal(s)
				}
				want(t, d.apply(t.Context()), engine.Done)
				d.final()
			})
		})
	}
}

// TestYieldTakenBack: who changes his mind in time has the run go on.
func TestYieldTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, install(3))
		unhurried(d.w)
		c := engine.NewControl()
		time.AfterFunc(75*time.Second, c.Yield)
		time.AfterFunc(85*time.Second, c.Resume)
		want(t, d.apply(t.Context(), func(o *engine.Options) { o.Control = c }), engine.Done)
		d.final()
	})
}

// TestYieldDuringAWait: what only looks and waits, for days perhaps, is interrupted; what changes something beside it is not.
func TestYieldDuringAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := install(1)
		waiting := plan.NodeSubject("lab/r1/az1/a/leaving")
		p.Stages[0].Ops = append(p.Stages[0].Ops, plan.Op{ID: plan.ID(plan.CephEmpty, waiting), Kind: plan.CephEmpty, Target: waiting,
			Post: []plan.Fact{{Subject: waiting, Attr: plan.AttrData, Value: "elsewhere"}}})
		plan.Seal(&p)
		d := newDesk(t, p)
		d.w.during = func(ctx context.Context, op plan.Op) error {
			if op.Kind == plan.CephEmpty {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(50 * time.Second)
			return nil
		}
		c := engine.NewControl()
		time.AfterFunc(75*time.Second, c.Yield)
		start := time.Now()
		res := d.apply(t.Context(), func(o *engine.Options) { o.Control = c })
		want(t, res, engine.Interrupted)
		if done, stopped := len(res.With(engine.OpDone)), res.With(engine.OpInterrupted); done != 2 || len(stopped) != 1 || stopped[0].Op.Kind != plan.CephEmpty {
			t.Fatalf("%d done, %v interrupted", done, stopped)
		}
		if took := time.Since(start); took != 100*time.Second {
			t.Fatalf("took %s of the bubble's time", took)
		}
	})
}
