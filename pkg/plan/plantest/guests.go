package plantest

import (
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

type vm struct {
	name  string
	host  int32
	shape int32
	cells int32
	fixed bool
}

// fill puts virtual machines on the hosts of the zone that begins with this host.
func (r *region) fill(first int32) {
	began := len(r.vms)
	for h := first; h < first+int32(r.size.Hosts); h++ {
		if r.f.Hosts[h].Class >= 0 && !r.f.Hosts[h].Down {
			r.fillHost(h)
		}
	}
	r.apart(r.vms[began:], began)
}

// fillHost fills to about the region's utilisation of whichever of memory and VCPUs is scarcer.
func (r *region) fillHost(h int32) {
	host := &r.f.Hosts[h]
	goal := min(0.97, r.util*(0.8+0.4*r.Float64()))
	var vcpus, memory int64
	for {
		s := r.floating()
		shape := r.f.Shapes[s]
		if !knows(r.f.Classes[host.Class], shape.CPU) {
			continue
		}
		vcpus, memory = vcpus+shape.VCPUs, memory+shape.MemoryMiB
		if float64(vcpus) > goal*float64(host.VCPUs) || float64(memory) > goal*float64(host.MemoryMiB) {
			break
		}
		r.add(vm{host: h, shape: s, fixed: r.oneIn(3000)})
	}
	for cell := range host.Cells {
		for range r.IntN(3) { // of at most four that fit
			r.add(vm{host: h, shape: int32(len(r.f.Shapes) - 2), cells: 1 << cell})
		}
	}
	if len(host.Cells) == 2 && r.oneIn(3) {
		r.add(vm{host: h, shape: int32(len(r.f.Shapes) - 1), cells: 3})
	}
}

func knows(c plan.Class, cpu string) bool {
	for _, x := range c.CPUs {
		if x == cpu {
			return true
		}
	}
	return false
}

func (r *region) add(v vm) {
	v.name = fmt.Sprintf("vm-%08x", uint32(r.next)*2654435761) // an order that has nothing to do with hosts
	r.next++
	r.vms = append(r.vms, v)
}

// apart draws anti-affinity groups among virtual machines that are apart already.
func (r *region) apart(list []vm, began int) {
	for n := range len(list) / 60 {
		level := pick(r.gen, plan.LevelHost, plan.LevelHost, plan.LevelRack, plan.LevelChassis)
		members := plan.Ints{}
		used := map[model.Path]bool{}
		for range 2 + r.IntN(2) {
			i := r.IntN(len(list))
			if at := place(r.f.Hosts[list[i].host], level); !used[at] {
				used[at] = true
				members = append(members, int32(began+i))
			}
		}
		if len(members) > 1 {
			r.f.Apart = append(r.f.Apart, plan.Apart{Level: level, Name: fmt.Sprintf("apart-%d-%d", began, n), VMs: members})
		}
	}
}
