package verify

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// mutation is a damage to a good plan, the rule that finds it, and a part of what is said of it. When only is set, no other rule finds it, so that
// without its rule the damaged plan would be accepted.
type mutation struct {
	name, rule, text string
	only             bool
	single           bool // it is checked as a single batch, the first, against the fleet
	raw              bool // nothing is made to match afterwards; otherwise policy digest, states and counts are
	damage           func(t *testing.T, p *plan.Plan)
}

func cert(p *plan.Plan) *plan.Certificate { return p.Certificate }

// again makes the rollout anew, with other batches, on a changed fleet.
func again(p *plan.Plan, batches []plan.Ints, change func(*plan.Fleet, *plan.Policy)) {
	f, policy := small()
	change(&f, &policy)
	*p = rollout(f, policy, batches)
}

func batchesWith(first int, other ...plan.Ints) []plan.Ints {
	return slices.Concat(slices.Clone(smallBatches[:first]), other, smallBatches[first+2:])
}

// releases18 has every host get Ceph 18, from a release, where three hosts have monitors.
func releases18(p *plan.Plan, from int) {
	f := &p.Certificate.Fleet
	f.Clusters[0].Mons = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 2, 0)}
	for i := range f.Hosts {
		f.Hosts[i].Ceph, f.Hosts[i].CephAfter = from, 18
	}
}

// find returns an op of the plan.
func find(t *testing.T, p *plan.Plan, id string) *plan.Op {
	t.Helper()
	for i := range p.Stages {
		for j := range p.Stages[i].Ops {
			if strings.HasPrefix(string(p.Stages[i].Ops[j].ID), id) {
				return &p.Stages[i].Ops[j]
			}
		}
	}
	t.Fatalf("no op %s", id)
	return nil
}

// drop takes an op out of the plan; what needed it needs what it needed.
func drop(t *testing.T, p *plan.Plan, id string) {
	gone := *find(t, p, id)
	for i := range p.Stages {
		p.Stages[i].Ops = slices.DeleteFunc(p.Stages[i].Ops, func(o plan.Op) bool { return o.ID == gone.ID })
		for j := range p.Stages[i].Ops {
			if o := &p.Stages[i].Ops[j]; slices.Contains(o.Needs, gone.ID) {
				o.Needs = slices.Concat(slices.DeleteFunc(o.Needs, func(n plan.OpID) bool { return n == gone.ID }), gone.Needs)
			}
		}
	}
}

// unpost and unpre take the fact of an attribute out of an op.
func unpost(o *plan.Op, a plan.Attr) {
	o.Post = slices.DeleteFunc(o.Post, func(f plan.Fact) bool { return f.Attr == a })
}

func unpre(o *plan.Op, a plan.Attr) {
	o.Pre = slices.DeleteFunc(o.Pre, func(f plan.Fact) bool { return f.Attr == a })
}

const first = "node:s/r/az1/a/h1"

var mutations = []mutation{
	// The form.
	{name: "a time below zero", rule: "policy in range", text: "Settle:-1", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Times.Settle = -1 }},
	{name: "an unknown method", rule: "policy in range", text: "method", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Method = "hope" }},
	{name: "the policy loosened", rule: "policy digest", text: "not the one that the plan was made under", only: true, raw: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.MaxParallel = 30 }},
	{name: "another goal", rule: "goal", text: `goal is "drain" cannot have the method`, only: true, damage: func(_ *testing.T, p *plan.Plan) { p.Goal = plan.GoalDrain }},
	{name: "a speed below zero", rule: "hosts", text: "beyond belief", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[0].MiBs = -1 }},
	{name: "a memory that overflows", rule: "hosts", text: "beyond belief", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[0].MemoryMiB = 1 << 56 }},
	{name: "a lost host to be changed", rule: "every host once", text: "is in 0 batches, and should be in 1", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[no(1, 2, 1)].Change = true }},
	{name: "a host twice", rule: "hosts", text: "not in order", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[1].Path = cert(p).Fleet.Hosts[0].Path }},
	{name: "a class that there is not", rule: "numbers", text: "has class 7", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[3].Class = 7 }},
	{name: "a region with two clusters", rule: "regions", text: "two clusters", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Clusters = append(cert(p).Fleet.Clusters, plan.Cluster{Region: "s/r", FailureDomain: plan.LevelRack})
		}},
	{name: "a region without a cluster", rule: "regions", text: "has no cluster", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters = nil }},
	{name: "a machine that frees memory", rule: "shapes", text: "beyond belief", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Shapes[0].MemoryMiB = -4096 }},
	{name: "columns of two lengths", rule: "numbers", text: "27 shapes", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Shape = cert(p).Fleet.VMs.Shape[:27] }},
	{name: "a name twice", rule: "machines", text: "not in order", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Names[1] = "vm-00" }},
	{name: "a link that leads nowhere", rule: "numbers", text: "hosts of link wire: number 99", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Links = []plan.Link{{Name: "wire", Hosts: plan.Ints{99}}}
		}},
	{name: "a machine on no host", rule: "numbers", text: "hosts of virtual machines: number -7", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Host[3] = -7 }},
	{name: "a group with a member that there is not", rule: "numbers", text: "members of group mon", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[0].Hosts[2] = 12 }},
	{name: "a machine pinned to two cells of one", rule: "machines", text: "as many NUMA cells", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Cells[25] = 3 }},
	{name: "a monitor told twice", rule: "groups", text: "told twice", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Groups[0].Hosts = append(cert(p).Fleet.Groups[0].Hosts, no(1, 2, 1), no(1, 2, 1))
		}},
	{name: "a group of no kind", rule: "groups", text: "of kind", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[0].Kind = "friends" }},
	{name: "data without a copy", rule: "pools", text: "data 0", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].Pools[0].Data = 0 }},
	{name: "a copy told twice", rule: "pools", text: "told twice", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		set := cert(p).Fleet.Clusters[0].Pools[1].Acting
		set[1] = set[0]
	}},
	{name: "a copy on a host without OSDs", rule: "pools", text: "has no OSDs", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].OSDHosts = plan.Ints{0, 1} }},
	{name: "a host left out of the fleet", rule: "initial state", text: "not in the fleet", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			p.Initial.Set(plan.Fact{Subject: "node:s/r/az1/d/h9", Attr: plan.AttrPower, Value: "on"})
		}},
	{name: "a host that is off counted as there", rule: "initial state", text: "is off", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			p.Initial.Set(plan.Fact{Subject: first, Attr: plan.AttrPower, Value: "off"})
		}},
	{name: "a machine left out of the fleet", rule: "initial state", text: "vm-99 runs on", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			p.Initial.Set(plan.Fact{Subject: "vm:vm-99", Attr: plan.AttrRuns, Value: "s/r/az1/a/h1"})
		}},
	{name: "a machine elsewhere than observed", rule: "initial state", text: "vm-00 runs on", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			p.Initial.Set(plan.Fact{Subject: "vm:vm-00", Attr: plan.AttrRuns, Value: "s/r/az1/b/h1"})
		}},
	{name: "a batch shorter than nothing", rule: "numbers of a batch", text: "-1 seconds", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Seconds = -1 }},
	{name: "a batch of no stage", rule: "numbers of a batch", text: "stage is 99", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Stage = 99 }},
	{name: "a witness with one cell too many", rule: "numbers of a batch", text: "cells", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Batches[0].Moves.Cells = append(cert(p).Batches[0].Moves.Cells, 0)
		}},
	{name: "a witness to nowhere", rule: "numbers of a batch", text: "hosts that they move to: number 99", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Moves.To[0] = 99 }},

	// The order.
	{name: "the last batch missing", rule: "every host once", text: "is in 0 batches", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		last := len(cert(p).Batches) - 1
		cert(p).Batches, p.Stages = cert(p).Batches[:last], p.Stages[:len(p.Stages)-1]
		cert(p).Bound.Zones[1].Rounds--
	}},
	{name: "a host in two batches", rule: "every host once", text: "is in 2 batches", damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Batches[7].Hosts = plan.Ints{no(1, 1, 1), no(1, 2, 0)}
	}},
	{name: "a host moved to an earlier batch", rule: "ops that are needed", text: "its stage lacks", damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Batches[2].Hosts, cert(p).Batches[1].Hosts = plan.Ints{no(0, 1, 1)}, plan.Ints{no(0, 0, 1), no(0, 1, 0)}
	}},
	{name: "a zone before its turn", rule: "places in order", text: "comes before", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Order = []model.Path{"s/r/az2", "s"} }},
	{name: "an order of the other places", rule: "places in order", text: "comes before", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			again(p, slices.Concat([]plan.Ints{{no(1, 2, 0)}}, smallBatches[5:7], smallBatches[:5]), func(_ *plan.Fleet, p *plan.Policy) { p.Order = nil })
		}},
	{name: "two zones interleaved", rule: "places apart", text: "goes back to s/r/az1", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			again(p, slices.Concat(smallBatches[:2], smallBatches[7:], smallBatches[2:7]), func(_ *plan.Fleet, p *plan.Policy) { p.Order = []model.Path{"s"} })
		}},
	{name: "the canary skipped", rule: "canary", text: "the canary is 1", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			again(p, slices.Concat([]plan.Ints{{0, 1}}, smallBatches[2:]), func(*plan.Fleet, *plan.Policy) {})
		}},
	{name: "two stages exchanged", rule: "stages in order", text: "is stage 1", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		p.Stages[1], p.Stages[2] = p.Stages[2], p.Stages[1]
		cert(p).Batches[0].Stage, cert(p).Batches[1].Stage = 2, 1
	}},
	{name: "a host switched off between batches", rule: "preparing stages", text: "holds power.off", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		o := plan.Op{Kind: plan.PowerOff, Target: first, ID: plan.ID(plan.PowerOff, first), Post: []plan.Fact{{Attr: plan.AttrPower, Subject: first, Value: "off"}}}
		p.Stages[0].Ops = append(p.Stages[0].Ops, o)
	}},
	{name: "a cordon never removed", rule: "flags", text: "sets cordon", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		p.Stages[0].Ops[0].Post = append(p.Stages[0].Ops[0].Post, plan.Fact{Attr: plan.AttrCordon, Subject: "node:s/r/az2/c/h2", Value: plan.Set})
	}},
	{name: "noout never unset", rule: "flags", text: "sets noout", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "ceph.restore "+first) }},
	{name: "the rollout's grade raised", rule: "grade of all", text: "the rollout claims A+B+C", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Grade = "A+B+C" }},
	{name: "a bound above the plan", rule: "bound", text: "a bound of 9", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Bound.Zones[0].Bound, cert(p).Bound.Rounds = 9, 11
	}},
	{name: "a sum of bounds edited", rule: "bound", text: "add up to 4", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Bound.Rounds = 8 }},
	{name: "fewer rounds told than there are", rule: "bound", text: "has 5 rounds", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Bound.Zones[0].Rounds = 4 }},

	// What holds while a batch is down.
	{name: "a lost host in a batch", rule: "hosts that may change", text: "is lost, or not to be changed", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[0].Change = false }},
	{name: "a machine dropped from the witness", rule: "every machine leaves", text: "stays on", only: true, damage: func(_ *testing.T, p *plan.Plan) { unmove(&cert(p).Batches[0], 0) }},
	{name: "a machine that leaves twice", rule: "every machine leaves", text: "leaves s/r/az1/a/h1 twice", single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := &cert(p).Batches[0].Moves
		m.VM[1] = m.VM[0]
	}},
	{name: "a machine of another host moved", rule: "every machine leaves", text: "is not in the batch", single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := &cert(p).Batches[0].Moves
		m.VM, m.To, m.Cells = append(m.VM, 8), append(m.To, no(0, 2, 0)), append(m.Cells, 0)
	}},
	{name: "a batch of another zone", rule: "one zone", text: "is not in zone", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Zone = "s/r/az2" }},
	{name: "OSDs of two racks", rule: "one failure domain", text: "in two failure domains", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		again(p, batchesWith(1, plan.Ints{no(0, 0, 1), no(0, 1, 0)}, plan.Ints{no(0, 1, 1)}), func(f *plan.Fleet, _ *plan.Policy) { f.Clusters[0].Pools = nil })
	}},
	{name: "a machine sent to a lost host", rule: "destination is up", text: "which is down", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Batches[7].Moves.To[0] = no(1, 2, 1)
		cert(p).Fleet.Hosts[no(1, 2, 1)].Class = 1
	}},
	{name: "a machine sent to a host of the batch", rule: "destination is up", text: "which is down", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Moves.To[0] = no(0, 0, 0) }},
	{name: "a machine sent to another zone", rule: "destination is in the zone", text: "outside its zone", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Moves.To[0] = no(1, 0, 1) }},
	{name: "a machine sent to another processor", rule: "destination fits", text: `no CPU model "v3"`, only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Hosts[cert(p).Batches[0].Moves.To[0]].Class = 2
		}},
	{name: "a machine sent where its network is not", rule: "destination fits", text: `no network "green"`, only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Shapes[0].Networks = []string{"green"} }},
	{name: "a machine type that is not known", rule: "destination fits", text: `no machine type "pc-rhel"`, only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Shapes[0].Machine = "pc-rhel" }},
	{name: "a machine that cannot be migrated", rule: "fixed machines stay", text: "cannot be migrated", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Fixed = plan.Ints{0, 26, 27} }},
	{name: "a machine sent to a full host", rule: "room", text: "MiB, 10 % of which", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Hosts[cert(p).Batches[0].Moves.To[0]].MemoryMiB = 24000
		}},
	{name: "a machine sent to busy processors", rule: "room", text: "12 of 12 VCPUs", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[cert(p).Batches[0].Moves.To[0]].VCPUs = 12 }},
	{name: "the reserve used", rule: "room", text: "60 % of which", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.ReservePercent = 60 }},
	{name: "a pinned machine sent to a full cell", rule: "room in cells", text: "NUMA cell 0", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := cert(p).Batches[0].Moves
		cert(p).Fleet.Hosts[m.To[slices.Index(m.VM, 24)]].Cells[0].HugeMiB = 8000
	}},
	{name: "a pinned machine let float", rule: "room in cells", text: "not pinned to as many", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := cert(p).Batches[0].Moves
		m.Cells[slices.Index(m.VM, 24)] = 0
	}},
	{name: "a machine sent to an older hypervisor", rule: "versions", text: "from version 10", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[0].Class = 1 }},
	{name: "a machine stopped that cannot start again", rule: "class after", text: `no CPU model "v3"`, only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Hosts[no(0, 2, 1)].ClassAfter = 2 }},
	{name: "OSDs newer than a monitor", rule: "releases of Ceph", text: "would run OSDs of Ceph 18 before the monitor of s/r/az1/b/h1 has it", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 16)
	}},
	{name: "three releases of Ceph at once", rule: "releases of Ceph", text: "would go from Ceph 15 to 18", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].Ceph = 15
	}},
	{name: "OSDs that go back to an older Ceph", rule: "releases of Ceph", text: "would go from Ceph 18 to 17", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].CephAfter = 17
	}},
	{name: "another Ceph with two monitors", rule: "releases of Ceph", text: "with fewer than three monitors", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].Ceph, cert(p).Fleet.Clusters[0].Mons = 17, plan.Ints{2, 4}
	}},
	{name: "another Ceph while a monitor is down", rule: "releases of Ceph", text: "while a monitor is down", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].Ceph, cert(p).Fleet.Clusters[0].Mons = 17, plan.Ints{2, 4, no(1, 2, 1)}
	}},
	{name: "another Ceph while two servers share a file system", rule: "releases of Ceph", text: "while several metadata servers share", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].Ceph, cert(p).Fleet.Clusters[0].Filesystems = 17, []plan.Filesystem{{Name: "home", Ranks: 1}, {Name: "work", Ranks: 2}}
	}},
	{name: "another Ceph while a server follows another's journal", rule: "releases of Ceph", text: "while several metadata servers share", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Hosts[0].Ceph, cert(p).Fleet.Clusters[0].Filesystems = 17, []plan.Filesystem{{Name: "home", Ranks: 1, StandbyReplay: true}}
	}},
	{name: "a monitor of the batch counted as new", rule: "releases of Ceph", text: "before the monitor of s/r/az1/b/h2 has it", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 18)
		cert(p).Fleet.Clusters[0].Mons = plan.Ints{0, 1, 3}
		for _, h := range []int32{2, 3} {
			cert(p).Fleet.Hosts[h].Ceph = 17
		}
	}},
	{name: "a consent withdrawn", rule: "consent", text: "without its owner's consent", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.VMs.Consent = plan.Ints{26} }},
	{name: "a machine stopped rather than moved", rule: "consent", text: "without its owner's consent", damage: func(_ *testing.T, p *plan.Plan) {
		unmove(&cert(p).Batches[0], 0)
		cert(p).Batches[0].Stops = plan.Ints{0}
	}},
	{name: "a machine sent to its twin", rule: "anti-affinity", text: "would share a host with vm-03 of group web", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := cert(p).Batches[0].Moves
		m.To[slices.Index(m.VM, 1)] = no(0, 0, 1)
	}},
	{name: "a machine sent to its twin's rack", rule: "anti-affinity", text: "would share a rack with vm-04 of group db", only: true, single: true, damage: func(_ *testing.T, p *plan.Plan) {
		m := cert(p).Batches[0].Moves
		m.To[slices.Index(m.VM, 0)] = no(0, 1, 1)
	}},
	{name: "twins stopped at once", rule: "anti-affinity of the stopped", text: "would be stopped at once", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		again(p, batchesWith(3, plan.Ints{no(0, 2, 0), no(0, 2, 1)}), func(f *plan.Fleet, _ *plan.Policy) {
			f.Apart = append(f.Apart, plan.Apart{Name: "twins", Level: plan.LevelHost, VMs: plan.Ints{26, 27}})
		})
	}},
	{name: "two managers at once", rule: "one member at a time", text: "they go one at a time", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Groups[1].Hosts = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 1, 1)}
		}},
	{name: "a manager while another is lost", rule: "one member at a time", text: "they go one at a time", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Groups[1].Hosts = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(1, 2, 1)}
		}},
	{name: "the only name server", rule: "one key service at a time", text: "name servers would have 0 of 1 members up", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[2].Hosts = plan.Ints{no(0, 0, 1)} }},
	{name: "both name servers at once", rule: "one key service at a time", text: "they go one at a time", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[2].Hosts = plan.Ints{no(1, 1, 0), no(1, 1, 1)} }},
	{name: "more hosts than max_parallel, the lost one counted", rule: "max_parallel", text: "max_parallel is 2", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Policy.MaxParallel = 2
		for i := range cert(p).Bound.Zones {
			cert(p).Bound.Zones[i].Bound, cert(p).Bound.Rounds = 3, 6
		}
	}},
	{name: "more racks than max_unavailable, the lost one counted", rule: "max_unavailable", text: "2 places of level rack", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.MaxUnavailable.Count = 1 }},
	{name: "more hosts than a share of the region", rule: "max_unavailable", text: "3 of 12 hosts", only: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Policy.MaxUnavailable = plan.MaxUnavailable{Percent: 24, Per: "region"}
		}},
	{name: "a quorum lost", rule: "quorum", text: "1 of 3 members up, which is no majority", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Fleet.Groups[0].Hosts, cert(p).Policy.Survive = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(1, 2, 1)}, "A"
		for i := range cert(p).Batches {
			cert(p).Batches[i].Grade = "A"
		}
		cert(p).Grade = "A"
	}},
	{name: "two of five monitors at once", rule: "one member of a quorum", text: "more than one in the batch", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Fleet.Groups[0].Hosts = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 1, 1), no(0, 2, 0), no(1, 1, 0)}
	}},
	{name: "a quorum lost elsewhere in the region", rule: "quorum", text: "0 of 1 members up", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[0].Hosts = plan.Ints{no(1, 2, 1)} }},
	{name: "min_size raised", rule: "placement groups", text: "min_size is 3", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].Pools[0].MinSize = 3 }},
	{name: "a copy that is missing already", rule: "placement groups", text: "would have 1 copies", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].Pools[0].Acting[1] = -1 }},
	{name: "a batch's grade raised to B", rule: "grade of placement groups", text: ", and 1 when one more failure domain is lost; A+B+C needs 2", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Grade = "A+B+C" }},
	{name: "data lost with one more rack", rule: "grade of placement groups", text: "A+C needs 2", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].Pools[0].Data = 2 }},
	{name: "three monitors said to survive a rack", rule: "grade of groups", text: ", and 1 when one more failure domain is lost; A+B+C needs 2", only: true, single: true,
		damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Fleet.Clusters[0].Pools, cert(p).Batches[0].Grade = nil, "A+B+C"
			cert(p).Fleet.Groups[0].Hosts = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 2, 0)}
		}},
	{name: "a single monitor's store", rule: "grade of groups", text: "0 when one more failure domain is lost", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Groups[0].Hosts = plan.Ints{no(0, 0, 0)} }},
	{name: "less than the policy wants", rule: "survive", text: "the policy wants A+B+C", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Survive = "A+B+C" }},
	{name: "a count of machines edited", rule: "counts", text: "its counts are", only: true, raw: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Counts.Displaced-- }},
	{name: "a count of placement groups edited", rule: "counts", text: "its counts are", only: true, raw: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Counts.PGsAtMin = 0 }},
	{name: "a spare monitor invented", rule: "counts", text: "its counts are", only: true, raw: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[0].Counts.QuorumSpare++ }},
	{name: "an acting set edited to hide a copy", rule: "counts", text: "its counts are", only: true, raw: true, damage: func(_ *testing.T, p *plan.Plan) {
		set := cert(p).Fleet.Clusters[0].Pools[0].Acting
		set[slices.Index(set, no(0, 0, 0))] = no(0, 0, 1)
	}},

	// The end of a rise.
	{name: "a release below what is required", rule: "releases of Ceph", text: "its cluster starts none below 18 any more", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		releases18(p, 0)
		cert(p).Fleet.Hosts[no(1, 2, 0)].CephAfter, cert(p).Fleet.Clusters[0].Require = 16, 18
	}},
	{name: "an ending before the last batch", rule: "endings", text: "ceph.require ceph:s/r is in stage 9, and batch:8 of the same region in stage 10", only: true,
		damage: func(_ *testing.T, p *plan.Plan) { *p = ended(nil); earlier(p) }},
	{name: "an ending that leaves a host behind", rule: "endings", text: "asks for release 18, and s/r/az2/c/h2 has 16 by then", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(func(f *plan.Fleet) {
			f.Hosts[no(1, 2, 1)].Change, f.Hosts[no(1, 2, 1)].Ceph, f.Hosts[no(1, 2, 1)].CephAfter = false, 16, 16
		})
	}},
	{name: "an ending of a release that is not known", rule: "endings", text: "asks for release 18, and s/r/az2/c/h2 has 0 by then", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(func(f *plan.Fleet) { f.Hosts[no(1, 2, 1)].Ceph, f.Hosts[no(1, 2, 1)].CephAfter = 0, 0 })
	}},
	{name: "an ending while OSDs are down", rule: "endings", text: "while s/r/az2/c/h2 is down", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(func(f *plan.Fleet) { f.Hosts[no(1, 2, 1)].Down = true })
	}},
	{name: "an ending from another release", rule: "endings", text: "does not expect that its cluster requires 17", damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(nil)
		cert(p).Fleet.Clusters[0].Require, p.Initial[region][plan.AttrRequire] = 17, "17"
	}},
	{name: "an ending of no cluster", rule: "endings", text: "the fleet has no such cluster", damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(nil)
		o := &p.Stages[len(p.Stages)-1].Ops[0]
		o.Target, o.ID = "ceph:s/q", "ceph.require ceph:s/q"
	}},
	{name: "a required release that is forged", rule: "initial state", text: "its cluster requires release 17", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(nil)
		p.Stages = p.Stages[:len(p.Stages)-1]
		p.Initial[region][plan.AttrRequire] = "17"
	}},
	{name: "a file system of less than no rank", rule: "regions", text: "file system home has -1 ranks", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		cert(p).Fleet.Clusters[0].Filesystems = []plan.Filesystem{{Name: "home", Ranks: -1}}
	}},
	{name: "a required release below zero", rule: "regions", text: "requires release -1", only: true, damage: func(_ *testing.T, p *plan.Plan) { cert(p).Fleet.Clusters[0].Require = -1 }},
	{name: "an ending in a batch", rule: "ops of others", text: "which it does not need", damage: func(_ *testing.T, p *plan.Plan) {
		*p = ended(nil)
		last := len(p.Stages) - 1
		p.Stages[last-1].Ops, p.Stages = append(p.Stages[last-1].Ops, p.Stages[last].Ops...), p.Stages[:last]
	}},
	{name: "a gate that ends a rise", rule: "what ops bring", text: "must not bring require of ceph:s/r", only: true, damage: func(t *testing.T, p *plan.Plan) {
		o := find(t, p, "batch.gate batch:1")
		o.Post = append(o.Post, plan.Fact{Attr: plan.AttrRequire, Subject: region, Value: "18"})
	}},

	// The ops.
	{name: "no bake", rule: "ops that are needed", text: "lacks batch.bake", only: true, damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "batch.bake") }},
	{name: "no certification", rule: "ops that are needed", text: "lacks batch.certify", only: true, damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "batch.certify") }},
	{name: "a host forgotten", rule: "ops that are needed", text: "lacks host.uncordon", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "host.uncordon "+first) }},
	{name: "an op that nobody needs", rule: "ops of others", text: "which it does not need", only: true, damage: func(_ *testing.T, p *plan.Plan) {
		o := plan.Op{Kind: plan.BMCIdentify, Target: first, ID: plan.ID(plan.BMCIdentify, first), Post: []plan.Fact{{Attr: plan.AttrMachine, Subject: first, Value: "any"}}}
		p.Stages[2].Ops = append(p.Stages[2].Ops, o)
	}},
	{name: "daemons stopped while machines are there", rule: "ops in order", text: "does not wait for host.drain", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "ceph.noout "+first).Needs = []plan.OpID{"batch.certify batch:1"}
		find(t, p, "slot.boot "+first).Needs = []plan.OpID{"host.drain " + first, "ceph.stop " + first}
	}},
	{name: "a host touched before the batch is certified", rule: "ops in order", text: "does not wait for batch.certify", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "host.cordon "+first).Needs = nil
	}},
	{name: "a gate that does not wait", rule: "ops in order", text: "batch.gate batch:1 does not wait", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "batch.gate batch:1").Needs = nil
	}},
	{name: "a bake that is over at once", rule: "bake", text: `waits for "0" seconds`, only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "batch.bake batch:1").Args = map[string]string{"seconds": "0"}
	}},
	{name: "noout for a month", rule: "ends of flags", text: "which is no time up to 4h0m0s", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "ceph.noout "+first).Args = map[string]string{"noout": "720h"}
	}},
	{name: "a cordon without an end", rule: "ends of flags", text: "which is no time up to 744h0m0s", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "host.cordon "+first).Args = map[string]string{"for": "never"}
	}},
	{name: "a bake beside the gate", rule: "ops in order", text: "batch.bake batch:1 does not wait", only: true, damage: func(t *testing.T, p *plan.Plan) {
		find(t, p, "batch.bake batch:1").Needs = nil
	}},
	{name: "a boot that does not ask for the drain", rule: "what ops expect", text: `does not expect guests to be "none"`, only: true,
		damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "slot.boot "+first), plan.AttrGuests) }},
	{name: "a stop that does not ask for noout", rule: "what ops expect", text: `does not expect noout to be "set"`, only: true,
		damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "ceph.stop "+first), plan.AttrNoout) }},
	{name: "a host that stays drained", rule: "what ops bring", text: `does not bring guests to ""`, only: true,
		damage: func(t *testing.T, p *plan.Plan) { unpost(find(t, p, "host.uncordon "+first), plan.AttrGuests) }},
	{name: "a commit of another slot", rule: "what ops bring", text: "does not bring", damage: func(t *testing.T, p *plan.Plan) { find(t, p, "slot.commit "+first).Post[0].Value = "newer" }},
	{name: "the switch is upgraded under machines that stay", rule: "packages", text: "takes the network away", only: true, damage: func(t *testing.T, p *plan.Plan) {
		*p = ofPackages(t, true, "libfoo=2")
		find(t, p, "packages.install "+first).Args[plan.ArgPackages] = "libfoo=2 openvswitch-switch=3"
	}},
	{name: "a certificate that certifies the next batch", rule: "what ops bring", text: "must not bring certified", only: true, damage: func(t *testing.T, p *plan.Plan) {
		o := find(t, p, "batch.gate batch:1")
		o.Post = append(o.Post, plan.Fact{Attr: plan.AttrCertified, Subject: "batch:2", Value: plan.Yes})
	}},
	{name: "a gate that opens the next one", rule: "what ops bring", text: "must not bring gate of batch:2", only: true, damage: func(t *testing.T, p *plan.Plan) {
		o := find(t, p, "batch.gate batch:1")
		o.Post = append(o.Post, plan.Fact{Attr: plan.AttrGate, Subject: "batch:2", Value: plan.Open})
	}},
}

// unmove takes move i out of a batch.
func unmove(b *plan.Batch, i int) {
	m := &b.Moves
	m.VM, m.To, m.Cells = slices.Delete(m.VM, i, i+1), slices.Delete(m.To, i, i+1), slices.Delete(m.Cells, i, i+1)
}

// match makes a damaged plan consistent again where a forger would: digests, states and counts.
func match(p *plan.Plan) {
	p.Provenance.Policy = model.DigestJSON(p.Certificate.Policy)
	plan.Seal(p)
	c := &checker{plan: p, fleet: &p.Certificate.Fleet, policy: &p.Certificate.Policy, batches: p.Certificate.Batches}
	c.form()
	for _, err := range c.errs {
		if v := new(Violation); errors.As(err, &v) && !strings.Contains(v.Text, "told twice") {
			return // there is nothing to count
		}
	}
	c.begin()
	c.eachBatch(func() {
		c.open()
		c.b.Counts = c.tally()
		c.close()
	})
}

func (m mutation) check(p plan.Plan, skip string) error {
	if m.single {
		return checkBatch(p.Certificate.Fleet, p.Certificate.Policy, p.Certificate.Batches[0], skip)
	}
	return check(p, skip)
}

// Every damage is found by its rule, with the rule's invariant and a counter-example; and without that rule it would not be.
func TestEveryDamageIsFound(t *testing.T) {
	invariant := map[string]string{}
	for _, r := range slices.Concat(indexRules, batchIndexRules, formRules, planFormRules, planRules, batchRules, stageRules) {
		invariant[r.name] = r.invariant
	}
	needed := map[string]bool{}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			p := good(t)
			m.damage(t, &p)
			if !m.raw {
				match(&p)
			}
			err := m.check(p, "")
			if !says(err, invariant[m.rule], m.text) {
				t.Fatalf("got %v\nwant %s: …%s…", err, invariant[m.rule], m.text)
			}
			if !m.only {
				return
			}
			needed[m.rule] = true
			if err := m.check(p, m.rule); err != nil {
				t.Errorf("without the rule %q it is still found, so this shows nothing of the rule: %v", m.rule, err)
			}
		})
	}
	for name := range invariant {
		if !needed[name] {
			t.Errorf("no damage shows that the rule %q is needed", name)
		}
	}
}

// says reports whether one of the errors is a violation of an invariant with such a text.
func says(err error, invariant, text string) bool {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(list.Unwrap(), func(e error) bool { return says(e, invariant, text) })
	}
	v, ok := err.(*Violation)
	return ok && v.Invariant == invariant && strings.Contains(v.Text, text)
}

// The checker that the random damages are compared with finds the damages of this table too, as far as they are its business.
func TestTruthKnowsTheDamages(t *testing.T) {
	for _, m := range mutations {
		at := slices.IndexFunc(batchRules, func(r rule) bool { return r.name == m.rule })
		if at < 0 || m.single || m.rule == "survive" || m.rule == "counts" || m.rule == "class after" || m.rule == "releases of Ceph" {
			continue
		}
		p := good(t)
		if m.damage(t, &p); truth(p.Certificate) == nil {
			t.Errorf("%s: the truth does not know it", m.name)
		}
	}
}

// What plan.Validate finds is a part of what is checked.
func TestDamageToTheStages(t *testing.T) {
	for name, damage := range map[string]func(p *plan.Plan){
		"an After changed":            func(p *plan.Plan) { p.Stages[1].After = p.Stages[1].Before },
		"a Before changed":            func(p *plan.Plan) { p.Stages[1].Before = p.Stages[1].After },
		"a stage missing":             func(p *plan.Plan) { p.Stages = slices.Delete(p.Stages, 1, 2) },
		"an initial state edited":     func(p *plan.Plan) { p.Initial[first][plan.AttrHost] = "new" },
		"daemons not started again":   func(p *plan.Plan) { drop(t, p, "ceph.start "+first); plan.Seal(p) },
		"a drain before the cordon":   func(p *plan.Plan) { find(t, p, "host.drain "+first).Needs = nil; plan.Seal(p) },
		"a slot that is not written":  func(p *plan.Plan) { p.Stages[0].Ops[0].Post[0].Value = "other"; plan.Seal(p) },
		"noout unset before the stop": func(p *plan.Plan) { find(t, p, "ceph.stop "+first).Needs = nil; plan.Seal(p) },
	} {
		t.Run(name, func(t *testing.T) {
			p := good(t)
			damage(&p)
			if err := Plan(p); !errors.Is(err, plan.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAPlanWithoutACertificate(t *testing.T) {
	p := good(t)
	p.Certificate = nil
	if err := Plan(p); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("got %v", err)
	}
	p.Stages = nil
	if err := Plan(p); err != nil {
		t.Errorf("a plan that takes no host down needs none: %v", err)
	}
}

// An error names the batch, its hosts, the invariant and the counter-example in one line.
func TestViolationIsOneLine(t *testing.T) {
	p := good(t)
	cert(&p).Fleet.VMs.Consent = plan.Ints{26}
	match(&p)
	const want = "batch:5 (s/r/az1: h2): I8: vm-27 would be stopped without its owner's consent"
	if err := Plan(p); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
