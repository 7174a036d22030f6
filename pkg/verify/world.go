package verify

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// levels are what may be a failure domain.
var levels = [...]string{plan.LevelHost, plan.LevelChassis, plan.LevelRack, plan.LevelZone}

// world is the fleet as it is before the batch that is checked.
type world struct {
	class  []int32             // of each host
	ceph   []int               // the release of Ceph that each host has
	rises  map[model.Path]bool // the regions in which one gets a newer one
	on     []int32             // host of each virtual machine
	mask   []int32             // its NUMA cells
	used   []plan.Host         // what they use: VCPUs, MemoryMiB, Cells; while a batch is down, also what arrives
	apart  map[int32][]int32   // the groups of a virtual machine
	number map[string][]int32
	all    []set       // the acting sets
	copies []plan.Ints // of each host: those with a copy on it
	frail  [][]set     // of each cluster: those that stand worst

	// Of the batch that is checked:
	in, down []bool  // hosts of the batch, and these with the lost ones
	out, off []bool  // of these two, the hosts whose storage and services are not there: in a drain, only the lost ones
	to       []int32 // where a virtual machine goes; -1: it stays
	moves    []move
	cluster  *plan.Cluster // of its region
	domain   []int32       // the failure domain of each host, by that cluster's level
	sets     []set         // that the batch touches, and the worst of the rest
	groups   []set         // with a member in the region
	ops      opIndex       // of its stage
}

// move is one virtual machine that leaves a host of the batch.
type move struct{ vm, from, to, cells int32 }

// begin builds the world before the first batch.
func (c *checker) begin() {
	f, hosts, vms := c.fleet, len(c.fleet.Hosts), len(c.fleet.VMs.Host)
	c.ceph, c.class, c.used, c.number = make([]int, hosts), make([]int32, hosts), make([]plan.Host, hosts), map[string][]int32{}
	c.in, c.down, c.out, c.off = make([]bool, hosts), make([]bool, hosts), make([]bool, hosts), make([]bool, hosts)
	c.rises = map[model.Path]bool{}
	for i, h := range f.Hosts {
		if h.Change && h.Ceph > 0 && h.CephAfter > h.Ceph {
			c.rises[h.Path.Region()] = true
		}
		c.ceph[i], c.class[i], c.down[i], c.off[i] = h.Ceph, h.Class, h.Down, h.Down
		c.used[i].Cells = make([]plan.Cell, len(h.Cells))
	}
	c.on, c.mask, c.to = slices.Clone(f.VMs.Host), make([]int32, vms), make([]int32, vms)
	for vm := range c.on {
		c.mask[vm], c.to[vm] = at(f.VMs.Cells, vm), -1
		c.take(c.on[vm], int32(vm), c.mask[vm], 1)
	}
	c.apart = map[int32][]int32{}
	for g, a := range f.Apart {
		for _, vm := range a.VMs {
			c.apart[vm] = append(c.apart[vm], int32(g))
		}
	}
	c.findSets()
}

// enter looks at a cluster and its failure domains.
func (c *checker) enter(cluster int) {
	c.cluster = &c.fleet.Clusters[cluster]
	c.domain = c.places(c.cluster.FailureDomain)
}

// open lays out what the rules look at: what is down, where virtual machines go, and what of the region the batch concerns.
func (c *checker) open() {
	region := c.path(c.b.Hosts[0]).Region()
	k := slices.IndexFunc(c.fleet.Clusters, func(k plan.Cluster) bool { return k.Region == region })
	c.enter(k)
	for _, h := range c.b.Hosts {
		c.in[h], c.down[h] = true, true
		c.out[h], c.off[h] = !c.policy.Drains(), c.off[h] || !c.policy.Drains()
	}
	c.lay(c.frail[k])
	c.moves = c.moves[:0]
	for i, vm := range c.b.Moves.VM {
		m := move{vm, c.on[vm], c.b.Moves.To[i], at(c.b.Moves.Cells, i)}
		c.moves, c.to[vm] = append(c.moves, m), m.to
		c.take(m.to, vm, m.cells, 1)
	}
	if c.plan != nil {
		c.ops = index(c.stage())
	}
}

// close ends the batch: its virtual machines are where they were moved, its hosts have their new class, or take no more of them when they were drained.
func (c *checker) close() {
	for _, m := range c.moves {
		c.take(m.from, m.vm, c.mask[m.vm], -1)
		c.on[m.vm], c.mask[m.vm], c.to[m.vm] = m.to, m.cells, -1
	}
	for _, h := range c.b.Hosts {
		c.class[h], c.ceph[h] = c.fleet.Hosts[h].ClassAfter, c.fleet.Hosts[h].CephAfter
		c.in[h], c.down[h] = false, c.fleet.Hosts[h].Down || c.policy.Drains()
		c.out[h], c.off[h] = false, c.fleet.Hosts[h].Down
	}
}

// take adds a virtual machine's needs to what is used of a host, sign times.
func (c *checker) take(h, vm, mask int32, sign int64) {
	used, s := &c.used[h], c.shape(vm)
	if s.Cells == 0 {
		used.VCPUs += sign * s.VCPUs
		used.MemoryMiB += sign * s.MemoryMiB
		return
	}
	n := int64(s.Cells)
	for cell := range used.Cells {
		if mask>>cell&1 == 1 {
			used.Cells[cell].CPUs += sign * ((s.VCPUs + n - 1) / n)
			used.Cells[cell].HugeMiB += sign * ((s.MemoryMiB + n - 1) / n)
		}
	}
}

// places gives each host the number of its place of a level.
func (c *checker) places(level string) []int32 {
	out, ok := c.number[level]
	if !ok {
		numbers := map[model.Path]int32{}
		for _, h := range c.fleet.Hosts {
			p := placeOf(h, level)
			if _, known := numbers[p]; !known {
				numbers[p] = int32(len(numbers))
			}
			out = append(out, numbers[p])
		}
		c.number[level] = out
	}
	return out
}

// depth is how many elements of a host's path its place of a level has; the empty level is the whole cloud.
var depth = map[string]int{"": 0, "site": 1, "region": 2, plan.LevelZone: 3, plan.LevelRack: 4}

func placeOf(h plan.Host, level string) model.Path {
	if n, ok := depth[level]; ok {
		return h.Path.Element(n)
	}
	if level == plan.LevelChassis && h.Chassis != "" {
		return h.Chassis
	}
	return h.Path
}

func (c *checker) vm(i int32) string       { return c.fleet.VMs.Names[i] }
func (c *checker) path(h int32) model.Path { return c.fleet.Hosts[h].Path }
func (c *checker) shape(vm int32) *plan.Shape {
	return &c.fleet.Shapes[c.fleet.VMs.Shape[vm]]
}
func (c *checker) keepsData(h int32) bool { return has(c.cluster.OSDHosts, h) }

// has reports whether an ascending column holds a number.
func has(column plan.Ints, i int32) bool {
	_, ok := slices.BinarySearch(column, i)
	return ok
}

// at is element i of a column that may be left out.
func at(column plan.Ints, i int) int32 {
	if i < len(column) {
		return column[i]
	}
	return 0
}
