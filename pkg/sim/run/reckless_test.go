package run

import (
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// zoneAtOnce takes all hosts of a zone together, and sends what runs there to the other zone, whatever runs there already.
func zoneAtOnce(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
	c := plan.Certificate{Fleet: f, Policy: p}
	zones := map[model.Path]int{}
	for h := range f.Hosts {
		zone := f.Hosts[h].Path.Zone()
		if !f.Hosts[h].Change {
			continue
		}
		i, ok := zones[zone]
		if !ok {
			i = len(c.Batches)
			zones[zone] = i
			c.Batches = append(c.Batches, plan.Batch{Zone: zone})
		}
		c.Batches[i].Hosts = append(c.Batches[i].Hosts, int32(h))
	}
	for vm, h := range f.VMs.Host {
		i, ok := zones[f.Hosts[h].Path.Zone()]
		if !ok || !f.Hosts[h].Change {
			continue
		}
		b := &c.Batches[i]
		n := int32(len(f.Hosts))
		b.Moves.VM, b.Moves.To = append(b.Moves.VM, int32(vm)), append(b.Moves.To, (h+n/2)%n)
	}
	return c, nil
}

// TestWithoutChecksTheMonitorFindsHarm takes the checks away, one kind after the other: the claim that nothing is violated is worth as much as this.
func TestWithoutChecksTheMonitorFindsHarm(t *testing.T) {
	found := func(o Options, seeds uint64) map[string]int {
		out := map[string]int{}
		for seed := uint64(1); seed <= seeds; seed++ {
			f, p := plantest.Fleet(seed, plantest.Small)
			o.Seed = seed
			for _, v := range Rollout(f, p, o).Violations {
				out[v.Invariant]++
			}
		}
		return out
	}
	t.Run("a zone at once, nobody verifies, ops do not ask", func(t *testing.T) {
		got := found(Options{Faults: world.Profiles["none"], Solve: zoneAtOnce, Reckless: true, Careless: true}, 4)
		for _, want := range []string{monitor.Inactive, monitor.Complete, monitor.Capacity, monitor.Zones, monitor.Domain} {
			if got[want] == 0 {
				t.Errorf("%s was not found to be violated, only %v", want, got)
			}
		}
		t.Log(got)
	})
	t.Run("a good plan, while the world moves and nobody certifies again or asks", func(t *testing.T) {
		got := found(Options{Faults: world.Profiles["harsh"], Solve: wave.Solve, Reckless: true, Careless: true}, 12)
		if got[monitor.Capacity] == 0 || got[monitor.Inactive] == 0 {
			t.Errorf("capacity or placement groups were not found to be violated, only %v", got)
		}
		t.Log(got)
	})
	t.Run("a good plan, while disks fail and nobody certifies again or asks", func(t *testing.T) {
		got := found(Options{Faults: world.Faults{Disk: 1.0 / 20}, Solve: wave.Solve, Reckless: true, Careless: true}, 6)
		if got[monitor.Inactive] == 0 {
			t.Errorf("placement groups were not found to be violated, only %v", got)
		}
		if checked := found(Options{Faults: world.Faults{Disk: 1.0 / 20}}, 6); len(checked) > 0 {
			t.Errorf("with the checks: %v", checked)
		}
		t.Log(got)
	})
	t.Run("the verifier stops what the planner should not have made", func(t *testing.T) {
		f, p := plantest.Fleet(1, plantest.Small)
		r := Rollout(f, p, Options{Seed: 1, Faults: world.Profiles["none"], Solve: zoneAtOnce})
		if r.Outcome != Refused || len(r.Violations) > 0 {
			t.Errorf("%s, %v", r.Outcome, r.Violations)
		}
	})
}

// blinded are planners that do not know one rule: they solve a fleet in which it does not exist. Everything else about their plans is good. The search
// for a fleet in which that does harm begins at a seed that is known to be one.
var blinded = []struct {
	name, finds string
	seed        uint64
	blind       func(*plan.Fleet)
	truth       func(*plan.Fleet) // makes the fleet one in which the rule matters; may be nil
	damage      func(*plan.Plan)  // may be nil
}{
	{name: "quorums", finds: monitor.Quorum, seed: 42, blind: func(f *plan.Fleet) { without(f, plan.Quorum) }},
	{name: "placement groups", finds: monitor.Inactive, seed: 2, blind: func(f *plan.Fleet) { f.Clusters[0].Pools, f.Clusters[0].OSDHosts = nil, nil }},
	{name: "the last copies", finds: monitor.Complete, seed: 2, blind: func(f *plan.Fleet) { f.Clusters[0].Pools, f.Clusters[0].OSDHosts = nil, nil }},
	{name: "capacity", finds: monitor.Capacity, seed: 1, blind: func(f *plan.Fleet) {
		for i := range f.Hosts {
			f.Hosts[i].VCPUs, f.Hosts[i].MemoryMiB = f.Hosts[i].VCPUs*4, f.Hosts[i].MemoryMiB*4
		}
	}},
	{name: "processors", finds: monitor.Suits, seed: 5, blind: func(f *plan.Fleet) {
		for i := range f.Classes {
			f.Classes[i].CPUs = f.Classes[len(f.Classes)-1].CPUs
		}
	}},
	{name: "anti-affinity", finds: monitor.Apart, seed: 1, blind: func(f *plan.Fleet) { f.Apart = nil }},
	{name: "standbys", finds: monitor.Standby, seed: 37, blind: func(f *plan.Fleet) { without(f, plan.Standby) }},
	{name: "key services", finds: monitor.Key, seed: 32, blind: func(f *plan.Fleet) { without(f, plan.Key) }},
	{name: "failure domains", finds: monitor.Domain, seed: 9, blind: func(f *plan.Fleet) { f.Clusters[0].FailureDomain, f.Clusters[0].OSDHosts = plan.LevelHost, nil }},
	{name: "versions", finds: monitor.Version, seed: 1, truth: halfNew, blind: func(f *plan.Fleet) {
		for i := range f.Classes {
			f.Classes[i].Version = 1
		}
	}},
	{name: "lost hosts", finds: monitor.Inactive, seed: 2, truth: func(f *plan.Fleet) { storageLost(f, true) }, blind: func(f *plan.Fleet) { storageLost(f, false) }},
	{name: "cordons that end", finds: monitor.Flags, seed: 1, damage: func(p *plan.Plan) { leaveOut(p, plan.HostUncordon) }},
	{name: "the way back", finds: monitor.Back, seed: 1, damage: commitEarly},
	{name: "noout that ends", finds: monitor.Flags, seed: 1, damage: func(p *plan.Plan) { leaveOut(p, plan.CephRestore) }},
}

func without(f *plan.Fleet, k plan.GroupKind) {
	f.Groups = slices.DeleteFunc(f.Groups, func(g plan.Group) bool { return g.Kind == k })
}

// halfNew has the hypervisor of every other host be what it will be, so that there is an older one to move to.
func halfNew(f *plan.Fleet) {
	for i := range f.Hosts {
		if h := &f.Hosts[i]; i%2 == 0 && h.Class >= 0 {
			h.Class = h.ClassAfter
		}
	}
}

// storageLost takes the last host with OSDs away, or believes that it is there.
func storageLost(f *plan.Fleet, lost bool) {
	if osd := f.Clusters[0].OSDHosts; len(osd) > 0 {
		h := osd[len(osd)-1]
		f.Hosts[h].Down, f.Hosts[h].Change = lost, false
	}
}

// commitEarly has every host give its old slot up before its daemons are started on the new one.
func commitEarly(p *plan.Plan) {
	for i := range p.Stages {
		for j := range p.Stages[i].Ops {
			if o := &p.Stages[i].Ops[j]; o.Kind == plan.SlotCommit {
				o.Needs = []plan.OpID{plan.ID(plan.SlotBoot, o.Target)}
			}
		}
	}
}

// leaveOut takes the ops of a kind out of a plan, and nobody waits for them any more.
func leaveOut(p *plan.Plan, k plan.Kind) {
	for i := range p.Stages {
		s := &p.Stages[i]
		needs := map[plan.OpID][]plan.OpID{}
		s.Ops = slices.DeleteFunc(s.Ops, func(o plan.Op) bool {
			if o.Kind == k {
				needs[o.ID] = o.Needs
			}
			return o.Kind == k
		})
		for j := range s.Ops {
			var left []plan.OpID
			for _, n := range s.Ops[j].Needs {
				if was, gone := needs[n]; gone {
					left = append(left, was...)
				} else {
					left = append(left, n)
				}
			}
			s.Ops[j].Needs = left
			if k == plan.HostDrain {
				s.Ops[j].Pre = slices.DeleteFunc(s.Ops[j].Pre, func(f plan.Fact) bool { return f.Attr == plan.AttrGuests })
			}
		}
	}
}

// TestEachCheckIsMissed takes one check at a time out of the planner, with nobody else who asks, and no fault that could be blamed: the monitor finds that one.
func TestEachCheckIsMissed(t *testing.T) {
	for _, x := range blinded {
		t.Run(x.name, func(t *testing.T) {
			solve := func(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
				g := f
				g.Hosts, g.Groups, g.Classes, g.Clusters = slices.Clone(f.Hosts), slices.Clone(f.Groups), slices.Clone(f.Classes), slices.Clone(f.Clusters)
				if x.blind != nil {
					x.blind(&g)
				}
				p.MaxParallel, p.MaxUnavailable = 0, plan.MaxUnavailable{} // full batches
				c, err := wave.Solve(g, p)
				c.Fleet = f
				return c, err
			}
			for seed := x.seed; seed < x.seed+30; seed++ {
				f, p := plantest.Fleet(seed, plantest.Small)
				if x.truth != nil {
					x.truth(&f)
				}
				r := Rollout(f, p, Options{Seed: seed, Faults: world.Profiles["none"], Solve: solve, Reckless: true, Careless: true, damage: x.damage})
				if i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Invariant == x.finds }); i >= 0 {
					t.Logf("seed %d: %s", seed, r.Violations[i].Detail)
					return
				}
			}
			t.Errorf("%q was not found to be violated", x.finds)
		})
	}
}

// TestARestartLooksForItself leaves the drain out of a plan, with nobody who asks: the restart finds virtual machines, and does not take place.
func TestARestartLooksForItself(t *testing.T) {
	f, p := plantest.Fleet(1, plantest.Small)
	r := Rollout(f, p, Options{Seed: 1, Faults: world.Profiles["none"], Reckless: true, Careless: true, damage: func(p *plan.Plan) { leaveOut(p, plan.HostDrain) }})
	if r.Outcome != Halted || slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == monitor.Stopped }) {
		t.Errorf("%s: %s, %v", r.Outcome, r.Why, r.Violations)
	}
}
