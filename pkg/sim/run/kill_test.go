package run

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// moment is when in an op's life nuboctl is killed. Behind the act and before DONE is one moment: the effect is there, and nothing says so.
type moment string

const (
	beforeIntent moment = "before INTENT"
	afterIntent  moment = "after INTENT"
	inTheAct     moment = "in the act"
	beforeDone   moment = "after the act, before DONE"
	afterDone    moment = "after DONE"
)

var moments = []moment{beforeIntent, afterIntent, inTheAct, beforeDone, afterDone}

// strike is a death at a moment of an op.
type strike struct {
	op   plan.OpID
	when moment
}

// deaths gives the journal's question for strikes, each of which comes true once. In the act is ten seconds behind the intent.
func deaths(s *site, list ...strike) func(state.Record, bool) bool {
	return func(r state.Record, written bool) bool {
		for i, k := range list {
			if k.op != r.OpID {
				continue
			}
			switch {
			case r.Kind == state.KindIntent && k.when == inTheAct && written:
				list[i].op = ""
				s.world.Time.AfterFunc(10*time.Second, func() { _ = s.journal.die() })
			case r.Kind == state.KindIntent && (k.when == beforeIntent && !written || k.when == afterIntent && written),
				r.Kind == state.KindDone && (k.when == beforeDone && !written || k.when == afterDone && written):
				list[i].op = ""
				return true
			}
		}
		return false
	}
}

// newSite is a workstation beside a fleet without faults.
func newSite(t *testing.T, f plan.Fleet, p plan.Policy, opt Options) *site {
	t.Helper()
	opt.Solve = wave.Solve
	s := &site{opt: opt, policy: p, rng: rnd(opt.Seed), journal: newJournal()}
	s.world = world.New(f, world.Options{Seed: opt.Seed, Faults: opt.Faults, Packages: snapshot(p, opt.Seed)})
	if err := s.plan(f); err != nil {
		t.Fatal(err)
	}
	return s
}

// end is all that a rollout leaves behind.
func (s *site) end() string {
	t := &s.world.Truth
	var out []string
	for i := range t.Hosts {
		h := &t.Hosts[i]
		out = append(out, fmt.Sprint(t.Fleet.Hosts[i].Path, h.Up, h.New, h.Daemons, h.Noout.IsZero(), h.Cordon.IsZero()))
	}
	for i := range t.VMs {
		out = append(out, fmt.Sprint(t.VMs[i].Name, t.VMs[i].Host, t.VMs[i].Cells, t.VMs[i].State))
	}
	return string(model.DigestJSON(out))
}

// TestKillARolloutAtEveryOp kills nuboctl at every moment of every op of a rollout, and starts it again: the same end, to the place of each virtual
// machine, and nothing that the monitor could say.
func TestKillARolloutAtEveryOp(t *testing.T) {
	f, p := plantest.Fleet(4, plantest.Tiny)
	p.BakeSeconds = 300
	want := rolled(t, f, p)
	kinds := map[plan.Kind]int{}
	for _, s := range newSite(t, f, p, Options{Seed: 1}).p.Stages {
		for i, op := range s.Ops {
			if testing.Short() && i%7 > 0 {
				continue
			}
			for _, when := range moments {
				if got := rolled(t, f, p, strike{op.ID, when}); got != want {
					t.Errorf("%s, killed %s: it ends otherwise", op.ID, when)
				}
				kinds[op.Kind]++
			}
		}
	}
	for _, k := range []plan.Kind{plan.SlotWrite, plan.BatchCertify, plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.CephStart,
		plan.CephRestore, plan.SlotCommit, plan.HostUncordon, plan.BatchGate, plan.BatchBake} {
		if kinds[k] == 0 && !testing.Short() {
			t.Errorf("no op of kind %s was killed", k)
		}
	}
	t.Log(kinds)
}

// TestKillAReinstallAtEveryOp does the same while hosts are laid down anew: no disk is written twice, and none of a host that is not emptied.
func TestKillAReinstallAtEveryOp(t *testing.T) {
	f, p := plantest.Fleet(4, plantest.Tiny)
	p.BakeSeconds = 300
	p, err := facts.WithMethod(p, plan.MethodReinstall)
	if err != nil {
		t.Fatal(err)
	}
	want := rolled(t, f, p)
	kinds := map[plan.Kind]int{}
	for _, s := range newSite(t, f, p, Options{Seed: 1}).p.Stages[:2] { // the others are made of the same ops
		for i, op := range s.Ops {
			if testing.Short() && i%7 > 0 {
				continue
			}
			for _, when := range moments {
				if got := rolled(t, f, p, strike{op.ID, when}); got != want {
					t.Errorf("%s, killed %s: it ends otherwise", op.ID, when)
				}
				kinds[op.Kind]++
			}
		}
	}
	for _, k := range []plan.Kind{plan.BMCIdentify, plan.OrderArm, plan.HostOff, plan.BootNetwork, plan.PowerOn, plan.InstallWait, plan.HostVerify, plan.CephStart} {
		if kinds[k] == 0 && !testing.Short() {
			t.Errorf("no op of kind %s was killed", k)
		}
	}
}

// TestKillPackagesAtEveryOp does the same while hosts get packages in place: with Open vSwitch among them, so that they are emptied, with Ceph, and with neither.
func TestKillPackagesAtEveryOp(t *testing.T) {
	for name, c := range map[string]struct {
		stays bool
		seed  uint64
		kinds []plan.Kind
	}{
		"emptied":       {false, 1, []plan.Kind{plan.PackagesFetch, plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.PackagesInstall, plan.CephStart, plan.CephRestore, plan.HostUncordon}},
		"Ceph stops":    {true, 2, []plan.Kind{plan.PackagesFetch, plan.HostCordon, plan.CephNoout, plan.CephStop, plan.PackagesInstall, plan.CephStart, plan.CephRestore, plan.HostUncordon}},
		"nothing stops": {true, 1, []plan.Kind{plan.PackagesFetch, plan.HostCordon, plan.PackagesInstall, plan.HostUncordon}},
	} {
		t.Run(name, func(t *testing.T) {
			f, p := plantest.Fleet(4, plantest.Tiny)
			p, err := facts.WithMethod(p, plan.MethodPackages)
			if err != nil {
				t.Fatal(err)
			}
			p.BakeSeconds, p.Stays = 300, c.stays
			want := rolledSeed(t, f, p, c.seed)
			kinds := map[plan.Kind]int{}
			for _, s := range newSite(t, f, p, Options{Seed: c.seed}).p.Stages[:2] { // the others are made of the same ops
				for i, op := range s.Ops {
					if testing.Short() && i%5 > 0 {
						continue
					}
					for _, when := range moments {
						if got := rolledSeed(t, f, p, c.seed, strike{op.ID, when}); got != want {
							t.Errorf("%s, killed %s: it ends otherwise", op.ID, when)
						}
						kinds[op.Kind]++
					}
				}
			}
			for _, k := range c.kinds {
				if kinds[k] == 0 && !testing.Short() {
					t.Errorf("no op of kind %s was killed", k)
				}
			}
			if kinds[plan.HostDrain] > 0 && c.stays {
				t.Error("machines that stay were moved")
			}
			t.Log(kinds)
		})
	}
}

// TestKillARolloutTwice kills at two moments by the seed.
func TestKillARolloutTwice(t *testing.T) {
	f, p := plantest.Fleet(4, plantest.Tiny)
	p.BakeSeconds = 300
	want := rolled(t, f, p)
	var ids []plan.OpID
	for _, s := range newSite(t, f, p, Options{Seed: 1}).p.Stages {
		for _, op := range s.Ops {
			ids = append(ids, op.ID)
		}
	}
	r := rnd(7)
	for range 60 {
		one := strike{ids[r.IntN(len(ids))], moments[r.IntN(len(moments))]}
		two := strike{ids[r.IntN(len(ids))], moments[r.IntN(len(moments))]}
		if got := rolled(t, f, p, one, two); got != want {
			t.Errorf("killed at %v and at %v: it ends otherwise", one, two)
		}
	}
}

// rolled carries out a rollout in which nuboctl is killed, and gives its end.
func rolled(t *testing.T, f plan.Fleet, p plan.Policy, strikes ...strike) string {
	t.Helper()
	return rolledSeed(t, f, p, 1, strikes...)
}

func rolledSeed(t *testing.T, f plan.Fleet, p plan.Policy, seed uint64, strikes ...strike) string {
	t.Helper()
	s := newSite(t, f, p, Options{Seed: seed})
	m := monitor.New(1, s.world.Time.Now())
	s.world.Watch(m)
	s.monitor = m
	s.opt.dies = deaths(s, strikes...)
	s.roll()
	m.End(&s.world.Truth, s.world.Time.Now(), s.out.Outcome == Completed)
	if s.out.Outcome != Completed || len(m.Violations) > 0 {
		t.Errorf("killed at %v: %s %s %v", strikes, s.out.Outcome, s.out.Why, m.Violations)
	}
	if s.out.Kills < min(1, len(strikes)) {
		t.Errorf("killed at %v: nobody died", strikes)
	}
	return s.end()
}

// installPlan plans the install of what is not as desired.
func installPlan(t *testing.T, d model.Desired, w ops.World) plan.Plan {
	t.Helper()
	o, err := opstest.Observe(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]model.Digest{}
	for i := range d.Nodes {
		images[d.Nodes[i].Image.Name], images[d.VMs[i].Image.Name] = d.Nodes[i].Image.Digest, d.VMs[i].Image.Digest
	}
	p, err := planner.Make(planner.Input{Goal: plan.GoalInstall, Desired: d, Observed: o, Inventory: model.DigestJSON(d), Images: images})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKillAnInstallAtEveryOp does the same with the install of a blade: its disk is written once.
func TestKillAnInstallAtEveryOp(t *testing.T) {
	d := opstest.Site(1)
	var order []plan.Op
	for _, s := range installPlan(t, d, world.Bare(d, world.Options{}).Ports(nil)).Stages {
		order = append(order, s.Order()...)
	}
	for _, op := range order {
		for _, when := range moments {
			m := monitor.New(1, time.Time{})
			s := &site{world: world.Bare(d, world.Options{Watch: m}), journal: newJournal(), rng: rnd(1)}
			s.opt.dies = deaths(s, strike{op.ID, when})
			var res engine.Result
			var kinds []engine.Kind
			for range 6 {
				w := s.world.Ports(nil)
				p := installPlan(t, d, w)
				res = s.apply(t, p, w)
				kinds = append(kinds, res.Kind)
				if p.Empty() && res.Kind == engine.Done {
					break
				}
				s.world.Time.Until(s.world.Time.Since() + time.Minute)
			}
			if res.Kind != engine.Done || !installPlan(t, d, s.world.Ports(nil)).Empty() {
				t.Errorf("%s, killed %s: something is left to do: %v %v", op.ID, when, kinds, res.Error())
			}
			if len(m.Violations) > 0 || !slices.Contains(m.Written(), 1) {
				t.Errorf("%s, killed %s: %v, written %v", op.ID, when, m.Violations, m.Written())
			}
		}
	}
}

// apply runs nuboctl once.
func (s *site) apply(t *testing.T, p plan.Plan, w ops.World) engine.Result {
	t.Helper()
	ctx, kill := context.WithCancelCause(t.Context())
	defer kill(nil)
	s.journal.begin(kill)
	s.journal.dies = s.opt.dies
	d := ops.New(w)
	res, err := engine.Run(ctx, p, engine.Options{Approver: "ann", Journal: s.journal, Limits: engine.DefaultLimits(), Clock: s.world.Time, Executor: s.world.Time,
		Drivers: func(k plan.Kind) (engine.Driver, bool) { return d, d.Knows(k) }})
	if err != nil && !s.journal.dead {
		t.Fatal(err)
	}
	return res
}
