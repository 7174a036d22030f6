package verify

import (
	"maps"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// batchRules are what holds while a batch is down.
var batchRules = []rule{
	{"hosts that may change", "I11", mayChange},
	{"every machine leaves", "I3", everyMachineLeaves},
	{"one zone", "I6", oneZone},
	{"one failure domain", "I6", oneFailureDomain},
	{"destination is up", "I3", destinationIsUp},
	{"destination is in the zone", "I3", destinationInZone},
	{"destination fits", "I3", destinationFits},
	{"fixed machines stay", "I3", fixedStay},
	{"room", "I3", room},
	{"room in cells", "I3", roomInCells},
	{"versions", "I7", versions},
	{"class after", "I7", classAfter},
	{"consent", "I8", consent},
	{"anti-affinity", "I4", apart},
	{"anti-affinity of the stopped", "I4", apartStopped},
	{"one member at a time", "I5", oneMember},
	{"one key service at a time", "I9", oneKeyService},
	{"max_parallel", "I11", maxParallel},
	{"max_unavailable", "I11", maxUnavailable},
	{"quorum", "I1", quorum},
	{"one member of a quorum", "I1", oneOfQuorum},
	{"placement groups", "I2", placementGroups},
	{"grade", "grade", grades},
	{"survive", "grade", survive},
	{"counts", "count", counts},
}

// open lays out what the rules look at: what is down, where virtual machines go, and the cluster of the region.
func (c *checker) open() {
	for _, h := range c.b.Hosts {
		c.in[h], c.down[h] = true, true
	}
	for i, vm := range c.b.Moves.VM {
		c.to[vm] = c.b.Moves.To[i]
	}
	if c.plan != nil {
		c.ops = index(c.stage())
	}
	region := c.path(c.b.Hosts[0]).Region()
	c.cluster = &c.fleet.Clusters[slices.IndexFunc(c.fleet.Clusters, func(k plan.Cluster) bool { return k.Region == region })]
	c.domain = c.place[c.cluster.FailureDomain]
}

// mayChange: a lost host cannot be changed, and only those of Change are asked for.
func mayChange(c *checker) {
	for _, h := range c.b.Hosts {
		if !c.fleet.Hosts[h].Change || c.fleet.Hosts[h].Down {
			c.wrong(c.path(h), "%s is lost, or not to be changed", c.path(h))
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
		if gone[vm] {
			c.wrong(c.path(c.on[vm]), "%s leaves %s twice", c.vm(vm), c.path(c.on[vm]))
		}
		if !c.in[c.on[vm]] {
			c.wrong(c.path(c.on[vm]), "%s is moved or stopped, and %s is not in the batch", c.vm(vm), c.path(c.on[vm]))
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

func oneZone(c *checker) {
	for _, h := range c.b.Hosts {
		if c.path(h).Zone() != c.b.Zone {
			c.wrong(c.path(h), "%s is not in zone %s", c.path(h), c.b.Zone)
		}
	}
}

func oneFailureDomain(c *checker) {
	k, first := c.cluster, int32(-1)
	for _, h := range c.b.Hosts {
		if _, osd := slices.BinarySearch(k.OSDHosts, h); !osd {
			continue
		}
		if first < 0 {
			first = h
		}
		if c.domain[h] != c.domain[first] {
			c.wrong(c.path(h), "%s and %s have OSDs in two failure domains (%s)", c.path(first), c.path(h), k.FailureDomain)
		}
	}
}

func destinationIsUp(c *checker) {
	for i, vm := range c.b.Moves.VM {
		if to := c.b.Moves.To[i]; c.down[to] {
			c.wrong(c.path(to), "%s is placed on %s, which is down", c.vm(vm), c.path(to))
		}
	}
}

func destinationInZone(c *checker) {
	for i, vm := range c.b.Moves.VM {
		if to := c.b.Moves.To[i]; c.path(to).Zone() != c.path(c.on[vm]).Zone() {
			c.wrong(c.path(to), "%s is placed on %s, outside its zone", c.vm(vm), c.path(to))
		}
	}
}

func destinationFits(c *checker) {
	for i, vm := range c.b.Moves.VM {
		to := c.b.Moves.To[i]
		switch class := c.class[to]; {
		case class < 0:
			c.wrong(c.path(to), "%s is placed on %s, which runs no virtual machines", c.vm(vm), c.path(to))
		case c.fits[c.fleet.VMs.Shape[vm]][class] != "":
			c.wrong(c.path(to), "%s is placed on %s, which has no %s", c.vm(vm), c.path(to), c.fits[c.fleet.VMs.Shape[vm]][class])
		}
	}
}

func fixedStay(c *checker) {
	for _, vm := range c.b.Moves.VM {
		if _, fixed := slices.BinarySearch(c.fleet.VMs.Fixed, vm); fixed {
			c.wrong(c.path(c.on[vm]), "%s cannot be migrated", c.vm(vm))
		}
	}
}

// room adds what arrives to what is there. Nothing that leaves is taken off: a destination is outside the batch, where nothing leaves.
func room(c *checker) {
	keep := int64(100 - c.policy.ReservePercent)
	arrive := map[int32]plan.Host{}
	for i, vm := range c.b.Moves.VM {
		to := c.b.Moves.To[i]
		sum := arrive[to]
		if s := c.shape(vm); s.Cells == 0 {
			sum.VCPUs += s.VCPUs
			sum.MemoryMiB += s.MemoryMiB
			arrive[to] = sum
		}
	}
	for _, to := range slices.Sorted(maps.Keys(arrive)) {
		h := c.fleet.Hosts[to]
		if mem := c.used[to].MemoryMiB + arrive[to].MemoryMiB; 100*mem > keep*h.MemoryMiB {
			c.wrong(h.Path, "%s is placed on %s, which would use %d of %d MiB, %d %% of which are kept free", c.movedTo(to), h.Path, mem, h.MemoryMiB, c.policy.ReservePercent)
		}
		if cpus := c.used[to].VCPUs + arrive[to].VCPUs; 100*cpus > keep*h.VCPUs {
			c.wrong(h.Path, "%s is placed on %s, which would use %d of %d VCPUs, %d %% of which are kept free", c.movedTo(to), h.Path, cpus, h.VCPUs, c.policy.ReservePercent)
		}
	}
}

func roomInCells(c *checker) {
	arrive := map[int32]plan.Host{}
	for i, vm := range c.b.Moves.VM {
		to, mask := c.b.Moves.To[i], at(c.b.Moves.Cells, i)
		if text := c.wrongMask(mask, c.fleet.VMs.Shape[vm], to); text != "" {
			c.wrong(c.path(to), "%s is placed on %s: %s", c.vm(vm), c.path(to), text)
			continue
		}
		if mask != 0 {
			sum, ok := arrive[to]
			if !ok {
				sum.Cells = make([]plan.Cell, len(c.fleet.Hosts[to].Cells))
			}
			c.take(&sum, int(vm), mask, 1)
			arrive[to] = sum
		}
	}
	for _, to := range slices.Sorted(maps.Keys(arrive)) {
		for i, cell := range c.fleet.Hosts[to].Cells {
			cpus, huge := c.used[to].Cells[i].CPUs+arrive[to].Cells[i].CPUs, c.used[to].Cells[i].HugeMiB+arrive[to].Cells[i].HugeMiB
			if arrive[to].Cells[i] != (plan.Cell{}) && (cpus > cell.CPUs || huge > cell.HugeMiB) {
				c.wrong(c.path(to), "NUMA cell %d of %s would use %d of %d CPUs and %d of %d MiB", i, c.path(to), cpus, cell.CPUs, huge, cell.HugeMiB)
			}
		}
	}
}

// movedTo names one of the virtual machines that are placed on a host.
func (c *checker) movedTo(h int32) string { return c.vm(c.b.Moves.VM[slices.Index(c.b.Moves.To, h)]) }

func versions(c *checker) {
	for i, vm := range c.b.Moves.VM {
		from, to := c.class[c.on[vm]], c.class[c.b.Moves.To[i]]
		if from >= 0 && to >= 0 && c.fleet.Classes[to].Version < c.fleet.Classes[from].Version {
			c.wrong(c.path(c.b.Moves.To[i]), "%s would go from version %d on %s to the older %d on %s", c.vm(vm), c.fleet.Classes[from].Version, c.path(c.on[vm]),
				c.fleet.Classes[to].Version, c.path(c.b.Moves.To[i]))
		}
	}
}

// classAfter demands that what was stopped can be started again where it is.
func classAfter(c *checker) {
	for _, vm := range c.b.Stops {
		h := c.fleet.Hosts[c.on[vm]]
		if h.ClassAfter < 0 {
			c.wrong(h.Path, "%s is to be started again on %s, which will run no virtual machines", c.vm(vm), h.Path)
		} else if text := unfitCold(c.shape(vm), c.fleet.Classes[h.ClassAfter]); text != "" {
			c.wrong(h.Path, "%s is to be started again on %s, which will have no %s", c.vm(vm), h.Path, text)
		}
	}
}

func consent(c *checker) {
	for _, vm := range c.b.Stops {
		if _, ok := slices.BinarySearch(c.fleet.VMs.Consent, vm); !ok {
			c.wrong(c.path(c.on[vm]), "%s would be stopped without its owner's consent", c.vm(vm))
		}
	}
}

// apart asks of every machine that moves whether another member of its group is, or will be, where it goes.
func apart(c *checker) {
	for _, vm := range c.b.Moves.VM {
		for _, g := range c.apart[vm] {
			place := c.place[c.fleet.Apart[g].Level]
			for _, other := range c.fleet.Apart[g].VMs {
				if other != vm && (place[c.on[other]] == place[c.to[vm]] || (c.to[other] >= 0 && place[c.to[other]] == place[c.to[vm]])) {
					c.wrong(c.path(c.to[vm]), "%s and %s of group %s would share a %s with %s", c.vm(vm), c.vm(other), c.fleet.Apart[g].Name, c.fleet.Apart[g].Level, c.path(c.to[vm]))
				}
			}
		}
	}
}

func apartStopped(c *checker) {
	for _, vm := range c.b.Stops {
		for _, g := range c.apart[vm] {
			for _, other := range c.fleet.Apart[g].VMs {
				_, stopped := slices.BinarySearch(c.b.Stops, other)
				if other != vm && (stopped || c.fleet.Hosts[c.on[other]].Down) {
					c.wrong(c.path(c.on[vm]), "%s and %s of group %s would be stopped at once", c.vm(vm), c.vm(other), c.fleet.Apart[g].Name)
				}
			}
		}
	}
}

func maxParallel(c *checker) {
	n := 0
	for i, h := range c.fleet.Hosts {
		if h.Path.Zone() == c.b.Zone && c.down[i] {
			n++
		}
	}
	if limit := c.policy.MaxParallel; limit > 0 && n > limit {
		c.wrong(c.b.Zone, "%d hosts would be down in %s, lost ones among them; max_parallel is %d", n, c.b.Zone, limit)
	}
}

// maxUnavailable counts in every place of level Per that the batch touches.
func maxUnavailable(c *checker) {
	u := c.policy.MaxUnavailable
	per := func(p model.Path) model.Path {
		return p.Element(map[string]int{"": 0, "site": 1, "region": 2, "zone": 3}[u.Per])
	}
	touched := map[model.Path]bool{}
	for _, h := range c.b.Hosts {
		touched[per(c.path(h))] = true
	}
	for _, where := range slices.Sorted(maps.Keys(touched)) {
		hosts, down, units := 0, 0, map[model.Path]bool{}
		for i, h := range c.fleet.Hosts {
			if per(h.Path) != where {
				continue
			}
			hosts++
			if c.down[i] {
				down++
				units[placeOf(h, u.Unit)] = true
			}
		}
		if u.Count > 0 && len(units) > u.Count {
			c.wrong(where, "%d places of level %s, with %d hosts, would be down in %q, lost ones among them; max_unavailable is %d", len(units), u.Unit, down, where, u.Count)
		}
		if u.Percent > 0 && down*100 > u.Percent*hosts {
			c.wrong(where, "%d of %d hosts would be down in %q, lost ones among them; max_unavailable is %d %%", down, hosts, where, u.Percent)
		}
	}
}

func counts(c *checker) {
	if got := c.tally(); got != c.b.Counts {
		c.wrong(c.b.Zone, "its counts are %+v, and it says %+v", got, c.b.Counts)
	}
}
