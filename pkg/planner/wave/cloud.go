package wave

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// cloud is a fleet under a policy, indexed once and only read from then on, so that zones can be solved at the same time.
type cloud struct {
	f       plan.Fleet
	p       plan.Policy
	zones   []*zone // in the order of the rollout
	regions map[model.Path]*region
	local   []int32   // host → its index in its zone
	zoneOf  []*zone   // of a host
	can     []bool    // shape × class: the class can run the shape
	groups  [][]int32 // of a host
	links   [][]int32 // of a host
	apart   csr       // virtual machine → the anti-affinity groups it is in
	fixed   []bool    // of a virtual machine
	consent []bool
	places  map[string][]int32 // level → host → number of its place
	paths   map[string][]model.Path
}

// zone is a zone with hosts and virtual machines by their index in the fleet.
type zone struct {
	path   model.Path
	region *region
	hosts  []int32
	vms    []int32
	lost   int  // hosts that are down
	canary int  // at most so many hosts in the first batch; 0: no matter
	change int  // hosts to be changed
	budget unit // what max_unavailable leaves
}

// csr is a list of lists without a header for each.
type csr struct{ from, list []int32 }

func (c csr) of(i int32) []int32 {
	if c.from == nil {
		return nil
	}
	return c.list[c.from[i]:c.from[i+1]]
}

func newCloud(f plan.Fleet, p plan.Policy) *cloud {
	if p.Stays { // they run on, whatever batch their host is in
		f.VMs, f.Apart = plan.VMs{}, nil
	}
	c := &cloud{f: f, p: p, regions: map[model.Path]*region{}, places: map[string][]int32{}, paths: map[string][]model.Path{},
		local: make([]int32, len(f.Hosts)), zoneOf: make([]*zone, len(f.Hosts)), groups: make([][]int32, len(f.Hosts)),
		fixed: make([]bool, len(f.VMs.Host)), consent: make([]bool, len(f.VMs.Host)), can: compatible(f)}
	for g, x := range f.Groups {
		if p.Drains() { // no member is taken out
			break
		}
		for _, h := range x.Hosts {
			c.groups[h] = append(c.groups[h], int32(g))
		}
	}
	if len(f.Links) > 0 {
		c.links = make([][]int32, len(f.Hosts))
	}
	for l, x := range f.Links {
		for _, h := range x.Hosts {
			c.links[h] = append(c.links[h], int32(l))
		}
	}
	for _, v := range f.VMs.Fixed {
		c.fixed[v] = true
	}
	for _, v := range f.VMs.Consent {
		c.consent[v] = true
	}
	c.apart = membership(len(f.VMs.Host), f.Apart)
	for _, a := range f.Apart {
		c.numbered(a.Level)
	}
	c.findZones()
	for _, z := range c.zones {
		z.budget = c.budgetOf(z)
	}
	return c
}

// compatible tells for each shape and class whether the class can run the shape.
func compatible(f plan.Fleet) []bool {
	out := make([]bool, 0, len(f.Shapes)*len(f.Classes))
	for _, s := range f.Shapes {
		for _, c := range f.Classes {
			ok := slices.Contains(c.CPUs, s.CPU) && slices.Contains(c.Machines, s.Machine)
			for _, n := range s.Networks {
				ok = ok && slices.Contains(c.Networks, n)
			}
			out = append(out, ok)
		}
	}
	return out
}

// runs reports whether a virtual machine of the shape can move from a class to another.
func (c *cloud) runs(shape, from, to int32) bool {
	return c.can[int(shape)*len(c.f.Classes)+int(to)] && (from < 0 || c.f.Classes[to].Version >= c.f.Classes[from].Version)
}

func membership(vms int, groups []plan.Apart) csr {
	if len(groups) == 0 {
		return csr{}
	}
	return invert(vms, groups, func(g plan.Apart) []int32 { return g.VMs })
}

// invert tells, for each of n members, in which of the lists it is: in the order of the lists.
func invert[T any](n int, lists []T, members func(T) []int32) csr {
	out := csr{from: make([]int32, n+1)}
	for _, l := range lists {
		for _, m := range members(l) {
			out.from[m+1]++
		}
	}
	for i := range n {
		out.from[i+1] += out.from[i]
	}
	out.list = make([]int32, out.from[n])
	at := slices.Clone(out.from)
	for i, l := range lists {
		for _, m := range members(l) {
			out.list[at[m]] = int32(i)
			at[m]++
		}
	}
	return out
}

// findZones groups hosts and virtual machines by zone, in the order of the rollout, and finds the first zone of each site.
func (c *cloud) findZones() {
	byPath := map[model.Path]*zone{}
	for i, h := range c.f.Hosts {
		at := h.Path.Zone()
		z := byPath[at]
		if z == nil {
			z = &zone{path: at, region: c.region(at.Region())}
			byPath[at] = z
			c.zones = append(c.zones, z)
		}
		c.zoneOf[i], c.local[i] = z, int32(len(z.hosts))
		z.hosts = append(z.hosts, int32(i))
		switch {
		case h.Down:
			z.lost++
		case h.Change:
			z.change++
		}
	}
	for v, h := range c.f.VMs.Host {
		if h >= 0 {
			c.zoneOf[h].vms = append(c.zoneOf[h].vms, int32(v))
		}
	}
	slices.SortFunc(c.zones, func(a, b *zone) int {
		return cmp.Or(cmp.Compare(rank(c.p.Order, a.path), rank(c.p.Order, b.path)), strings.Compare(string(a.path), string(b.path)))
	})
	seen := map[model.Path]bool{}
	for _, z := range c.zones {
		if z.change > 0 && !seen[z.path.Site()] {
			seen[z.path.Site()] = true
			z.canary = c.p.Canary
		}
	}
}

// rank is the position of the first place of the order that contains the zone.
func rank(order []model.Path, zone model.Path) int {
	for i, p := range order {
		if p.Contains(zone) {
			return i
		}
	}
	return len(order)
}

// placeAt is the place of a level that a host lies in.
func placeAt(h plan.Host, level string) model.Path {
	switch level {
	case plan.LevelZone:
		return h.Path.Zone()
	case plan.LevelRack:
		return h.Path.Rack()
	case plan.LevelChassis:
		if h.Chassis != "" {
			return h.Chassis
		}
	}
	return h.Path
}

// numbered gives each host the number of its place of the level, and the places' paths. Call it before zones are solved at the same time.
func (c *cloud) numbered(level string) ([]int32, []model.Path) {
	if out, ok := c.places[level]; ok {
		return out, c.paths[level]
	}
	number := map[model.Path]int32{}
	out := make([]int32, len(c.f.Hosts))
	var paths []model.Path
	for i, h := range c.f.Hosts {
		at := placeAt(h, level)
		n, ok := number[at]
		if !ok {
			n = int32(len(paths))
			number[at] = n
			paths = append(paths, at)
		}
		out[i] = n
	}
	c.places[level], c.paths[level] = out, paths
	return out, paths
}

// toChange reports whether the host is to be in a batch.
func (c *cloud) toChange(h int32) bool { return c.f.Hosts[h].Change && !c.f.Hosts[h].Down }

func has(g plan.Grade, letter string) bool { return strings.Contains(string(g), letter) }
