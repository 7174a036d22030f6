package verify

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// hosts of the hand-made fleet: two zones of three racks of two; number them by zone, rack and host.
func no(zone, rack, host int) int32 { return int32((zone*3+rack)*2 + host) }

// small is a region with everything in it: storage on every host, five monitors, three managers, two name servers, groups kept apart by host and by rack, pinned
// machines, machines that cannot be migrated, two classes of which the second is newer, and one host that is lost.
func small() (plan.Fleet, plan.Policy) {
	f := plan.Fleet{
		Classes: []plan.Class{
			{CPUs: []string{"v3"}, Machines: []string{"pc-7"}, Networks: []string{"blue", "red"}, Version: 7},
			{CPUs: []string{"v3", "v4"}, Machines: []string{"pc-10", "pc-7"}, Networks: []string{"blue", "red"}, Version: 10},
			{CPUs: []string{"v2"}, Machines: []string{"pc-10"}, Version: 10},
		},
		Shapes: []plan.Shape{
			{Name: "m", CPU: "v3", Machine: "pc-7", MemoryMiB: 4096, VCPUs: 2, DirtyMiBs: 20, Networks: []string{"blue"}},
			{Name: "l", CPU: "v3", Machine: "pc-7", MemoryMiB: 16384, VCPUs: 8, DirtyMiBs: 50},
			{Name: "pinned", CPU: "v3", Machine: "pc-7", MemoryMiB: 8192, VCPUs: 4, Cells: 1},
		},
	}
	for z := range 2 {
		for r := range 3 {
			for h := range 2 {
				f.Hosts = append(f.Hosts, plan.Host{
					Path: model.Path(fmt.Sprintf("s/r/az%d/%c/h%d", z+1, 'a'+r, h+1)), Chassis: model.Path(fmt.Sprintf("s/r/az%d/%c/chassis", z+1, 'a'+r)), Change: true,
					Class: 0, ClassAfter: 1, MemoryMiB: 65536, VCPUs: 32, MiBs: 1000, Cells: []plan.Cell{{CPUs: 8, HugeMiB: 16384}, {CPUs: 8, HugeMiB: 16384}},
				})
			}
		}
	}
	lost := &f.Hosts[no(1, 2, 1)]
	lost.Change, lost.Down = false, true
	add := func(shape, host, cells int32) {
		f.VMs.Names = append(f.VMs.Names, fmt.Sprintf("vm-%02d", len(f.VMs.Names)))
		f.VMs.Shape, f.VMs.Host, f.VMs.Cells = append(f.VMs.Shape, shape), append(f.VMs.Host, host), append(f.VMs.Cells, cells)
	}
	for h := range int32(12) {
		add(0, h, 0)
		add(1, h, 0)
	}
	add(2, no(0, 0, 0), 1) // vm-24
	add(2, no(0, 1, 0), 2) // vm-25
	add(0, no(0, 2, 0), 0) // vm-26 and 27 cannot be migrated
	add(0, no(0, 2, 1), 0)
	f.VMs.Fixed, f.VMs.Consent = plan.Ints{26, 27}, plan.Ints{26, 27}
	f.Apart = []plan.Apart{
		{Name: "db", Level: plan.LevelRack, VMs: plan.Ints{2 * no(0, 0, 0), 2 * no(0, 1, 0)}},
		{Name: "web", Level: plan.LevelHost, VMs: plan.Ints{2*no(0, 0, 0) + 1, 2*no(0, 0, 1) + 1, 2*no(1, 0, 0) + 1}},
	}
	f.Groups = []plan.Group{
		{Name: "mon", Kind: plan.Quorum, Hosts: plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 2, 0), no(1, 0, 0), no(1, 1, 0)}},
		{Name: "mgr", Kind: plan.Standby, Hosts: plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 2, 1)}},
		{Name: "name servers", Kind: plan.Key, Hosts: plan.Ints{no(0, 0, 1), no(1, 1, 1)}},
	}
	three := plan.Pool{Name: "vms", Size: 3, MinSize: 2, Data: 1}
	four := plan.Pool{Name: "meta", Size: 4, MinSize: 2, Data: 1}
	for i := range 6 {
		for k := range 4 {
			rack := (i + k) % 6
			host := no(rack%2, rack/2, i%2)
			if f.Hosts[host].Down {
				host--
			}
			four.Acting = append(four.Acting, host)
			if k < 3 {
				three.Acting = append(three.Acting, host)
			}
		}
		three.Count, four.Count = append(three.Count, int32(10+i)), append(four.Count, 2)
	}
	f.Clusters = []plan.Cluster{{Region: "s/r", FailureDomain: plan.LevelRack, Pools: []plan.Pool{three, four}}}
	for h := range int32(12) {
		f.Clusters[0].OSDHosts = append(f.Clusters[0].OSDHosts, h)
	}
	return f, plan.Policy{
		BakeSeconds: 60, Canary: 1, MaxParallel: 3, MaxUnavailable: plan.MaxUnavailable{Count: 2, Per: "zone", Unit: "rack"}, Method: "slot",
		Order: []model.Path{"s/r/az1", "s"}, ReservePercent: 10, Survive: "A+C", Times: plan.Times{Host: 600, Recovery: 60, Settle: 5},
	}
}

// smallBatches are the batches of the hand-made rollout: a canary, then rack by rack.
var smallBatches = []plan.Ints{
	{no(0, 0, 0)}, {no(0, 0, 1)}, {no(0, 1, 0), no(0, 1, 1)}, {no(0, 2, 0)}, {no(0, 2, 1)},
	{no(1, 0, 0), no(1, 0, 1)}, {no(1, 1, 0), no(1, 1, 1)}, {no(1, 2, 0)},
}

// good is a plan that is accepted.
func good(t testing.TB) plan.Plan {
	t.Helper()
	f, p := small()
	out := rollout(f, p, smallBatches)
	if err := Plan(out); err != nil {
		t.Fatalf("the plan that is to be damaged is not good:\n%v", err)
	}
	return out
}

// rollout writes the plan of given batches, each machine going to the first host that takes it.
func rollout(f plan.Fleet, p plan.Policy, batches []plan.Ints) plan.Plan {
	return rolloutOf(f, p, batches, func(f plan.Fleet, hosts plan.Ints, batch int) plan.Stage { return stageOf(f, hosts, batch, kindsOf) })
}

// rolloutOf is rollout with other stages. The slot of the first host is written beforehand unless hosts are only drained.
func rolloutOf(f plan.Fleet, p plan.Policy, batches []plan.Ints, stage func(f plan.Fleet, hosts plan.Ints, batch int) plan.Stage) plan.Plan {
	x := &plan.Certificate{Fleet: f, Policy: p, Grade: "A+C"}
	out := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Certificate: x, Initial: plan.State{}}
	out.Provenance.Policy = model.DigestJSON(p)
	for _, h := range f.Hosts {
		out.Initial[plan.NodeSubject(h.Path)] = map[plan.Attr]string{plan.AttrHost: "old", plan.AttrDefault: "old", plan.AttrCeph: plan.Up, plan.AttrPower: "on"}
		if h.Down {
			out.Initial[plan.NodeSubject(h.Path)][plan.AttrPower] = "off"
		}
	}
	// The first host's slot is written beforehand, those of the others in their batch.
	if !p.Drains() {
		out.Stages = append(out.Stages, plan.Stage{Title: "write", Ops: []plan.Op{op(plan.SlotWrite, plan.NodeSubject(f.Hosts[0].Path))}})
	}
	c := &checker{plan: &out, fleet: &f, policy: &p}
	c.begin()
	for i, hosts := range batches {
		b := plan.Batch{Hosts: slices.Clone(hosts), Zone: f.Hosts[hosts[0]].Path.Zone(), Stage: len(out.Stages), Grade: "A+C", Seconds: 100}
		x.Batches = append(x.Batches, b)
		out.Stages = append(out.Stages, stage(f, hosts, i))
		left := f // what is drained already takes nothing
		if p.Drains() {
			left.Hosts = slices.Clone(f.Hosts)
			for j := range left.Hosts {
				left.Hosts[j].Down = c.down[j]
			}
		}
		place(left, p, c.on, c.mask, c.class, hosts, &x.Batches[i])
		c.batch, c.b = i, &x.Batches[i]
		c.open()
		x.Batches[i].Counts = c.tally()
		c.close()
		z := slices.IndexFunc(x.Bound.Zones, func(z plan.ZoneBound) bool { return z.Zone == b.Zone })
		if z < 0 {
			least := 2
			if p.Drains() {
				least = 1
			}
			x.Bound.Zones, z = append(x.Bound.Zones, plan.ZoneBound{Zone: b.Zone, Bound: least, Binding: "max_parallel"}), len(x.Bound.Zones)
			x.Bound.Rounds += least
		}
		x.Bound.Zones[z].Rounds++
	}
	plan.Seal(&out)
	return out
}

// kindsOf are the kinds that the hosts of the hand-made fleet need; the first one is written before.
func kindsOf(h int32) []plan.Kind {
	chain := ways[plan.MethodSlot].chain
	if h == 0 {
		return chain
	}
	return append([]plan.Kind{plan.SlotWrite}, chain...)
}

// stageOf is the stage of a batch: each host's chain between the batch's own ops.
func stageOf(f plan.Fleet, hosts plan.Ints, batch int, kinds func(h int32) []plan.Kind) plan.Stage {
	sub := plan.BatchSubject(batch)
	s := plan.Stage{Title: fmt.Sprintf("batch %d", batch), Ops: []plan.Op{op(plan.BatchCertify, sub)}}
	gate := op(plan.BatchGate, sub)
	for _, h := range hosts {
		last := plan.ID(plan.BatchCertify, sub)
		for _, k := range kinds(h) {
			o := op(k, plan.NodeSubject(f.Hosts[h].Path))
			o.Pre = slices.DeleteFunc(o.Pre, func(f plan.Fact) bool {
				return aboutKind[f.Attr] != "" && !slices.Contains(kinds(h), aboutKind[f.Attr])
			})
			o.Needs = []plan.OpID{last}
			s.Ops = append(s.Ops, o)
			last = o.ID
		}
		gate.Needs = append(gate.Needs, last)
	}
	bake := op(plan.BatchBake, sub)
	bake.Args = map[string]string{"seconds": "60"} // as the policy of these tests says
	bake.Needs = []plan.OpID{gate.ID}
	s.Ops = append(s.Ops, gate, bake)
	return s
}

// op is an op that expects and brings what its contract says.
func op(k plan.Kind, sub plan.Subject) plan.Op {
	o := plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub}
	list := func(want map[plan.Attr]string) (out []plan.Fact) {
		for a, v := range want {
			if v == spec {
				v = "new"
			}
			out = append(out, plan.Fact{Attr: a, Subject: sub, Value: v})
		}
		slices.SortFunc(out, func(a, b plan.Fact) int { return len(a.Attr) - len(b.Attr) })
		return out
	}
	o.Pre, o.Post = list(contract[k].pre), list(contract[k].post)
	return o
}

// place moves or stops what is on the hosts of a batch. It looks at nothing but rooms and groups, which is enough for the fleets of these tests.
func place(f plan.Fleet, p plan.Policy, on, mask, class []int32, hosts plan.Ints, b *plan.Batch) {
	used := make([]plan.Host, len(f.Hosts))
	for i, h := range f.Hosts {
		used[i].Cells = make([]plan.Cell, len(h.Cells))
	}
	need := func(h *plan.Host, s plan.Shape, mask int32) {
		if s.Cells == 0 {
			h.MemoryMiB, h.VCPUs = h.MemoryMiB+s.MemoryMiB, h.VCPUs+s.VCPUs
		}
		for i := range h.Cells {
			if mask>>i&1 == 1 {
				h.Cells[i].CPUs, h.Cells[i].HugeMiB = h.Cells[i].CPUs+s.VCPUs/int64(s.Cells), h.Cells[i].HugeMiB+s.MemoryMiB/int64(s.Cells)
			}
		}
	}
	for vm, h := range on {
		need(&used[h], f.Shapes[f.VMs.Shape[vm]], mask[vm])
	}
	on = slices.Clone(on)
	for vm := range int32(len(on)) {
		from, s := on[vm], f.Shapes[f.VMs.Shape[vm]]
		if !slices.Contains(hosts, from) {
			continue
		}
		if slices.Contains(f.VMs.Fixed, vm) {
			b.Stops = append(b.Stops, vm)
			continue
		}
		for to, h := range f.Hosts {
			cells := int32(0)
			if s.Cells > 0 {
				cells = 1
			}
			after := plan.Host{MemoryMiB: used[to].MemoryMiB, VCPUs: used[to].VCPUs, Cells: slices.Clone(used[to].Cells)}
			need(&after, s, cells)
			if h.Path.Zone() != b.Zone || h.Down || slices.Contains(hosts, int32(to)) || clash(f, on, vm, int32(to)) || class[to] < class[from] ||
				after.MemoryMiB*100 > h.MemoryMiB*int64(100-p.ReservePercent) || after.VCPUs*100 > h.VCPUs*int64(100-p.ReservePercent) ||
				(cells > 0 && (after.Cells[0].CPUs > h.Cells[0].CPUs || after.Cells[0].HugeMiB > h.Cells[0].HugeMiB)) {
				continue
			}
			used[to], on[vm] = after, int32(to)
			b.Moves.VM, b.Moves.To, b.Moves.Cells = append(b.Moves.VM, vm), append(b.Moves.To, int32(to)), append(b.Moves.Cells, cells)
			break
		}
	}
}

func clash(f plan.Fleet, on []int32, vm, to int32) bool {
	for _, a := range f.Apart {
		for _, other := range a.VMs {
			if slices.Contains(a.VMs, vm) && other != vm && placeOf(f.Hosts[on[other]], a.Level) == placeOf(f.Hosts[to], a.Level) {
				return true
			}
		}
	}
	return false
}
