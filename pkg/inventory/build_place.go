package inventory

import (
	"github.com/nuboctl/nuboctl/pkg/model"
)

// inherited is what places hand down: the nearest profile, and bmc defaults from the innermost outwards.
type inherited struct {
	profile *object
	bmc     []*object
}

func (in inherited) below(o *object) inherited {
	if o.written("profile") {
		in.profile = o
	}
	if c := o.first("bmc"); c != nil {
		in.bmc = append([]*object{c}, in.bmc...)
	}
	return in
}

// place notes a place; false when its path is taken.
func (b *builder) place(o *object) bool {
	b.checkLabel(o)
	if !b.note(string(o.path), o) {
		return false
	}
	b.places[o.path] = o
	if o.node.spec.typ != "node" && o.has("profile") {
		refer(b, o, "profile", "profile", b.profiles)
	}
	return true
}

func (b *builder) site(o *object) {
	if !b.place(o) {
		return
	}
	b.d.Sites = append(b.d.Sites, model.Place{Path: o.path})
	in := inherited{}.below(o)
	for _, c := range o.all("region") {
		b.region(c, in)
	}
}

func (b *builder) region(o *object, in inherited) {
	if !b.place(o) {
		return
	}
	b.oneOf(o, "vm_authority", "libvirt", "nova")
	b.oneOf(o, "exposure", "internal", "internet")
	r := model.Region{Path: o.path, VMAuthority: o.str("vm_authority"), Exposure: o.str("exposure")}
	if c := o.first("ceph"); c != nil {
		r.Ceph = b.ceph(c)
	}
	if w := o.first("workload"); w != nil {
		b.workload(w, o.path)
	}
	b.d.Regions = append(b.d.Regions, r)
	in = in.below(o)
	for _, c := range o.all("zone") {
		b.zone(c, in)
	}
}

func (b *builder) zone(o *object, in inherited) {
	if !b.place(o) {
		return
	}
	b.d.Zones = append(b.d.Zones, model.Place{Path: o.path})
	in = in.below(o)
	for _, c := range o.all("rack") {
		b.rack(c, in)
	}
}

func (b *builder) rack(o *object, in inherited) {
	if !b.place(o) {
		return
	}
	b.positive(o, "uplink_mib_s")
	b.d.Racks = append(b.d.Racks, model.Place{Path: o.path, UplinkMiBs: o.num("uplink_mib_s")})
	in = in.below(o)
	for _, c := range o.all("chassis") {
		b.chassis(c, in)
	}
	for _, c := range o.all("node") {
		b.node(c, in, "")
	}
}

func (b *builder) chassis(o *object, in inherited) {
	if !b.place(o) {
		return
	}
	b.d.Chassis = append(b.d.Chassis, model.Place{Path: o.path})
	in = in.below(o)
	bays := map[int]*object{}
	for _, c := range o.all("node") {
		if s := c.num("slot"); s > 0 {
			if first := bays[s]; first != nil {
				b.errorf(c.where("slot"), "give each node its own bay", "bay %d of chassis %s is taken by %s", s, o.path, first.name)
			} else {
				bays[s] = c
			}
		}
		b.node(c, in, o.path)
	}
}

func (b *builder) workload(o *object, region model.Path) {
	w := model.Workload{Region: region, VMs: o.num("vms"), VCPUs: o.num("vcpus"), Seed: int64(o.num("seed")), Apart: o.float("apart")}
	if w.Apart < 0 || w.Apart > 1 {
		b.errorf(o.where("apart"), "use a number from 0 to 1", "apart %g is no part of the machines", w.Apart)
	}
	b.note(string(region)+"/workload", o)
	for _, f := range o.all("flavor") {
		if !b.note(string(region)+"/workload/"+f.name, f) {
			continue
		}
		flavor := model.Flavor{Name: f.name, VCPUs: f.num("vcpus"), MemoryMiB: f.num("memory_mib"), Weight: 1, DirtyMiBs: f.float("dirty_mib_s"), NUMACells: f.num("numa_cells")}
		if f.has("weight") {
			flavor.Weight = f.float("weight")
		}
		if flavor.Weight <= 0 {
			b.errorf(f.where("weight"), "use a number above 0", "flavor %s would never occur", f.name)
		}
		if (f.has("vcpus") && flavor.VCPUs < 1) || (f.has("memory_mib") && flavor.MemoryMiB < 1) {
			b.errorf(f.at(), "give at least 1 vCPU and 1 MiB", "flavor %s has no size", f.name)
		}
		w.Flavors = append(w.Flavors, flavor)
	}
	if w.VMs > 0 && len(w.Flavors) == 0 {
		b.errorf(o.at(), `add: flavor "NAME" { … }`, "the workload of %s has no flavor", region)
	}
	b.d.Workloads = append(b.d.Workloads, w)
}
