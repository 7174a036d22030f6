package facts

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// shapeKey is what machines of one shape have in common; networks are sorted and joined with commas.
type shapeKey struct {
	flavor, cpu, machine, networks string
	vcpus, memory, cells           int
	dirty                          float64
}

func (k shapeKey) nets() []string {
	if k.networks == "" {
		return nil
	}
	return strings.Split(k.networks, ",")
}

// passthrough is libvirt's CPU mode of a guest that sees its host's processor, and can only move to one of the same model.
const passthrough = "host-passthrough"

// machines fills in the virtual machines that occupy a host of the inventory: all but those that are shut off.
func (b *fleet) machines() {
	residents := b.residents(b.byName())
	v := plan.VMs{Host: make(plan.Ints, 0, len(residents)), Shape: make(plan.Ints, 0, len(residents)), Names: make([]string, 0, len(residents))}
	intern := map[shapeKey]int32{}
	apart := map[string]plan.Ints{}
	declared := make(map[string]model.VM, len(b.d.VMs))
	for _, vm := range b.d.VMs {
		declared[vm.Name] = vm
	}
	for _, p := range residents {
		vm, at := p.vm, int32(len(v.Names))
		v.Names, v.Host, v.Shape = append(v.Names, p.name), append(v.Host, p.host), append(v.Shape, b.shape(intern, vm, p.host))
		own := declared[vm.Name]
		if group := cmp.Or(vm.AntiAffinity, own.AntiAffinity); group != "" {
			group = string(vm.Node.Region()) + "/" + group
			apart[group] = append(apart[group], at)
		}
		if vm.Fixed != "" || p.arrives {
			v.Fixed = append(v.Fixed, at)
		}
		if cmp.Or(vm.OnDrain, own.OnDrain) == "stop_start" {
			v.Consent = append(v.Consent, at)
		}
	}
	b.out.VMs = v
	b.shapesOut()
	b.cells()
	b.apart(apart)
}

// cells gives every pinned machine cells of its host. Which ones it has is not observed, only how many; so each gets the emptiest, which leaves the
// most room on any one cell. That the sum fits is checked, and is an error where it does not.
func (b *fleet) cells() {
	if !slices.ContainsFunc(b.shapes, func(k shapeKey) bool { return k.cells > 0 }) {
		return
	}
	v := &b.out.VMs
	v.Cells = make(plan.Ints, len(v.Host))
	free := map[int32][]plan.Cell{}
	for i, host := range v.Host {
		k := b.shapes[v.Shape[i]]
		if k.cells == 0 {
			continue
		}
		if _, ok := free[host]; !ok {
			free[host] = slices.Clone(b.out.Hosts[host].Cells)
		}
		mask, ok := Pin(free[host], k.cells, int64(k.vcpus), int64(k.memory))
		if !ok {
			b.wrong("virtual machine %s is pinned to %d NUMA cells of %s, where numa_cells, pinned_cores and huge_pages_gib of profile %s leave no room for it: correct the profile",
				v.Names[i], k.cells, b.nodes[host].Path, b.nodes[host].Profile)
		}
		v.Cells[i] = mask
	}
}

// Pin takes an even share of CPUs and memory, rounded up, from as many cells, the emptiest first, and gives their bit mask; false, and nothing taken,
// when they do not fit.
func Pin(cells []plan.Cell, n int, cpus, memory int64) (mask int32, ok bool) {
	cpus, memory = (cpus+int64(n)-1)/int64(n), (memory+int64(n)-1)/int64(n)
	var fit []int
	for i, c := range cells {
		if c.CPUs >= cpus && c.HugeMiB >= memory {
			fit = append(fit, i)
		}
	}
	if len(fit) < n {
		return 0, false
	}
	slices.SortStableFunc(fit, func(x, y int) int { return cmp.Compare(cells[y].CPUs, cells[x].CPUs) })
	for _, i := range fit[:n] {
		cells[i].CPUs -= cpus
		cells[i].HugeMiB -= memory
		mask |= 1 << i
	}
	return mask, true
}

// byName are the indexes of the observed machines, sorted by name.
func (b *fleet) byName() []int32 {
	vms := b.o.VMs
	order := make([]int32, len(vms))
	for i := range order {
		order[i] = int32(i)
	}
	by := func(x, y int32) int {
		return cmp.Or(cmp.Compare(vms[x].Name, vms[y].Name), cmp.Compare(vms[x].Node, vms[y].Node))
	}
	if !slices.IsSortedFunc(order, by) {
		slices.SortFunc(order, by)
	}
	return order
}

func (b *fleet) shape(intern map[shapeKey]int32, vm *model.ObservedVM, host int32) int32 {
	n := &b.nodes[host]
	k := shapeKey{flavor: vm.Flavor, cpu: vm.CPUModel, machine: cmp.Or(vm.Machine, "unknown"), vcpus: vm.VCPUs, memory: vm.MemoryMiB, cells: vm.NUMACells, dirty: steps(vm.DirtyMiBs)}
	if k.cpu == "" || k.cpu == passthrough {
		k.cpu = strings.Trim(k.cpu+":"+b.profiles[n.Profile].CPUModel, ":")
	}
	if len(vm.Networks) == 1 {
		k.networks = vm.Networks[0]
	} else if len(vm.Networks) > 1 {
		k.networks = strings.Join(slices.Compact(slices.Sorted(slices.Values(vm.Networks))), ",")
	}
	i, ok := intern[k]
	if !ok {
		i = int32(len(b.shapes))
		intern[k] = i
		b.shapes = append(b.shapes, k)
	}
	on := kind{profile: n.Profile}
	if h := b.seen[n.Path]; h != nil {
		on.qemu = h.QEMU
	}
	runs := b.runs[on]
	for int(i) >= len(runs) {
		runs = append(runs, false)
	}
	runs[i] = true
	b.runs[on] = runs
	return i
}

// steps rounds a rate up to one of a few in each power of ten, so that few shapes describe many machines.
func steps(rate float64) float64 {
	if rate <= 0 {
		return 0
	}
	power := math.Pow10(int(math.Floor(math.Log10(rate))))
	for _, s := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8} {
		if rate <= s*power {
			return s * power
		}
	}
	return 10 * power
}

func (b *fleet) shapesOut() {
	for _, k := range b.shapes {
		b.out.Shapes = append(b.out.Shapes, plan.Shape{Name: cmp.Or(k.flavor, fmt.Sprintf("%dx%d", k.vcpus, k.memory)), VCPUs: int64(k.vcpus), MemoryMiB: int64(k.memory),
			CPU: k.cpu, Machine: k.machine, Networks: k.nets(), Cells: k.cells, DirtyMiBs: k.dirty})
	}
}

// apart turns groups into the certificate's; a name may end in the level at which its members must not meet: "web@rack".
func (b *fleet) apart(groups map[string]plan.Ints) {
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if len(groups[name]) < 2 {
			continue
		}
		a := plan.Apart{Name: name, Level: plan.LevelHost, VMs: groups[name]}
		if _, level, ok := strings.Cut(name, "@"); ok && (level == plan.LevelRack || level == plan.LevelChassis) {
			a.Level = level
		}
		b.out.Apart = append(b.out.Apart, a)
	}
}
