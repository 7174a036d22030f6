package peers

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// cloud is the fleet as it is between rounds.
type cloud struct {
	f             *plan.Fleet
	class         []int32 // of each host now
	at            []int32 // host of each virtual machine
	on            []map[int32]bool
	vcpus, memory []int64       // free
	cells         [][]plan.Cell // free
	mask          []int32
	groups        map[int32][]int32 // virtual machine → anti-affinity groups
	zone          map[model.Path][]int32
	fixed         map[int32]bool // true: may be stopped
	out           map[int32]bool // of the round at hand
}

func newCloud(f *plan.Fleet) *cloud {
	c := &cloud{f: f, at: slices.Clone(f.VMs.Host), mask: slices.Clone(f.VMs.Cells), groups: map[int32][]int32{}, zone: map[model.Path][]int32{}, fixed: map[int32]bool{}}
	if len(c.mask) == 0 {
		c.mask = make([]int32, len(c.at))
	}
	for i, h := range f.Hosts {
		c.class = append(c.class, h.Class)
		c.vcpus, c.memory, c.cells = append(c.vcpus, h.VCPUs), append(c.memory, h.MemoryMiB), append(c.cells, slices.Clone(h.Cells))
		c.on = append(c.on, map[int32]bool{})
		if h.Class >= 0 {
			c.zone[h.Path.Zone()] = append(c.zone[h.Path.Zone()], int32(i))
		}
	}
	for _, vm := range f.VMs.Fixed {
		_, consent := slices.BinarySearch(f.VMs.Consent, vm)
		c.fixed[vm] = consent
	}
	for i, g := range f.Apart {
		for _, vm := range g.VMs {
			c.groups[vm] = append(c.groups[vm], int32(i))
		}
	}
	for vm, h := range c.at {
		c.put(int32(vm), h, c.mask[vm], 1)
	}
	return c
}

// put takes a virtual machine's room on a host, or with -1 gives it back.
func (c *cloud) put(vm, h, mask int32, sign int64) {
	s := &c.f.Shapes[c.f.VMs.Shape[vm]]
	if c.on[h][vm] = sign > 0; sign < 0 {
		delete(c.on[h], vm)
	}
	if s.Cells == 0 {
		c.vcpus[h] -= sign * s.VCPUs
		c.memory[h] -= sign * s.MemoryMiB
		return
	}
	cpus, huge := share(s)
	for i := range c.cells[h] {
		if mask>>i&1 == 1 {
			c.cells[h][i].CPUs -= sign * cpus
			c.cells[h][i].HugeMiB -= sign * huge
		}
	}
}

// share is what a pinned machine takes of each of its cells.
func share(s *plan.Shape) (cpus, huge int64) {
	n := int64(s.Cells)
	return (s.VCPUs + n - 1) / n, (s.MemoryMiB + n - 1) / n
}

// round empties the hosts, largest machines first, and changes them.
func (c *cloud) round(hosts plan.Ints, backup bool) Round {
	r := Round{Hosts: slices.Sorted(slices.Values(hosts))}
	c.out = map[int32]bool{}
	for _, h := range hosts {
		c.out[h] = true
	}
	for _, h := range r.Hosts {
		leaving := c.leaving(h)
		to := int32(-1)
		if backup {
			to = c.backup(h, leaving)
		}
		for _, vm := range leaving {
			c.leave(vm, to, &r)
		}
	}
	for _, h := range hosts {
		c.class[h] = c.f.Hosts[h].ClassAfter
	}
	return r
}

func (c *cloud) leaving(h int32) []int32 {
	var out []int32
	for vm := range c.on[h] {
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b int32) int {
		return cmp.Or(cmp.Compare(c.f.Shapes[c.f.VMs.Shape[b]].MemoryMiB, c.f.Shapes[c.f.VMs.Shape[a]].MemoryMiB), cmp.Compare(a, b))
	})
	return out
}

func (c *cloud) leave(vm, to int32, r *Round) {
	if consent, fixed := c.fixed[vm]; fixed {
		if consent {
			r.Stops = append(r.Stops, vm)
		} else {
			r.Nowhere = append(r.Nowhere, vm)
		}
		return
	}
	mask := int32(0)
	ok := to >= 0
	if ok {
		mask, ok = c.takes(vm, to)
	}
	if !ok {
		to, mask = c.schedule(vm)
	}
	if to < 0 {
		r.Nowhere = append(r.Nowhere, vm)
		return
	}
	c.put(vm, c.at[vm], c.mask[vm], -1)
	c.put(vm, to, mask, 1)
	c.at[vm], c.mask[vm] = to, mask
	r.Moves.VM, r.Moves.To = append(r.Moves.VM, vm), append(r.Moves.To, to)
}

// schedule finds the host with the most free memory that takes the machine; -1: there is none.
func (c *cloud) schedule(vm int32) (best, mask int32) {
	best = -1
	for _, h := range c.zone[c.f.Hosts[c.at[vm]].Path.Zone()] {
		if best >= 0 && c.memory[h] <= c.memory[best] {
			continue
		}
		if m, ok := c.takes(vm, h); ok {
			best, mask = h, m
		}
	}
	return best, mask
}

// backup is the emptiest host of the zone, when the sums of what is in use fit there; else -1.
func (c *cloud) backup(from int32, leaving []int32) int32 {
	var vcpus, memory int64
	for _, vm := range leaving {
		s := &c.f.Shapes[c.f.VMs.Shape[vm]]
		vcpus, memory = vcpus+s.VCPUs, memory+s.MemoryMiB
	}
	best := int32(-1)
	for _, h := range c.zone[c.f.Hosts[from].Path.Zone()] {
		if !c.out[h] && !c.f.Hosts[h].Down && (best < 0 || c.memory[h] > c.memory[best]) {
			best = h
		}
	}
	if best < 0 || c.vcpus[best] < vcpus || c.memory[best] < memory {
		return -1
	}
	return best
}

// takes reports whether a host can run the machine now, and on which cells.
func (c *cloud) takes(vm, h int32) (mask int32, ok bool) {
	s := &c.f.Shapes[c.f.VMs.Shape[vm]]
	if c.out[h] || c.f.Hosts[h].Down || h == c.at[vm] || !c.suits(s, c.class[c.at[vm]], c.class[h]) || c.meets(vm, h) {
		return 0, false
	}
	if s.Cells == 0 {
		return 0, c.vcpus[h] >= s.VCPUs && c.memory[h] >= s.MemoryMiB
	}
	cpus, huge := share(s)
	for i, cell := range c.cells[h] {
		if cell.CPUs >= cpus && cell.HugeMiB >= huge && bits.OnesCount32(uint32(mask)) < s.Cells {
			mask |= 1 << i
		}
	}
	return mask, bits.OnesCount32(uint32(mask)) == s.Cells
}

func (c *cloud) suits(s *plan.Shape, from, to int32) bool {
	if to < 0 || (from >= 0 && c.f.Classes[to].Version < c.f.Classes[from].Version) {
		return false
	}
	k := &c.f.Classes[to]
	return slices.Contains(k.CPUs, s.CPU) && slices.Contains(k.Machines, s.Machine) &&
		!slices.ContainsFunc(s.Networks, func(n string) bool { return !slices.Contains(k.Networks, n) })
}

// meets reports whether another member of one of the machine's groups is in the place that its level names.
func (c *cloud) meets(vm, h int32) bool {
	for _, g := range c.groups[vm] {
		a := &c.f.Apart[g]
		for _, other := range a.VMs {
			if other != vm && place(c.f, c.at[other], a.Level) == place(c.f, h, a.Level) {
				return true
			}
		}
	}
	return false
}

// place is the place of a level that a host is in.
func place(f *plan.Fleet, h int32, level string) model.Path {
	host := &f.Hosts[h]
	switch level {
	case plan.LevelChassis:
		return cmp.Or(host.Chassis, host.Path)
	case plan.LevelRack:
		return host.Path.Rack()
	case plan.LevelZone:
		return host.Path.Zone()
	}
	return host.Path
}
