package verify

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// levels are what places are looked up by.
var levels = [...]string{plan.LevelHost, plan.LevelChassis, plan.LevelRack, plan.LevelZone}

// world is the fleet as it is before the batch that is checked.
type world struct {
	class  []int32     // of each host
	on     []int32     // host of each virtual machine
	mask   []int32     // its NUMA cells
	guests []int       // how many virtual machines each host has
	used   []plan.Host // what they use: VCPUs, MemoryMiB, Cells
	place  map[string][]int32
	fits   [][]string // shape, class: why not; empty: it fits
	apart  [][]int32  // the groups of each virtual machine

	// Of the batch that is checked:
	in, down []bool        // hosts of the batch, and these with the lost ones
	to       []int32       // where a virtual machine goes; -1: it stays
	cluster  *plan.Cluster // of its region
	domain   []int32       // the failure domain of each host, by that cluster's level
	ops      opIndex       // of its stage
	places   []int32       // scratch of after
}

// begin builds the world before the first batch.
func (c *checker) begin() {
	f := c.fleet
	c.class, c.guests, c.used = make([]int32, len(f.Hosts)), make([]int, len(f.Hosts)), make([]plan.Host, len(f.Hosts))
	c.in, c.down = make([]bool, len(f.Hosts)), make([]bool, len(f.Hosts))
	for i, h := range f.Hosts {
		c.class[i], c.down[i] = h.Class, h.Down
		c.used[i].Cells = make([]plan.Cell, len(h.Cells))
	}
	c.on, c.mask, c.to = slices.Clone(f.VMs.Host), make([]int32, len(f.VMs.Host)), make([]int32, len(f.VMs.Host))
	for vm := range c.on {
		c.mask[vm], c.to[vm] = at(f.VMs.Cells, vm), -1
		c.take(&c.used[c.on[vm]], vm, c.mask[vm], 1)
		c.guests[c.on[vm]]++
	}
	c.apart = make([][]int32, len(c.on))
	for g, a := range f.Apart {
		for _, vm := range a.VMs {
			c.apart[vm] = append(c.apart[vm], int32(g))
		}
	}
	c.fits = make([][]string, len(f.Shapes))
	for s := range f.Shapes {
		for k := range f.Classes {
			c.fits[s] = append(c.fits[s], unfit(f.Shapes[s], f.Classes[k]))
		}
	}
	c.findPlaces()
}

// findPlaces numbers the places of each level and says in which each host is.
func (c *checker) findPlaces() {
	c.place = map[string][]int32{}
	for _, level := range levels {
		number := map[model.Path]int32{}
		for _, h := range c.fleet.Hosts {
			p := placeOf(h, level)
			if _, ok := number[p]; !ok {
				number[p] = int32(len(number))
			}
			c.place[level] = append(c.place[level], number[p])
		}
	}
}

func placeOf(h plan.Host, level string) model.Path {
	switch {
	case level == plan.LevelZone:
		return h.Path.Zone()
	case level == plan.LevelRack:
		return h.Path.Rack()
	case level == plan.LevelChassis && h.Chassis != "":
		return h.Chassis
	}
	return h.Path
}

// unfit says what a class lacks that a shape needs.
func unfit(s plan.Shape, k plan.Class) string {
	if text := unfitCold(s, k); text != "" {
		return text
	}
	if !slices.Contains(k.Machines, s.Machine) {
		return fmt.Sprintf("machine type %q", s.Machine)
	}
	return ""
}

// unfitCold is unfit for a virtual machine that is started anew, when its machine type can be another.
func unfitCold(s plan.Shape, k plan.Class) string {
	if !slices.Contains(k.CPUs, s.CPU) {
		return fmt.Sprintf("CPU model %q", s.CPU)
	}
	for _, n := range s.Networks {
		if !slices.Contains(k.Networks, n) {
			return fmt.Sprintf("network %q", n)
		}
	}
	return ""
}

// take adds a virtual machine's needs to what is used, sign times.
func (c *checker) take(used *plan.Host, vm int, mask int32, sign int64) {
	s := c.fleet.Shapes[c.fleet.VMs.Shape[vm]]
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

// close ends the batch: its virtual machines are where they were moved, its hosts have their new class.
func (c *checker) close() {
	m := c.b.Moves
	for i, vm := range m.VM {
		from := c.on[vm]
		c.take(&c.used[from], int(vm), c.mask[vm], -1)
		c.guests[from]--
		c.on[vm], c.mask[vm] = m.To[i], at(m.Cells, i)
		c.take(&c.used[m.To[i]], int(vm), c.mask[vm], 1)
		c.guests[m.To[i]]++
		c.to[vm] = -1
	}
	for _, h := range c.b.Hosts {
		c.class[h] = c.fleet.Hosts[h].ClassAfter
		c.in[h], c.down[h] = false, c.fleet.Hosts[h].Down
	}
}

func (c *checker) vm(i int32) string       { return c.fleet.VMs.Names[i] }
func (c *checker) path(h int32) model.Path { return c.fleet.Hosts[h].Path }
func (c *checker) shape(vm int32) plan.Shape {
	return c.fleet.Shapes[c.fleet.VMs.Shape[vm]]
}
