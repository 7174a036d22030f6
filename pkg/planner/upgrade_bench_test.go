package planner_test

import (
	"fmt"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// loaded is a fleet of so many blades in eight zones, racks of 40 as failure domains, each with fifty virtual machines, OSDs and an older image.
func loaded(hosts int) planner.Input {
	in := planner.Input{Goal: plan.GoalUpgrade, Inventory: model.DigestBytes(nil), Images: map[string]model.Digest{"debian-13": imageDigest}}
	d := &in.Desired
	d.Profiles = []model.Profile{{Name: "p", CPUModel: "Icelake-Server-v4", CPUOvercommit: 4, OSDs: 4, MigrationMiBs: 2500}}
	d.Rollout = model.Rollout{MaxUnavailable: "1 rack per zone", Survive: "A+C", Bake: "5m", Canary: 1}
	sizes := []int{2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10}
	for z := range 8 {
		region := model.Path(fmt.Sprintf("s%d/r%d", z/4, z/2))
		if z%2 == 0 {
			d.Regions = append(d.Regions, model.Region{Path: region, Ceph: &model.Ceph{FailureDomain: plan.LevelRack}})
			in.Observed.Ceph = append(in.Observed.Ceph, model.ObservedCeph{Region: region, Health: "HEALTH_OK"})
		}
		ceph := &in.Observed.Ceph[z/2]
		for i := range hosts / 8 {
			name := fmt.Sprintf("z%d-%05d", z, i)
			n := model.Node{Path: region.Join(fmt.Sprintf("az%d", z), fmt.Sprintf("k%03d", i/40), name), Name: name, Profile: "p", Cores: 72, MemoryGiB: 1024,
				Roles: []model.Role{model.RoleCompute, model.RoleCephOSD}, Image: model.ImageRef{Name: "debian-13"}, Config: model.DigestBytes([]byte(name))}
			d.Nodes = append(d.Nodes, n)
			in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: n.Path,
				Host: model.ObservedHost{Reachable: true, Image: older, Config: n.Config, Libvirt: "9.0.0", QEMU: "7.2.0"}})
			for j := range 50 {
				in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: fmt.Sprintf("vm-%s-%02d", name, j), Node: n.Path, State: "running", VCPUs: 1 + j%4,
					MemoryMiB: sizes[(i+j)%len(sizes)], CPUModel: "Icelake-Server-v4", Machine: "pc-q35-7.2", Flavor: "m"})
			}
			for range 4 {
				ceph.OSDs = append(ceph.OSDs, model.ObservedOSD{ID: len(ceph.OSDs), Node: n.Path, Up: true, In: true})
			}
		}
		if z%2 == 1 {
			ceph.Pools = []model.ObservedPool{spreadPool(len(ceph.OSDs))}
		}
	}
	return in
}

// spreadPool has ten placement groups an OSD, with copies a third of the region apart.
func spreadPool(osds int) model.ObservedPool {
	p := model.ObservedPool{Name: "vms", Size: 3, MinSize: 2, PGs: 10 * osds}
	for i := range p.PGs {
		for j := range 3 {
			p.Acting = append(p.Acting, int32((i+j*osds/3+i/osds*7*j)%osds))
		}
	}
	return p
}

func BenchmarkUpgrade(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := loaded(n)
			for b.Loop() {
				p, err := planner.Make(in)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(p.Certificate.Batches)), "rounds")
				b.ReportMetric(float64(p.Certificate.Bound.Rounds), "bound")
			}
		})
	}
}
