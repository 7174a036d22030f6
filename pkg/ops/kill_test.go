package ops_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

func (d *death) Append(ctx context.Context, r state.Record) (state.Record, error) {
	if r.OpID == d.op && r.Kind == state.KindIntent && d.when == beforeIntent {
		d.die()
	}
	if err := d.is(); err != nil {
		return r, err
	}
	r, err := d.Journal.Append(ctx, r)
	if r.OpID == d.op && ((r.Kind == state.KindIntent && d.when == afterIntent) || (r.Kind == state.KindDone && d.when == afterDone)) {
		d.die()
		return r, errKilled
	}
	return r, err
}

// mortal is a driver of a process that may die.
type mortal struct {
	engine.Driver
	d *death
}

func (m mortal) Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error {
	if err := m.d.is(); err != nil {
		return err
	}
	err := m.Driver.Apply(ctx, op, func(p plan.Progress) {
		if op.ID == m.d.op && (m.d.when == inTheAct || m.d.when == whileItBoots && strings.Contains(p.Waiting, "to ask the relay")) {
			m.d.die()
		}
		progress(p)
	})
	if op.ID == m.d.op && m.d.when == afterAct {
		m.d.die()
	}
	if dead := m.d.is(); dead != nil {
		return dead
	}
	return err
}

// killAt runs a plan in a process that dies, and reports whether it did.
func (s *site) killAt(p plan.Plan, op plan.OpID, when moment) bool {
	s.t.Helper()
	ctx, cancel := context.WithCancelCause(s.t.Context())
	defer cancel(nil)
	d := &death{op: op, when: when, kill: cancel}
	s.run(ctx, p, func(o *engine.Options) {
		d.Journal, o.Journal = o.Journal, d
		drivers := o.Drivers
		o.Drivers = func(k plan.Kind) (engine.Driver, bool) {
			inner, ok := drivers(k)
			return mortal{inner, d}, ok
		}
	})
	return d.is() != nil
}

// TestKillAtEveryOp dies at every moment of every op, and goes on: at once or after a while, with the same plan or with a new one. The end is
// the same, and the disk was written once.
func TestKillAtEveryOp(t *testing.T) {
	for _, when := range []moment{beforeIntent, afterIntent, inTheAct, afterAct, afterDone} {
		for _, later := range []time.Duration{0, 30 * time.Second} {
			for _, same := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s later/same plan %v", when, later, same), func(t *testing.T) {
					for i := range firstPlan(t).Stages[0].Ops {
						dir := t.TempDir()
						synctest.Test(t, func(t *testing.T) { killAndGoOn(newSite(t, dir, 1), i, when, later, same) })
					}
				})
			}
		}
	}
}

// TestKillAReinstall dies in the middle of laying a host down again. The same plan goes on, and the disk is written once more, not twice.
func TestKillAReinstall(t *testing.T) {
	for _, when := range []moment{afterIntent, afterAct} {
		t.Run(string(when), func(t *testing.T) {
			for i := range reinstallPlan(t).Stages[0].Ops {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) { killReinstall(newSite(t, dir, 1), i, when) })
			}
		})
	}
}

// TestKilledWhileAMachineBoots dies when a machine was switched on and has not asked for its boot yet. Nobody answers it, since the relay has died with the
// process, and it boots nothing. The same plan goes on: it waits a while, and starts the machine anew.
func TestKilledWhileAMachineBoots(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("its request is lost %v", lost), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, dir, 1)
				p := s.plan(plan.GoalInstall)
				if !s.killAt(p, plan.ID(plan.PowerOn, plan.NodeSubject(s.node(0))), whileItBoots) {
					t.Fatal("the process did not die")
				}
				if lost {
					s.lab.Break(s.node(0), rack.RelayLost)
					time.Sleep(time.Minute)
					s.lab.Break(s.node(0), rack.Sound)
				}
				if res := s.run(t.Context(), p); res.Kind != engine.Done {
					t.Errorf("the same plan is %s: %v", res.Kind, res.Error())
				}
				if n := s.lab.Begun(s.node(0)); n != 1 {
					t.Errorf("its disk was begun to be written %d times", n)
				}
			})
		})
	}
}

func killReinstall(s *site, i int, when moment) {
	s.apply()
	p := s.plan(plan.GoalReinstall)
	op := p.Stages[0].Ops[i]
	if !s.killAt(p, op.ID, when) {
		s.t.Errorf("%s: the process did not die", op.ID)
		return
	}
	time.Sleep(time.Minute)
	if res := s.run(s.t.Context(), p); res.Kind != engine.Done {
		s.t.Errorf("%s: the same plan is %s: %v", op.ID, res.Kind, res.Error())
	}
	if n := s.lab.Begun(s.node(0)); n != 2 {
		s.t.Errorf("%s: its disk was begun to be written %d times in all, want 2", op.ID, n)
	}
	if again := s.plan(plan.GoalInstall); !again.Empty() {
		s.t.Errorf("%s: something is left to do", op.ID)
	}
}

// reinstallPlan is the plan for a blade that is laid down again: it is emptied first.
func reinstallPlan(t *testing.T) (p plan.Plan) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.apply()
		p = s.plan(plan.GoalReinstall)
	})
	return p
}

// firstPlan is the plan for an untouched site of one blade.
func firstPlan(t *testing.T) (p plan.Plan) {
	synctest.Test(t, func(t *testing.T) { p = newSite(t, "", 1).plan(plan.GoalInstall) })
	return p
}

func killAndGoOn(s *site, i int, when moment, later time.Duration, same bool) {
	p := s.plan(plan.GoalInstall)
	op := p.Stages[0].Ops[i]
	if !s.killAt(p, op.ID, when) {
		s.t.Errorf("%s: the process did not die", op.ID)
		return
	}
	time.Sleep(later)
	if same {
		if res := s.run(s.t.Context(), p); res.Kind != engine.Done {
			s.t.Errorf("%s: the same plan is %s: %v", op.ID, res.Kind, res.Error())
		}
	}
	s.apply()
	if n := s.lab.Begun(s.node(0)); n != 1 {
		s.t.Errorf("%s: its disk was begun to be written %d times", op.ID, n)
	}
}
