package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// errKilled is what everything returns from the moment on at which the process is dead.
var errKilled = errors.New("killed")

// world is what drivers act on: facts, as plans speak of them. It outlives the process that acts on it.
type world struct {
	mu      sync.Mutex
	facts   plan.State
	applied map[plan.OpID]int
	calls   []string // every call of every driver: "check ID", …

	blind  map[plan.OpID]bool                          // probes of these tell nothing
	apply  map[plan.OpID]func(context.Context) error   // before the effect; its error is Apply's
	during func(ctx context.Context, op plan.Op) error // within every Apply
	after  func(op plan.Op) error                      // behind the effect of every Apply
	verify map[plan.OpID]error
}

func newWorld(p plan.Plan) *world {
	return &world{facts: p.Initial.Clone(), applied: map[plan.OpID]int{}, blind: map[plan.OpID]bool{}, apply: map[plan.OpID]func(context.Context) error{}, verify: map[plan.OpID]error{}}
}

// drivers has the same driver for every kind.
func (w *world) drivers(plan.Kind) (engine.Driver, bool) { return driver{w}, true }

type driver struct{ w *world }

func (d driver) say(what string, op plan.Op) {
	d.w.calls = append(d.w.calls, what+" "+string(op.ID))
}

func (d driver) Check(_ context.Context, op plan.Op) error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.say("check", op)
	if unmet := plan.Unmet(op, d.w.facts); len(unmet) > 0 {
		return fmt.Errorf("%w: %v", engine.ErrStale, unmet)
	}
	return nil
}

func (d driver) Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error {
	progress(plan.Progress{Text: "at it"})
	if f := d.w.apply[op.ID]; f != nil {
		if err := f(ctx); err != nil {
			return err
		}
	}
	if d.w.during != nil {
		if err := d.w.during(ctx, op); err != nil {
			return err
		}
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.say("apply", op)
	d.w.applied[op.ID]++
	for _, f := range op.Post {
		d.w.facts.Set(f)
	}
	if d.w.after != nil {
		return d.w.after(op)
	}
	return nil
}

func (d driver) Verify(_ context.Context, op plan.Op) error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.say("verify", op)
	if err := d.w.verify[op.ID]; err != nil {
		return err
	}
	if !plan.Done(op, d.w.facts) {
		return fmt.Errorf("%v do not all hold", op.Post)
	}
	return nil
}

func (d driver) Probe(_ context.Context, op plan.Op) (plan.Outcome, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.say("probe", op)
	switch {
	case d.w.blind[op.ID]:
		return plan.Unknown, errors.New("nobody answers")
	case plan.Done(op, d.w.facts):
		return plan.Applied, nil
	}
	return plan.NotApplied, nil
}

// install is a plan that installs blades and puts a virtual machine on each, in two stages.
func install(blades int) plan.Plan {
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalInstall, Initial: plan.State{}}
	hosts, vms := plan.Stage{Title: "hosts"}, plan.Stage{Title: "machines"}
	for i := range blades {
		sub := plan.NodeSubject(model.Path(fmt.Sprintf("lab/r1/az1/a/blade-%02d", i)))
		p.Initial.Set(plan.Fact{Subject: sub, Attr: plan.AttrPower, Value: "on"})
		hosts.Ops = append(hosts.Ops, hostOps(sub, fmt.Sprintf("bmc:%d", i))...)
		vms.Ops = append(vms.Ops, vmOp(plan.VMSubject(fmt.Sprintf("vm-%02d", i)), sub))
	}
	p.Stages = []plan.Stage{hosts, vms}
	plan.Seal(&p)
	return p
}

func vmOp(vm, node plan.Subject) plan.Op {
	return plan.Op{ID: plan.ID(plan.VMEnsure, vm), Kind: plan.VMEnsure, Target: vm,
		Pre:  []plan.Fact{{Subject: node, Attr: plan.AttrHost, Value: "spec"}},
		Post: []plan.Fact{{Subject: vm, Attr: plan.AttrRuns, Value: string(node)}}}
}

func hostOps(sub plan.Subject, bmc string) []plan.Op {
	var ops []plan.Op
	fact := func(a plan.Attr, v string) plan.Fact { return plan.Fact{Subject: sub, Attr: a, Value: v} }
	add := func(k plan.Kind, pre []plan.Fact, post ...plan.Fact) {
		op := plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Pre: pre, Post: post, Uses: []string{bmc, "rack:a"}}
		if len(ops) > 0 {
			op.Needs = []plan.OpID{ops[len(ops)-1].ID}
		}
		ops = append(ops, op)
	}
	type facts = []plan.Fact
	add(plan.BMCIdentify, nil, fact(plan.AttrMachine, "serial"))
	add(plan.OrderArm, facts{fact(plan.AttrMachine, "serial")}, fact(plan.AttrOrder, "spec"), fact(plan.AttrInstall, ""), fact(plan.AttrHost, ""))
	add(plan.PowerOff, facts{fact(plan.AttrOrder, "spec")}, fact(plan.AttrPower, "off"))
	add(plan.BootNetwork, facts{fact(plan.AttrPower, "off")}, fact(plan.AttrBoot, "network"))
	add(plan.PowerOn, facts{fact(plan.AttrPower, "off"), fact(plan.AttrBoot, "network")}, fact(plan.AttrPower, "on"), fact(plan.AttrBoot, ""), fact(plan.AttrInstall, "started"))
	add(plan.InstallWait, facts{fact(plan.AttrInstall, "started")}, fact(plan.AttrInstall, "installed"))
	add(plan.HostVerify, facts{fact(plan.AttrInstall, "installed")}, fact(plan.AttrHost, "spec"))
	return ops
}

// at is the id of an op of a kind on blade i.
func at(k plan.Kind, i int) plan.OpID {
	return plan.ID(k, plan.NodeSubject(model.Path(fmt.Sprintf("lab/r1/az1/a/blade-%02d", i))))
}

// desk is a workstation: a journal on its disk, and a world that its runs act on.
type desk struct {
	t   testing.TB
	dir string
	w   *world
	p   plan.Plan
}

func newDesk(t testing.TB, p plan.Plan) *desk {
	return &desk{t: t, dir: t.TempDir(), w: newWorld(p), p: p}
}

// apply runs the plan as one process would, with what change asks for.
func (d *desk) apply(ctx context.Context, change ...func(*engine.Options)) engine.Result {
	d.t.Helper()
	res, err := d.run(ctx, change...)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(res.Ops) != d.p.Ops() {
		d.t.Fatalf("the result has %d of %d ops", len(res.Ops), d.p.Ops())
	}
	return res
}

func (d *desk) run(ctx context.Context, change ...func(*engine.Options)) (engine.Result, error) {
	d.t.Helper()
	j, err := journal.Open(d.dir, journal.Options{Epoch: 1})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			d.t.Error(err)
		}
	}()
	opt := engine.Options{Journal: j, Drivers: d.w.drivers, Approver: "ann", Limits: engine.DefaultLimits()}
	for _, c := range change {
		c(&opt)
	}
	return engine.Run(ctx, d.p, opt)
}

// final fails unless the world is as the plan promises and every op took effect once.
func (d *desk) final() {
	d.t.Helper()
	if got, want := d.w.facts.Digest(), d.p.Final().Digest(); got != want {
		d.t.Fatalf("the world ended up with %v", plan.Diff(d.p.Final(), d.w.facts))
	}
	for id, n := range d.w.applied {
		if n != 1 {
			d.t.Fatalf("%s took effect %d times", id, n)
		}
	}
}

func want(t testing.TB, res engine.Result, k engine.Kind) {
	t.Helper()
	if res.Kind != k {
		t.Fatalf("the run is %s, want %s: %v", res.Kind, k, res.Error())
	}
}

// records counts the journal's records of a kind.
func (d *desk) records(k state.Kind) int {
	d.t.Helper()
	n := 0
	for r, err := range journal.Read(d.dir) {
		if err != nil {
			d.t.Fatal(err)
		}
		if r.Kind == k {
			n++
		}
	}
	return n
}
