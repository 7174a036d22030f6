// Package plantest generates fleets and policies from a seed, for tests and benchmarks of whatever makes, checks or tries a certificate.
package plantest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Size is how large a fleet is.
type Size struct {
	Sites   int // at least 1
	Regions int // of each site
	Zones   int // of each region
	Hosts   int // of each zone
}

// Sizes in use by tests. Small has 24 hosts, Region 260, Full about as many as the design limit.
var (
	Tiny   = Size{Sites: 1, Regions: 1, Zones: 1, Hosts: 8}
	Small  = Size{Sites: 1, Regions: 1, Zones: 2, Hosts: 12}
	Medium = Size{Sites: 2, Regions: 1, Zones: 2, Hosts: 30}
	Region = Size{Sites: 1, Regions: 1, Zones: 2, Hosts: 130}
	Full   = Size{Sites: 2, Regions: 2, Zones: 2, Hosts: 1250}
)

// Scaled is a fleet of zones as large as a data hall, with about so many hosts.
func Scaled(hosts int) Size { return Size{Sites: 2, Regions: 2, Zones: 2, Hosts: max(1, hosts/8)} }

// Total is the number of hosts.
func (s Size) Total() int { return s.Sites * s.Regions * s.Zones * s.Hosts }

// Fleet generates a fleet and a policy. The same seed and size give the same; no clock and nothing else plays a part. Most fleets can be rolled
// under their policy, and some cannot: what is drawn is what operators have, not what is easy.
//
// What varies with the seed: processors and hypervisor versions, hyperconverged or separate storage, CRUSH failure domain, replicated and
// erasure-coded pools, chassis, groups, pinned virtual machines with NUMA cells, anti-affinity, utilisation from 40 to 85 %, machines that may only be
// stopped, hosts that are down, uplinks, and every field of the policy.
func Fleet(seed uint64, size Size) (plan.Fleet, plan.Policy) {
	g := &gen{Rand: rand.New(rand.NewPCG(seed, 0x6e75626f)), size: size}
	g.hypervisors()
	g.shapes()
	for s := range size.Sites {
		for r := range size.Regions {
			g.region(model.Path(fmt.Sprintf("s%d/s%d-r%d", s+1, s+1, r+1)))
		}
	}
	g.f.VMs = sorted(g.vms, g.f.Apart)
	if g.policy(); g.Bool() {
		g.uplinks()
	}
	if g.Bool() {
		g.keys()
	}
	return g.f, g.p
}

type gen struct {
	*rand.Rand
	size Size
	f    plan.Fleet
	p    plan.Policy
	vms  []vm
	cpus []string // models, oldest first
	util float64  // of the region at hand
	next int      // number of the next virtual machine
}

// Bool is true half of the time.
func (g *gen) Bool() bool { return g.IntN(2) == 0 }

// one of n times.
func (g *gen) oneIn(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *gen, list ...T) T { return list[g.IntN(len(list))] }

// hypervisors draws the processors, oldest first; each gives guests its own model and the older ones. Class 2i becomes class 2i+1.
func (g *gen) hypervisors() {
	all := []string{"Haswell-noTSX", "Skylake-Server", "Cascadelake-Server", "EPYC-Milan"}
	g.cpus = all[:1+g.IntN(3)]
	machines := []string{"pc-i440fx-7.2", "pc-q35-7.2"}
	networks := []string{"tenant", "internal"}
	after := 2
	if g.oneIn(6) {
		after = 1 // the hypervisor stays what it is
	}
	for i := range g.cpus {
		g.f.Classes = append(g.f.Classes,
			plan.Class{CPUs: g.cpus[:i+1], Machines: machines, Networks: networks, Version: 1},
			plan.Class{CPUs: g.cpus[:i+1], Machines: append(slices.Clone(machines), "pc-q35-10.0"), Networks: networks, Version: after})
	}
}

// shapes draws the sizes of virtual machines; the floating ones come first, small ones are frequent.
func (g *gen) shapes() {
	for i, s := range []struct{ cpus, gib int64 }{{1, 2}, {2, 4}, {2, 8}, {4, 8}, {4, 16}, {8, 32}, {8, 16}, {16, 64}} {
		g.f.Shapes = append(g.f.Shapes, plan.Shape{Name: fmt.Sprintf("f%d", i), CPU: g.cpus[0], Machine: pick(g, "pc-q35-7.2", "pc-i440fx-7.2"),
			VCPUs: s.cpus, MemoryMiB: s.gib << 10, DirtyMiBs: float64(g.IntN(40)), Networks: []string{"tenant"}})
	}
	newest := g.f.Shapes[3]
	newest.Name, newest.CPU = "n3", g.cpus[len(g.cpus)-1]
	g.f.Shapes = append(g.f.Shapes, newest)
	for cells := 1; cells <= 2; cells++ {
		g.f.Shapes = append(g.f.Shapes, plan.Shape{Name: fmt.Sprintf("p%d", cells), CPU: g.cpus[0], Machine: "pc-q35-7.2",
			Cells: cells, VCPUs: int64(4 * cells), MemoryMiB: int64(16<<10*cells) - 1, DirtyMiBs: 5, Networks: []string{"tenant", "internal"}})
	}
}

// frequent are the weights of the floating shapes and of the newest.
var frequent = []int{18, 22, 14, 16, 12, 4, 8, 2, 4}

func (g *gen) floating() int32 {
	sum := 0
	for _, w := range frequent {
		sum += w
	}
	at := g.IntN(sum)
	for i, w := range frequent {
		if at -= w; at < 0 {
			return int32(i)
		}
	}
	return 0
}

// sorted gives the columns, by name, and renumbers the groups.
func sorted(list []vm, apart []plan.Apart) plan.VMs {
	order := make([]int32, len(list))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(list[a].name, list[b].name) })
	var out plan.VMs
	at := make([]int32, len(list))
	pinned := slices.ContainsFunc(list, func(v vm) bool { return v.cells != 0 })
	for i, o := range order {
		v := list[o]
		at[o] = int32(i)
		out.Names, out.Host, out.Shape = append(out.Names, v.name), append(out.Host, v.host), append(out.Shape, v.shape)
		if pinned {
			out.Cells = append(out.Cells, v.cells)
		}
		if v.fixed {
			out.Fixed, out.Consent = append(out.Fixed, int32(i)), append(out.Consent, int32(i))
		}
	}
	for _, a := range apart {
		for i := range a.VMs {
			a.VMs[i] = at[a.VMs[i]]
		}
		slices.Sort(a.VMs)
	}
	return out
}

// keys has name servers on two or three of the hosts that are up, anywhere.
func (g *gen) keys() {
	var hosts plan.Ints
	for _, i := range g.some(len(g.f.Hosts), 2+g.IntN(2)) {
		if !g.f.Hosts[i].Down {
			hosts = append(hosts, int32(i))
		}
	}
	if len(hosts) > 1 {
		slices.Sort(hosts)
		g.f.Groups = append(g.f.Groups, plan.Group{Hosts: hosts, Kind: plan.Key, Name: "name servers"})
	}
}
