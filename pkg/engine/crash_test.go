package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// boundary is a moment in an op's life at which the process may die.
type boundary string

const (
	beforeIntent boundary = "before INTENT"
	afterIntent  boundary = "after INTENT"
	afterAct     boundary = "after the act"
	beforeDone   boundary = "before DONE"
	afterDone    boundary = "after DONE"
)

var boundaries = []boundary{beforeIntent, afterIntent, afterAct, beforeDone, afterDone}

// killer is a journal, and a world, of a process that dies at a boundary of an op: from then on nothing is written and nothing acts.
type killer struct {
	engine.Journal
	op   plan.OpID
	at   boundary
	mu   sync.Mutex
	dead bool
}

func (k *killer) Append(ctx context.Context, r state.Record) (state.Record, error) {
	before := map[state.Kind]boundary{state.KindIntent: beforeIntent, state.KindDone: beforeDone}
	after := map[state.Kind]boundary{state.KindIntent: afterIntent, state.KindDone: afterDone}
	if r.OpID == k.op && before[r.Kind] == k.at {
		k.die()
	}
	if k.isDead() {
		return r, errKilled
	}
	r, err := k.Journal.Append(ctx, r)
	if r.OpID == k.op && after[r.Kind] == k.at {
		k.die()
	}
	if k.isDead() {
		return r, errKilled
	}
	return r, err
}

func (k *killer) die() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
}

func (k *killer) isDead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// killAt runs the plan in a process that dies at a boundary of an op.
func (d *desk) killAt(op plan.OpID, b boundary) engine.Result {
	d.t.Helper()
	k := &killer{op: op, at: b}
	d.w.during = func(context.Context, plan.Op) error {
		if k.isDead() {
			return errKilled
		}
		return nil
	}
	d.w.after = func(o plan.Op) error {
		if o.ID == op && b == afterAct {
			k.die()
		}
		if k.isDead() {
			return errKilled
		}
		return nil
	}
	res := d.apply(d.t.Context(), func(o *engine.Options) { k.Journal, o.Journal = o.Journal, k })
	d.w.during, d.w.after = nil, nil
	if !k.isDead() {
		d.t.Fatal("the process did not die")
	}
	return res
}

// TestKillEverywhere dies at every boundary of every op, one at a time, and goes on: the same end, and nothing done twice.
func TestKillEverywhere(t *testing.T) {
	p := install(2)
	for _, s := range p.Stages {
		for _, op := range s.Ops {
			for _, b := range boundaries {
				t.Run(fmt.Sprintf("%s/%s", op.ID, b), func(t *testing.T) {
					d := newDesk(t, p)
					d.killAt(op.ID, b)
					want(t, d.apply(t.Context()), engine.Done)
					d.final()
				})
			}
		}
	}
}

// TestKillTwice dies at two moments, chosen at random, before it goes on.
func TestKillTwice(t *testing.T) {
	const seed = 1
	rnd := rand.New(rand.NewPCG(seed, seed))
	p := install(2)
	order := p.Stages[0].Order()
	for i := range 30 {
		first, second := rnd.IntN(7), rnd.IntN(7)
		if second <= first { // the second death must lie behind the first
			first, second = 0, first+1
		}
		if second > 6 {
			second = 6
		}
		one, two := boundaries[rnd.IntN(len(boundaries))], boundaries[rnd.IntN(len(boundaries))]
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			d := newDesk(t, p)
			d.killAt(order[first].ID, one)
			d.killAt(order[second].ID, two)
			want(t, d.apply(t.Context()), engine.Done)
			d.final()
		})
	}
}

// TestKillThenOtherPlan: another plan takes the place of an interrupted one. What was begun is settled first.
func TestKillThenOtherPlan(t *testing.T) {
	d := newDesk(t, install(1))
	d.killAt(at(plan.PowerOff, 0), afterAct)
	d.p = vmAlone()
	d.w.facts.Set(d.p.Stages[0].Ops[0].Pre[0])
	want(t, d.apply(t.Context()), engine.Done)
	if d.records(state.KindClosed) != 1 || d.records(state.KindDone) != 3+1 {
		t.Fatalf("%d closed, %d done", d.records(state.KindClosed), d.records(state.KindDone))
	}
}

// TestKillThenNothing: the last op took effect and its process died. Nothing is left to do, and the run does not stay open for ever.
func TestKillThenNothing(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(fmt.Sprint(blind), func(t *testing.T) {
			d := newDesk(t, install(1))
			last := d.p.Stages[1].Ops[0].ID
			d.killAt(last, afterAct)
			d.w.blind[last] = blind
			d.p = plan.Plan{FormatVersion: plan.FormatVersion}
			if blind {
				res, err := d.run(t.Context())
				if want(t, res, engine.Failed); err != nil || !errors.Is(res.Error(), engine.ErrUnknown) {
					t.Fatal(err, res.Error())
				}
				return
			}
			want(t, d.apply(t.Context()), engine.Done)
			if d.records(state.KindClosed) != 1 {
				t.Fatal("the run is still open")
			}
		})
	}
}

func vmAlone() plan.Plan {
	op := vmOp("vm:other", plan.NodeSubject("lab/r1/az1/a/blade-00"))
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalInstall, Initial: plan.State{}, Stages: []plan.Stage{{Title: "machine", Ops: []plan.Op{op}}}}
	p.Initial.Set(op.Pre[0])
	plan.Seal(&p)
	return p
}

// TestUnknown: what nobody can tell stops its target, in the run that goes on and in one that takes its place, until it can be told.
func TestUnknown(t *testing.T) {
	for _, other := range []bool{false, true} {
		t.Run(fmt.Sprint(other), func(t *testing.T) {
			d := newDesk(t, install(2))
			d.killAt(at(plan.PowerOn, 0), afterAct)
			d.w.blind[at(plan.PowerOn, 0)] = true
			if other {
				d.p.Notes = []string{"another plan for the same"}
			}
			for range 2 {
				res := d.apply(t.Context())
				want(t, res, engine.Failed)
				u := res.With(engine.OpUnknown)
				if len(u) == 0 || u[0].Op.Target != plan.NodeSubject("lab/r1/az1/a/blade-00") {
					t.Fatal(res.Error())
				}
				if d.w.applied[at(plan.PowerOn, 0)] != 1 {
					t.Fatal("guessed")
				}
			}
			if other {
				return
			}
			d.w.blind = nil
			want(t, d.apply(t.Context()), engine.Done)
			d.final()
		})
	}
}

// TestDestructiveOnce: a destructive op that was done under an approval is not done again under it, whatever became of the world.
func TestDestructiveOnce(t *testing.T) {
	d := newDesk(t, install(1))
	d.killAt(at(plan.InstallWait, 0), beforeIntent)
	sub := plan.NodeSubject("lab/r1/az1/a/blade-00")
	d.w.facts = d.p.StateBefore(0).With( // as if nothing had happened, and armed again
		plan.Fact{Subject: sub, Attr: plan.AttrPower, Value: "off"},
		plan.Fact{Subject: sub, Attr: plan.AttrBoot, Value: "network"},
		plan.Fact{Subject: sub, Attr: plan.AttrOrder, Value: "spec"})
	want(t, d.apply(t.Context()), engine.Stale)
	if n := d.w.applied[at(plan.PowerOn, 0)]; n != 1 {
		t.Fatalf("powered on %d times", n)
	}
}
