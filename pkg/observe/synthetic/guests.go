package synthetic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// guests places virtual machines.
type guests struct {
	d     model.Desired
	hosts []host
	index map[model.Path]int
	vms   []model.ObservedVM
}

// host is a node that carries virtual machines, with what is still free.
type host struct {
	path          model.Path
	cpu, bridge   string
	vcpus, memory int64 // free
	ofCPU, ofMem  int64 // in all
	cells         []plan.Cell
	favour        float64 // above 1: schedulers happen to like it
	zone, rack    model.Path
	anti          map[string]bool // groups with a member here
}

func newGuests(d model.Desired, profiles map[string]model.Profile) *guests {
	g := &guests{d: d, index: map[model.Path]int{}}
	for _, n := range d.Nodes {
		if !facts.Carries(n) {
			continue
		}
		p := profiles[n.Profile]
		var room plan.Host
		facts.Room(&room, n, p)
		h := host{path: n.Path, cpu: p.CPUModel, vcpus: room.VCPUs, memory: room.MemoryMiB, ofCPU: max(room.VCPUs, 1), ofMem: max(room.MemoryMiB, 1), cells: room.Cells,
			zone: n.Path.Zone(), rack: n.Path.Rack()}
		if len(p.Bridges) > 0 {
			h.bridge = p.Bridges[0].Name
		}
		g.index[n.Path] = len(g.hosts)
		g.hosts = append(g.hosts, h)
	}
	return g
}

// declared are the virtual machines of the inventory itself, where it wants them.
func (g *guests) declared(list []model.VM) error {
	for _, vm := range list {
		i, ok := g.index[vm.Node]
		if !ok {
			return fmt.Errorf("virtual machine %s: its node %s carries none", vm.Name, vm.Node)
		}
		h := &g.hosts[i]
		h.vcpus, h.memory = h.vcpus-int64(vm.VCPUs), h.memory-int64(vm.MemoryMiB)
		o := model.ObservedVM{Name: vm.Name, Node: vm.Node, State: "running", VCPUs: vm.VCPUs, MemoryMiB: vm.MemoryMiB, Spec: facts.VMSpec(vm, vm.Image.Digest),
			CPUModel: h.cpu, Machine: machines[0], AntiAffinity: vm.AntiAffinity, OnDrain: vm.OnDrain, DirtyMiBs: 5}
		for _, nic := range vm.NICs {
			o.Networks = append(o.Networks, nic.Bridge)
		}
		g.vms = append(g.vms, o)
	}
	return nil
}

// The machine types of guests: four in five were started under the QEMU that runs, the others brought an older type along.
var machines = [...]string{"pc-q35-10.0", "pc-q35-7.2"}

// groupSize is how many members an anti-affinity group has.
const groupSize = 3

// workload places the machines of one block. Each takes the emptier of two hosts drawn by chance, as schedulers that weigh free memory come to do
// over the years, and the first with room when both are full. Some hosts are liked better than others, so that no two are equally full.
func (g *guests) workload(w model.Workload, rng *rand.Rand) error {
	zones := g.zonesOf(w.Region)
	if len(zones) == 0 {
		return fmt.Errorf("region %s has a workload of %d virtual machines and no node that carries any", w.Region, w.VMs)
	}
	sizes := deal(w, rng)
	prefix := "vm-" + slug(w.Region) + "-"
	width := max(6, len(fmt.Sprint(w.VMs)))
	bridges := map[string][]string{}
	g.vms = slices.Grow(g.vms, len(sizes))
	grouped := int(w.Apart*float64(w.VMs)) / groupSize * groupSize
	for i, f := range sizes {
		vm := model.ObservedVM{Name: fmt.Sprintf("%s%0*d", prefix, width, i), State: "running", VCPUs: f.VCPUs, MemoryMiB: f.MemoryMiB, Flavor: f.Name, NUMACells: f.NUMACells,
			Machine: machines[boolInt(rng.IntN(5) == 0)], DirtyMiBs: f.DirtyMiBs * busy(rng)}
		zone := pick(zones, rng)
		if i < grouped {
			zone = zones[(i/groupSize+i%groupSize)%len(zones)] // members take the zones in turn
			vm.AntiAffinity = group(zone, zones, i/groupSize)
		}
		h := g.place(zone, &vm, rng)
		if h == nil {
			return fmt.Errorf("region %s: virtual machine %d of %d (%s, %d MiB) fits on no host of %s: the workload is more than the hosts can carry", w.Region, i+1, w.VMs, f.Name, f.MemoryMiB, zone.path)
		}
		vm.Node, vm.CPUModel = h.path, h.cpu
		zone.usedCPU, zone.usedMem = zone.usedCPU+float64(vm.VCPUs), zone.usedMem+float64(vm.MemoryMiB)
		if h.bridge != "" {
			if bridges[h.bridge] == nil {
				bridges[h.bridge] = []string{h.bridge}
			}
			vm.Networks = bridges[h.bridge]
		}
		g.vms = append(g.vms, vm)
	}
	return nil
}

// zone is a zone's share of a region's hosts.
type zone struct {
	path  model.Path
	hosts []*host
	racks int
	// vcpus and memory are those of its hosts; used are the parts of them that are taken.
	vcpus, memory    float64
	usedCPU, usedMem float64
	upTo             float64 // size of this zone and those before it, as a part of the region's
}

func (g *guests) zonesOf(region model.Path) []*zone {
	var out []*zone
	for i := range g.hosts {
		h := &g.hosts[i]
		if !region.Contains(h.path) {
			continue
		}
		if len(out) == 0 || out[len(out)-1].path != h.zone {
			out = append(out, &zone{path: h.zone})
		}
		z := out[len(out)-1]
		if n := len(z.hosts); n == 0 || z.hosts[n-1].rack != h.rack {
			z.racks++
		}
		z.hosts = append(z.hosts, h)
		z.vcpus, z.memory = z.vcpus+float64(h.ofCPU), z.memory+float64(h.ofMem)
	}
	var vcpus, memory, upTo float64
	for _, z := range out {
		vcpus, memory = vcpus+z.vcpus, memory+z.memory
	}
	for _, z := range out {
		upTo += (z.vcpus/vcpus + z.memory/memory) / 2
		z.upTo = upTo
	}
	return out
}

// pick gives the emptier of two zones drawn by their size, so that zones are about equally full, as users who spread over zones make them.
func pick(zones []*zone, rng *rand.Rand) *zone {
	a, b := draw(zones, rng), draw(zones, rng)
	if b.full() < a.full() {
		return b
	}
	return a
}

// full is the greater of the parts of vCPU and memory that are taken.
func (z *zone) full() float64 { return max(z.usedCPU/z.vcpus, z.usedMem/z.memory) }

func draw(zones []*zone, rng *rand.Rand) *zone {
	x := rng.Float64()
	for _, z := range zones {
		if x < z.upTo {
			return z
		}
	}
	return zones[len(zones)-1]
}

// group names an anti-affinity group. One in ten keeps its members in different racks, where a zone has one to spare for a member that moves.
func group(z *zone, zones []*zone, number int) string {
	name := fmt.Sprintf("group-%05d", number)
	if number%10 == 0 && (groupSize+len(zones)-1)/len(zones) < z.racks {
		return name + "@" + plan.LevelRack
	}
	return name
}

// busy is how a machine's writing compares to what its flavor says: most are nearly idle, a few are busier.
func busy(rng *rand.Rand) float64 {
	switch x := rng.IntN(100); {
	case x < 70:
		return 0.2
	case x < 95:
		return 1
	default:
		return 2
	}
}

// deal gives every machine its flavor: as many of each as the weights say, to the machine, in an order of chance.
func deal(w model.Workload, rng *rand.Rand) []*model.Flavor {
	var sum float64
	for _, f := range w.Flavors {
		sum += f.Weight
	}
	out := make([]*model.Flavor, 0, w.VMs)
	var reached float64
	for i := range w.Flavors {
		reached += w.Flavors[i].Weight
		for upTo := int(reached/sum*float64(w.VMs) + 0.5); len(out) < upTo; {
			out = append(out, &w.Flavors[i])
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// place takes room for a machine on a host of the zone; nil when there is none.
func (g *guests) place(z *zone, vm *model.ObservedVM, rng *rand.Rand) *host {
	n := len(z.hosts)
	a, b := z.hosts[rng.IntN(n)], z.hosts[rng.IntN(n)]
	if b.full(rng) < a.full(rng) {
		a, b = b, a
	}
	for _, h := range []*host{a, b} {
		if g.take(z, h, vm) {
			return h
		}
	}
	for i, start := 0, rng.IntN(n); i < n; i++ {
		if h := z.hosts[(start+i)%n]; g.take(z, h, vm) {
			return h
		}
	}
	return nil
}

// full is the greater of the parts of CPU and memory in use, as a scheduler in a hurry sees it.
func (h *host) full(rng *rand.Rand) float64 {
	if h.favour == 0 {
		h.favour = 0.9 + 0.2*rng.Float64()
	}
	return max(1-float64(h.vcpus)/float64(h.ofCPU), 1-float64(h.memory)/float64(h.ofMem)) / h.favour
}

func (g *guests) take(z *zone, h *host, vm *model.ObservedVM) bool {
	if vm.AntiAffinity != "" && z.meets(h, vm.AntiAffinity) {
		return false
	}
	if vm.NUMACells > 0 {
		if _, ok := facts.Pin(h.cells, vm.NUMACells, int64(vm.VCPUs), int64(vm.MemoryMiB)); !ok {
			return false
		}
	} else {
		if h.vcpus < int64(vm.VCPUs) || h.memory < int64(vm.MemoryMiB) {
			return false
		}
		h.vcpus, h.memory = h.vcpus-int64(vm.VCPUs), h.memory-int64(vm.MemoryMiB)
	}
	if vm.AntiAffinity != "" {
		if h.anti == nil {
			h.anti = map[string]bool{}
		}
		h.anti[vm.AntiAffinity] = true
	}
	return true
}

// meets reports whether a member of the group is where another must not be.
func (z *zone) meets(h *host, group string) bool {
	if !strings.HasSuffix(group, "@"+plan.LevelRack) {
		return h.anti[group]
	}
	return slices.ContainsFunc(z.hosts, func(o *host) bool { return o.rack == h.rack && o.anti[group] })
}

func slug(p model.Path) string { return strings.ReplaceAll(string(p), "/", "-") }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
