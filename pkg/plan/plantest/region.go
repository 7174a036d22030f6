package plantest

import (
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// region adds a region with its hosts, cluster, groups and virtual machines.
func (g *gen) region(at model.Path) {
	layout := region{
		gen: g, path: at, first: int32(len(g.f.Hosts)),
		perRack: pick(g, 4, 6, 8, 10, 16), perChassis: pick(g, 0, 0, 4, 8), storage: pick(g, 100, 100, 30, 50, 0), hyper: g.Bool(),
		vcpus: pick[int64](g, 128, 192, 288), memory: pick[int64](g, 256, 384, 512) << 10, pinned: g.oneIn(3), nic: pick[int64](g, 1100, 2800, 0),
	}
	g.util = 0.40 + 0.45*g.Float64()
	layout.hyper = layout.hyper || layout.storage == 100
	// One host more than the fullest zone's spare room: an operator keeps at least that.
	g.util = min(g.util, 1-1.6/float64(g.size.Hosts))
	for z := range g.size.Zones {
		layout.zone(at.Join(fmt.Sprintf("%s-az%d", at.Name(), z+1)))
	}
	layout.cluster()
	layout.groups()
	layout.fail()
	for z := range g.size.Zones {
		layout.fill(layout.first + int32(z*g.size.Hosts))
	}
}

type region struct {
	*gen
	path       model.Path
	first      int32 // its first host
	perRack    int
	perChassis int
	storage    int  // per cent of its hosts with OSDs
	hyper      bool // these run virtual machines too
	pinned     bool
	vcpus      int64
	memory     int64
	nic        int64
	osd        map[int32]bool
	member     map[int32]bool // of a group
}

func (r *region) zone(at model.Path) {
	generation := int32(r.IntN(len(r.cpus)))
	mixed := r.oneIn(3)
	if r.osd == nil {
		r.osd, r.member = map[int32]bool{}, map[int32]bool{}
	}
	for i := range r.size.Hosts {
		rack := at.Join(fmt.Sprintf("rack-%03d", i/r.perRack))
		h := plan.Host{Path: rack.Join(fmt.Sprintf("%s-n%05d", at.Name(), i)), Change: true, Class: -1, ClassAfter: -1, MiBs: r.nic}
		if r.perChassis > 0 {
			h.Chassis = rack.Join(fmt.Sprintf("c%d", i%r.perRack/r.perChassis))
		}
		if i%100 >= 100-r.storage || (r.storage > 0 && i%10 < r.storage/10) {
			r.osd[int32(len(r.f.Hosts))] = true
		}
		if !r.osd[int32(len(r.f.Hosts))] || r.hyper {
			if mixed {
				generation = int32(r.IntN(len(r.cpus)))
			}
			r.compute(&h, generation)
		}
		if r.oneIn(40) && i > 0 {
			h.Change, h.Class = false, h.ClassAfter // done before
		}
		r.f.Hosts = append(r.f.Hosts, h)
	}
}

func (r *region) compute(h *plan.Host, generation int32) {
	h.Class, h.ClassAfter = 2*generation, 2*generation+1
	h.VCPUs, h.MemoryMiB = r.vcpus, r.memory
	if r.pinned {
		h.Cells = []plan.Cell{{CPUs: 16, HugeMiB: 64 << 10}, {CPUs: 16, HugeMiB: 64 << 10}}
	}
}

// groups spreads monitors and managers over the region, and gateways over each zone.
func (r *region) groups() {
	n := r.size.Hosts * r.size.Zones
	mons := 3
	if n >= 20 && r.Bool() {
		mons = 5
	}
	spread := func(name string, kind plan.GroupKind, first, hosts, count int) {
		var list plan.Ints
		for i := range min(count, hosts) {
			host := r.first + int32(first+i*hosts/count)
			list = append(list, host)
			r.member[host] = true
		}
		r.f.Groups = append(r.f.Groups, plan.Group{Hosts: list, Kind: kind, Name: string(r.path) + " " + name})
	}
	spread("mon", plan.Quorum, 0, n, mons)
	spread("mgr", plan.Standby, 0, n, 2)
	for z := range r.size.Zones {
		if r.size.Hosts > 4 && r.Bool() {
			spread(fmt.Sprintf("gateway %d", z+1), plan.Standby, z*r.size.Hosts+1, r.size.Hosts-1, 2+r.IntN(2))
		}
	}
}

// fail takes a few hosts down that no group and no placement group uses: Ceph has recovered long ago.
func (r *region) fail() {
	if !r.oneIn(3) {
		return
	}
	for i := range r.size.Zones {
		host := r.first + int32(i*r.size.Hosts+r.IntN(r.size.Hosts))
		if !r.osd[host] && !r.member[host] && r.size.Hosts >= 10 {
			r.f.Hosts[host].Down, r.f.Hosts[host].Change = true, false
		}
	}
}
