package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// oneHost is a batch of one host that is cordoned, restarted and uncordoned.
func oneHost() plan.Plan {
	host, batch := plan.NodeSubject("lab/r1/az1/a/blade-00"), plan.BatchSubject(0)
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Initial: plan.State{}.With(plan.Fact{Subject: host, Attr: plan.AttrHost, Value: "old"})}
	var ops []plan.Op
	add := func(k plan.Kind, s plan.Subject, pre plan.Fact, post plan.Fact) {
		pre.Subject, post.Subject = host, s
		op := plan.Op{ID: plan.ID(k, s), Kind: k, Target: s, Pre: []plan.Fact{pre}, Post: []plan.Fact{post}}
		if len(ops) > 0 {
			op.Needs = []plan.OpID{ops[len(ops)-1].ID}
		}
		ops = append(ops, op)
	}
	add(plan.BatchCertify, batch, plan.Fact{Attr: plan.AttrHost, Value: "old"}, plan.Fact{Attr: plan.AttrCertified, Value: plan.Yes})
	add(plan.HostCordon, host, plan.Fact{Attr: plan.AttrHost, Value: "old"}, plan.Fact{Attr: plan.AttrCordon, Value: plan.Set})
	add(plan.SlotBoot, host, plan.Fact{Attr: plan.AttrCordon, Value: plan.Set}, plan.Fact{Attr: plan.AttrHost, Value: "new"})
	add(plan.HostUncordon, host, plan.Fact{Attr: plan.AttrHost, Value: "new"}, plan.Fact{Attr: plan.AttrCordon})
	p.Stages = []plan.Stage{{Title: "batch 1", Ops: ops}}
	plan.Seal(&p)
	return p
}

// TestHalted: what a driver halts ends the run as halted, and the same plan goes on with it.
func TestHalted(t *testing.T) {
	d := newDesk(t, oneHost())
	id := plan.ID(plan.BatchCertify, plan.BatchSubject(0))
	d.w.apply[id] = func(context.Context) error { return fmt.Errorf("memory is short: %w", engine.ErrHalted) }
	for range 2 {
		res := d.apply(t.Context())
		want(t, res, engine.Halted)
		if n := len(res.With(engine.OpSkipped)); n != 3 {
			t.Fatalf("%d ops were skipped, want 3", n)
		}
	}
	delete(d.w.apply, id)
	want(t, d.apply(t.Context()), engine.Done)
	d.final()
}

// TestWhatDoesNotLastProvesNothing: that a cordon is not set does not show that the host behind it was changed; that it runs the new slot does.
func TestWhatDoesNotLastProvesNothing(t *testing.T) {
	host := plan.NodeSubject("lab/r1/az1/a/blade-00")
	for value, kind := range map[string]engine.Kind{"other": engine.Stale, "new": engine.Done} {
		d := newDesk(t, oneHost())
		d.p.Stages[0].Ops[0].Pre = nil
		plan.Seal(&d.p)
		d.w.facts.Set(plan.Fact{Subject: host, Attr: plan.AttrHost, Value: value})
		res := d.apply(t.Context())
		if want(t, res, kind); d.w.applied[plan.ID(plan.SlotBoot, host)] != 0 {
			t.Errorf("the host runs %s, and was restarted", value)
		}
	}
}
