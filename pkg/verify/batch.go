package verify

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// batchRules are what holds while a batch is down. Most are one question about each host of the batch, each virtual machine that moves or is stopped,
// each group, or each acting set. The answer is what is wrong, as the rest of a sentence; empty: nothing.
var batchRules = []rule{
	{"hosts that may change", "I11", eachHost.ask(func(c *checker, h int32) string { // a lost host cannot be changed, and only those of Change are asked for
		return when(!c.fleet.Hosts[h].Change || c.fleet.Hosts[h].Down, "is lost, or not to be changed")
	})},
	{"one zone", "I6", eachHost.ask(func(c *checker, h int32) string {
		return when(c.path(h).Zone() != c.b.Zone, "is not in zone "+string(c.b.Zone))
	})},
	{"one failure domain", "I6", eachHost.ask(oneFailureDomain)},
	{"max_parallel", "I11", func(c *checker) {
		c.unavailable("max_parallel", plan.MaxUnavailable{Count: c.policy.MaxParallel, Unit: plan.LevelHost, Per: plan.LevelZone})
	}},
	{"max_unavailable", "I11", func(c *checker) { c.unavailable("max_unavailable", c.policy.MaxUnavailable) }},
	{"every machine leaves", "I3", everyMachineLeaves},
	{"destination is up", "I3", eachMove.ask(func(c *checker, m move) string { return when(c.down[m.to], "which is down") })},
	{"destination is in the zone", "I3", eachMove.ask(func(c *checker, m move) string {
		return when(c.path(m.to).Zone() != c.path(m.from).Zone(), "outside its zone")
	})},
	{"destination fits", "I3", eachMove.ask(destinationFits)},
	{"fixed machines stay", "I3", eachMove.ask(func(c *checker, m move) string { return when(has(c.fleet.VMs.Fixed, m.vm), "and cannot be migrated") })},
	{"room", "I3", eachMove.ask(room)},
	{"room in cells", "I3", eachMove.ask(roomInCells)},
	{"versions", "I7", eachMove.ask(versions)},
	{"anti-affinity", "I4", eachMove.ask(keptApart)},
	{"releases of Ceph", "I7", eachHost.ask(releases)},
	{"consent", "I8", eachStop.ask(func(c *checker, vm int32) string {
		return when(!has(c.fleet.VMs.Consent, vm), "without its owner's consent")
	})},
	{"class after", "I7", eachStop.ask(startsAgain)},
	{"anti-affinity of the stopped", "I4", eachStop.ask(stoppedApart)},
	{"quorum", "I1", eachGroup.ask(func(c *checker, g set) string {
		return when(g.kind.kind == plan.Quorum && c.lacks(g), ", which is no majority")
	})},
	{"one member of a quorum", "I1", eachGroup.ask(func(_ *checker, g set) string {
		return when(g.kind.kind == plan.Quorum && g.gone > 1, " and more than one in the batch; they go one at a time")
	})},
	{"one member at a time", "I5", eachGroup.ask(oneOf(plan.Standby))},
	{"one key service at a time", "I9", eachGroup.ask(oneOf(plan.Key))},
	{"placement groups", "I2", eachSet.ask(minSize)},
	{"grade of placement groups", "grade", eachSet.ask(grade)},
	{"grade of groups", "grade", eachGroup.ask(grade)},
	{"survive", "grade", survive},
	{"counts", "count", counts},
}

// each is a sort of thing that rules ask about: all of it, and how the sentence about one begins whose end is the answer.
type each[T any] struct {
	all    func(c *checker) []T
	begins func(c *checker, x T) (place model.Path, text string)
}

var (
	eachHost = each[int32]{func(c *checker) []int32 { return c.b.Hosts }, func(c *checker, h int32) (model.Path, string) { return c.path(h), string(c.path(h)) + " " }}
	eachStop = each[int32]{func(c *checker) []int32 { return c.b.Stops }, func(c *checker, vm int32) (model.Path, string) {
		return c.path(c.on[vm]), c.vm(vm) + " would be stopped "
	}}
	eachMove = each[move]{func(c *checker) []move { return c.moves }, func(c *checker, m move) (model.Path, string) {
		return c.path(m.to), fmt.Sprintf("%s is placed on %s, ", c.vm(m.vm), c.path(m.to))
	}}
	eachGroup = each[set]{func(c *checker) []set { return c.groups }, func(c *checker, g set) (model.Path, string) {
		return c.b.Zone, fmt.Sprintf("group %s would have %d of %d members up", g.name, g.up, len(g.hosts))
	}}
	eachSet = each[set]{func(c *checker) []set { return c.sets }, func(c *checker, s set) (model.Path, string) {
		return c.b.Zone, fmt.Sprintf("pool %s: %d placement groups on %s would have %d copies", s.name, s.count, c.names(s.hosts), s.up)
	}}
)

// ask is the check of a rule: one question about each.
func (e each[T]) ask(question func(c *checker, x T) string) func(*checker) {
	return func(c *checker) {
		for _, x := range e.all(c) {
			if answer := question(c, x); answer != "" {
				place, begin := e.begins(c, x)
				c.wrong(place, "%s%s", begin, answer)
			}
		}
	}
}

// when is an answer when something is wrong.
func when(wrong bool, text string) string {
	if wrong {
		return text
	}
	return ""
}

// oneFailureDomain compares a host with the first of the batch that keeps data.
func oneFailureDomain(c *checker, h int32) string {
	first := c.b.Hosts[max(0, slices.IndexFunc(c.b.Hosts, c.keepsData))]
	return when(c.keepsData(h) && c.out[h] && c.domain[h] != c.domain[first], "and "+string(c.path(first))+" have OSDs in two failure domains")
}

// releases asks how far a host's Ceph goes, and whether its OSDs find monitors that are as new when they come up; another one of the batch may not be yet.
func releases(c *checker, h int32) string {
	was, after, mons := c.ceph[h], c.fleet.Hosts[h].CephAfter, c.cluster.Mons
	switch older := func(m int32) bool { return m != h && (c.ceph[m] < after || c.down[m]) }; {
	case after > 0 && after < c.cluster.Require && c.keepsData(h):
		return fmt.Sprintf("would run OSDs of Ceph %d, and its cluster starts none below %d any more", after, c.cluster.Require)
	case was == 0 || after == was || after == 0:
		return ""
	case after < was && c.keepsData(h) || after > was+2:
		return fmt.Sprintf("would go from Ceph %d to %d", was, after)
	case after > was && len(mons) < 3:
		return fmt.Sprintf("would go from Ceph %d to %d with fewer than three monitors", was, after)
	case after > was && slices.ContainsFunc(mons, func(m int32) bool { return c.fleet.Hosts[m].Down }):
		return fmt.Sprintf("would go from Ceph %d to %d while a monitor is down", was, after)
	case after > was && slices.ContainsFunc(c.cluster.Filesystems, shared):
		return fmt.Sprintf("would go from Ceph %d to %d while several metadata servers share a file system", was, after)
	case c.keepsData(h) && slices.ContainsFunc(mons, older):
		return fmt.Sprintf("would run OSDs of Ceph %d before the monitor of %s has it", after, c.path(mons[slices.IndexFunc(mons, older)]))
	}
	return ""
}

// shared: metadata servers of one release and of the next would have to understand each other.
func shared(f plan.Filesystem) bool { return f.Ranks > 1 || f.StandbyReplay }

// unavailable counts in every place of level Per that the batch touches.
func (c *checker) unavailable(name string, u plan.MaxUnavailable) {
	type count struct {
		hosts, down int
		units       map[int32]bool
	}
	per, unit, counts := c.places(u.Per), c.places(u.Unit), map[int32]*count{}
	for _, h := range c.b.Hosts {
		counts[per[h]] = &count{units: map[int32]bool{}}
	}
	for i := range c.fleet.Hosts {
		if n := counts[per[i]]; n != nil {
			if n.hosts++; c.down[i] {
				n.down++
				n.units[unit[i]] = true
			}
		}
	}
	for _, h := range c.b.Hosts {
		n, where := counts[per[h]], placeOf(c.fleet.Hosts[h], u.Per)
		if (u.Count > 0 && len(n.units) > u.Count) || (u.Percent > 0 && n.down*100 > u.Percent*n.hosts) {
			c.wrong(where, "%d of %d hosts in %d places of level %s would be down in %q, lost ones among them; %s is %d, %d %%",
				n.down, n.hosts, len(n.units), u.Unit, where, name, u.Count, u.Percent)
			*n = count{} // told once
		}
	}
}

// everyMachineLeaves demands that what is on the hosts of the batch is moved or stopped, once, and nothing else; where machines stay, that none is.
func everyMachineLeaves(c *checker) {
	if c.policy.Stays {
		c.must(len(c.b.Moves.VM)+len(c.b.Stops) == 0, c.b.Zone, "virtual machines stay under this policy, and %d are moved and %d stopped", len(c.b.Moves.VM), len(c.b.Stops))
		return
	}
	gone := make(map[int32]bool, len(c.moves))
	for _, vm := range slices.Concat(c.b.Moves.VM, c.b.Stops) {
		if from := c.on[vm]; gone[vm] || !c.in[from] {
			c.wrong(c.path(from), "%s leaves %s twice, or is moved or stopped although that is not in the batch", c.vm(vm), c.path(from))
		}
		gone[vm] = true
	}
	for vm, h := range c.on {
		if c.in[h] && !gone[int32(vm)] {
			c.wrong(c.path(h), "%s stays on %s while it is down", c.vm(int32(vm)), c.path(h))
		}
	}
}

func destinationFits(c *checker, m move) string {
	if class := c.class[m.to]; class >= 0 {
		return unfit(c.shape(m.vm), &c.fleet.Classes[class], true)
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

// room looks at what is there with all that arrives. Nothing that leaves is taken off: a destination is outside the batch, where nothing leaves.
func room(c *checker, m move) string {
	all, used, keep := &c.fleet.Hosts[m.to], &c.used[m.to], int64(100-c.policy.ReservePercent)
	if c.shape(m.vm).Cells == 0 && (100*used.VCPUs > keep*all.VCPUs || 100*used.MemoryMiB > keep*all.MemoryMiB) {
		return fmt.Sprintf("which would use %d of %d VCPUs and %d of %d MiB, %d %% of which are kept free", used.VCPUs, all.VCPUs, used.MemoryMiB, all.MemoryMiB, 100-keep)
	}
	return ""
}

func roomInCells(c *checker, m move) string {
	if text := c.wrongMask(m.cells, c.fleet.VMs.Shape[m.vm], m.to); text != "" {
		return text
	}
	for i, all := range c.fleet.Hosts[m.to].Cells {
		if used := c.used[m.to].Cells[i]; m.cells>>i&1 == 1 && (used.CPUs > all.CPUs || used.HugeMiB > all.HugeMiB) {
			return fmt.Sprintf("which would use %d of %d CPUs and %d of %d MiB of its NUMA cell %d", used.CPUs, all.CPUs, used.HugeMiB, all.HugeMiB, i)
		}
	}
	return ""
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
