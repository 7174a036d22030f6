package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// batchRules are what holds while a batch is down. Most are one question about each host of the batch, each virtual machine that moves or is stopped, each
// host that gets one, each group, or each acting set. The answer is what is wrong, as the rest of a sentence; empty: nothing.
var batchRules = []rule{
	{"hosts that may change", "I11", eachHost(func(c *checker, h int32) string { // a lost host cannot be changed, and only those of Change are asked for
		return when(!c.fleet.Hosts[h].Change || c.fleet.Hosts[h].Down, "is lost, or not to be changed")
	})},
	{"one zone", "I6", eachHost(func(c *checker, h int32) string {
		return when(c.path(h).Zone() != c.b.Zone, "is not in zone "+string(c.b.Zone))
	})},
	{"one failure domain", "I6", eachHost(oneFailureDomain)},
	{"max_parallel", "I11", maxParallel},
	{"max_unavailable", "I11", maxUnavailable},
	{"every machine leaves", "I3", everyMachineLeaves},
	{"destination is up", "I3", eachMove(func(c *checker, m move) string { return when(c.down[m.to], "which is down") })},
	{"destination is in the zone", "I3", eachMove(func(c *checker, m move) string { return when(c.zone[m.to] != c.zone[m.from], "outside its zone") })},
	{"destination fits", "I3", eachMove(destinationFits)},
	{"fixed machines stay", "I3", eachMove(func(c *checker, m move) string { return when(has(c.fleet.VMs.Fixed, m.vm), "and cannot be migrated") })},
	{"room", "I3", eachDestination(room)},
	{"room in cells", "I3", both(eachMove(func(c *checker, m move) string { return c.wrongMask(m.cells, c.fleet.VMs.Shape[m.vm], m.to) }), eachDestination(roomInCells))},
	{"versions", "I7", eachMove(versions)},
	{"anti-affinity", "I4", eachMove(keptApart)},
	{"consent", "I8", eachStop(func(c *checker, vm int32) string {
		return when(!has(c.fleet.VMs.Consent, vm), "without its owner's consent")
	})},
	{"class after", "I7", eachStop(startsAgain)},
	{"anti-affinity of the stopped", "I4", eachStop(stoppedApart)},
	{"quorum", "I1", eachGroup(func(c *checker, g *plan.Group) string {
		return when(g.Kind == plan.Quorum && c.up(g.Hosts) < majority(g) && !c.asFound(), ", which is no majority")
	})},
	{"one member of a quorum", "I1", eachGroup(func(c *checker, g *plan.Group) string {
		return when(g.Kind == plan.Quorum && c.inBatch(g.Hosts) > 1, " and more than one in the batch; they go one at a time")
	})},
	{"one member at a time", "I5", eachGroup(oneOf(plan.Standby))},
	{"one key service at a time", "I9", eachGroup(oneOf(plan.Key))},
	{"placement groups", "I2", eachSet(minSize)},
	{"grade", "grade", both(eachSet(gradeOfSet), eachGroup(gradeOfGroup))},
	{"survive", "grade", survive},
	{"counts", "count", counts},
}

func eachHost(ask func(c *checker, h int32) string) func(*checker) {
	return func(c *checker) {
		for _, h := range c.b.Hosts {
			c.answer(c.path(h), ask(c, h), "%s ", c.path(h))
		}
	}
}

// oneFailureDomain compares a host with the first of the batch that keeps data.
func oneFailureDomain(c *checker, h int32) string {
	first := c.b.Hosts[max(0, slices.IndexFunc(c.b.Hosts, c.keepsData))]
	return when(c.keepsData(h) && c.out[h] && c.domain[h] != c.domain[first], "and "+string(c.path(first))+" have OSDs in two failure domains")
}

func maxParallel(c *checker) {
	c.unavailable("max_parallel", plan.MaxUnavailable{Count: c.policy.MaxParallel, Unit: plan.LevelHost, Per: plan.LevelZone})
}

func maxUnavailable(c *checker) { c.unavailable("max_unavailable", c.policy.MaxUnavailable) }

// unavailable counts in every place of level Per that the batch touches.
func (c *checker) unavailable(name string, u plan.MaxUnavailable) {
	per, unit := c.places(u.Per), c.places(u.Unit)
	hosts, down, units, counted := map[int32]int{}, map[int32]int{}, map[int32]int{}, map[[2]int32]bool{}
	for i := range c.fleet.Hosts {
		at := [2]int32{per[i], unit[i]}
		if hosts[per[i]]++; c.down[i] {
			if down[per[i]]++; !counted[at] {
				counted[at] = true
				units[per[i]]++
			}
		}
	}
	for _, h := range c.b.Hosts {
		p, where := per[h], placeOf(c.fleet.Hosts[h], u.Per)
		if (u.Count > 0 && units[p] > u.Count) || (u.Percent > 0 && down[p]*100 > u.Percent*hosts[p]) {
			c.wrong(where, "%d of %d hosts in %d places of level %s would be down in %q, lost ones among them; %s is %d, %d %%", down[p], hosts[p], units[p], u.Unit, where, name, u.Count, u.Percent)
			hosts[p], down[p], units[p] = 0, 0, 0 // told once
		}
	}
}

// everyMachineLeaves demands that what is on the hosts of the batch is moved or stopped, once, and nothing else.
func everyMachineLeaves(c *checker) {
	left := 0
	for _, h := range c.b.Hosts {
		left += c.guests[h]
	}
	gone := make(map[int32]bool, left)
	for _, vm := range slices.Concat(c.b.Moves.VM, c.b.Stops) {
		if from := c.on[vm]; gone[vm] || !c.in[from] {
			c.wrong(c.path(from), "%s leaves %s twice, or is moved or stopped although that is not in the batch", c.vm(vm), c.path(from))
		}
		gone[vm] = true
	}
	if len(gone) == left {
		return
	}
	for vm, h := range c.on {
		if c.in[h] && !gone[int32(vm)] {
			c.wrong(c.path(h), "%s stays on %s while it is down", c.vm(int32(vm)), c.path(h))
		}
	}
}

type move struct{ vm, from, to, cells int32 }

func eachMove(ask func(c *checker, m move) string) func(*checker) {
	return func(c *checker) {
		for i, vm := range c.b.Moves.VM {
			m := move{vm, c.on[vm], c.b.Moves.To[i], at(c.b.Moves.Cells, i)}
			if text := ask(c, m); text != "" {
				c.answer(c.path(m.to), text, "%s is placed on %s, ", c.vm(vm), c.path(m.to))
			}
		}
	}
}

func destinationFits(c *checker, m move) string {
	if class := c.class[m.to]; class >= 0 {
		return c.fits[c.fleet.VMs.Shape[m.vm]][class]
	}
	return "which runs no virtual machines"
}

// unfit says what a class lacks that a shape needs. One that is started anew may get another machine type, one that is running may not.
func unfit(s *plan.Shape, k *plan.Class, running bool) string {
	if !slices.Contains(k.CPUs, s.CPU) {
		return fmt.Sprintf("which has no CPU model %q", s.CPU)
	}
	if running && !slices.Contains(k.Machines, s.Machine) {
		return fmt.Sprintf("which has no machine type %q", s.Machine)
	}
	for _, n := range s.Networks {
		if !slices.Contains(k.Networks, n) {
			return fmt.Sprintf("which has no network %q", n)
		}
	}
	return ""
}

func versions(c *checker, m move) string {
	from, to := c.class[m.from], c.class[m.to]
	if from >= 0 && to >= 0 && c.fleet.Classes[to].Version < c.fleet.Classes[from].Version {
		return fmt.Sprintf("from version %d to the older %d", c.fleet.Classes[from].Version, c.fleet.Classes[to].Version)
	}
	return ""
}

// keptApart asks whether another member of a group is, or will be, where a virtual machine goes.
func keptApart(c *checker, m move) string {
	for _, g := range c.apart[m.vm] {
		group := &c.fleet.Apart[g]
		place := c.places(group.Level)
		for _, other := range group.VMs {
			if other != m.vm && (place[c.on[other]] == place[m.to] || (c.to[other] >= 0 && place[c.to[other]] == place[m.to])) {
				return fmt.Sprintf("and would share a %s with %s of group %s", group.Level, c.vm(other), group.Name)
			}
		}
	}
	return ""
}

func eachDestination(ask func(c *checker, h int32, arrive plan.Host) string) func(*checker) {
	return func(c *checker) {
		for _, h := range slices.Sorted(maps.Keys(c.arrive)) {
			if text := ask(c, h, *c.arrive[h]); text != "" {
				c.answer(c.path(h), text, "%s is placed on %s, which ", c.vm(c.b.Moves.VM[slices.Index(c.b.Moves.To, h)]), c.path(h))
			}
		}
	}
}

// room adds what arrives to what is there. Nothing that leaves is taken off: a destination is outside the batch, where nothing leaves.
func room(c *checker, h int32, arrive plan.Host) string {
	all, keep := c.fleet.Hosts[h], int64(100-c.policy.ReservePercent)
	cpus, memory := c.used[h].VCPUs+arrive.VCPUs, c.used[h].MemoryMiB+arrive.MemoryMiB
	if (arrive.VCPUs > 0 || arrive.MemoryMiB > 0) && (100*cpus > keep*all.VCPUs || 100*memory > keep*all.MemoryMiB) {
		return fmt.Sprintf("would use %d of %d VCPUs and %d of %d MiB, %d %% of which are kept free", cpus, all.VCPUs, memory, all.MemoryMiB, 100-keep)
	}
	return ""
}

func roomInCells(c *checker, h int32, arrive plan.Host) string {
	for i, all := range c.fleet.Hosts[h].Cells {
		cpus, huge := c.used[h].Cells[i].CPUs+arrive.Cells[i].CPUs, c.used[h].Cells[i].HugeMiB+arrive.Cells[i].HugeMiB
		if arrive.Cells[i] != (plan.Cell{}) && (cpus > all.CPUs || huge > all.HugeMiB) {
			return fmt.Sprintf("would use %d of %d CPUs and %d of %d MiB of its NUMA cell %d", cpus, all.CPUs, huge, all.HugeMiB, i)
		}
	}
	return ""
}

func eachStop(ask func(c *checker, vm int32) string) func(*checker) {
	return func(c *checker) {
		for _, vm := range c.b.Stops {
			c.answer(c.path(c.on[vm]), ask(c, vm), "%s would be stopped ", c.vm(vm))
		}
	}
}

// startsAgain demands that what was stopped can be started again where it is.
func startsAgain(c *checker, vm int32) string {
	h := &c.fleet.Hosts[c.on[vm]]
	if h.ClassAfter < 0 {
		return fmt.Sprintf("and started again on %s, which will run no virtual machines", h.Path)
	}
	text := unfit(c.shape(vm), &c.fleet.Classes[h.ClassAfter], false)
	return when(text != "", "and started again on "+string(h.Path)+", "+text)
}

func stoppedApart(c *checker, vm int32) string {
	for _, g := range c.apart[vm] {
		for _, other := range c.fleet.Apart[g].VMs {
			if other != vm && (has(c.b.Stops, other) || c.fleet.Hosts[c.on[other]].Down) {
				return fmt.Sprintf("at once with %s of group %s", c.vm(other), c.fleet.Apart[g].Name)
			}
		}
	}
	return ""
}

func both(one, two func(*checker)) func(*checker) {
	return func(c *checker) { one(c); two(c) }
}

// when is an answer when something is wrong.
func when(wrong bool, text string) string {
	if wrong {
		return text
	}
	return ""
}

// answer reports what was answered to a rule's question, if anything is wrong, behind the beginning of the sentence.
func (c *checker) answer(place model.Path, text, begin string, args ...any) {
	if text != "" {
		c.wrong(place, begin+"%s", append(args, text)...)
	}
}
