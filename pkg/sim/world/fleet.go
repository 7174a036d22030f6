package world

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Fleet is what an observation shows now. It implements certify.Region.
func (w *World) Fleet(ctx context.Context, leaving map[model.Path]bool) (plan.Fleet, error) {
	t := &w.Truth
	f := t.Fleet
	f.Hosts, f.Clusters = slices.Clone(f.Hosts), slices.Clone(f.Clusters)
	for i := range f.Hosts {
		h, now := &f.Hosts[i], &t.Hosts[i]
		h.Down = !now.Up || w.broken[int32(i)] == rack.HostSilent // who does not answer is not known, and counts as lost
		if now.Daemons && now.Cut && !h.Down && w.monitor(int32(i)) {
			return f, fmt.Errorf("the monitor on %s is out of quorum while its host is up: bring it back first", h.Path)
		}
		h.Change, h.Class, h.Ceph = !now.New && !h.Down, t.Class(int32(i)), t.Release(int32(i))
		if now.Foreign || (now.Daemons && now.Cut && w.stores(int32(i))) {
			h.VCPUs, h.MemoryMiB, h.Cells = 0, 0, make([]plan.Cell, len(h.Cells)) // an operator wants nothing moved there, or none of its OSDs is up
		}
	}
	column := func() plan.Ints { return make(plan.Ints, 0, len(t.VMs)) }
	f.VMs = plan.VMs{Names: make([]string, 0, len(t.VMs)), Host: column(), Shape: column()}
	at := column()[:len(t.VMs)]
	pinned := len(t.Fleet.VMs.Cells) > 0
	var both []int32 // being moved, and not off a leaving host
	if pinned {
		f.VMs.Cells = column()
	}
	for i := range t.VMs {
		vm := &t.VMs[i]
		at[i] = -1
		if vm.State == Gone {
			continue
		}
		host, cells := vm.Host, vm.Cells&0xffff
		if m := vm.moving; m != nil {
			switch {
			case leaving == nil:
				return f, fmt.Errorf("%s is being moved", vm.Name)
			case leaving[t.Fleet.Hosts[m.from].Path]:
				host, cells = m.to, vm.Cells>>16
			case !leaving[t.Fleet.Hosts[m.to].Path]:
				both = append(both, int32(i))
			}
		}
		k := int32(len(f.VMs.Names))
		at[i] = k
		f.VMs.Names, f.VMs.Host, f.VMs.Shape = append(f.VMs.Names, vm.Name), append(f.VMs.Host, host), append(f.VMs.Shape, vm.Shape)
		if pinned {
			f.VMs.Cells = append(f.VMs.Cells, cells)
		}
		if vm.Fixed {
			f.VMs.Fixed = append(f.VMs.Fixed, k)
		}
		if vm.Consent {
			f.VMs.Consent = append(f.VMs.Consent, k)
		}
	}
	w.apart(&f, at)
	w.both(&f, both, at)
	w.clusters(&f)
	return f, ctx.Err()
}

// both has machines that are being moved take room where they go as well.
func (w *World) both(f *plan.Fleet, moving []int32, at plan.Ints) {
	for _, i := range moving {
		vm, k := &w.Truth.VMs[i], int32(len(f.VMs.Names))
		f.VMs.Names, f.VMs.Host, f.VMs.Shape = append(f.VMs.Names, vm.Name+" (arriving)"), append(f.VMs.Host, vm.moving.to), append(f.VMs.Shape, vm.Shape)
		f.VMs.Fixed = append(f.VMs.Fixed, k)
		if len(f.VMs.Cells) > 0 {
			f.VMs.Cells = append(f.VMs.Cells, vm.Cells>>16)
		}
		for g := range f.Apart {
			if slices.Contains(f.Apart[g].VMs, at[i]) {
				f.Apart[g].VMs = append(f.Apart[g].VMs, k)
			}
		}
	}
}

// apart gives the groups with those of their members that there still are.
func (w *World) apart(f *plan.Fleet, at []int32) {
	f.Apart = slices.Clone(f.Apart)
	for i := range f.Apart {
		var members plan.Ints
		for _, v := range f.Apart[i].VMs {
			if at[v] >= 0 {
				members = append(members, at[v])
			}
		}
		f.Apart[i].VMs = members
	}
}

// clusters gives the acting sets; a copy that is not complete counts as missing, one on a host that is down is lost with it.
func (w *World) clusters(f *plan.Fleet) {
	t := &w.Truth
	f.Clusters = slices.Clone(f.Clusters)
	for c := range f.Clusters {
		f.Clusters[c].Pools = slices.Clone(f.Clusters[c].Pools)
		for p := range f.Clusters[c].Pools {
			f.Clusters[c].Pools[p].Acting = make(plan.Ints, 0, len(f.Clusters[c].Pools[p].Acting))
		}
	}
	for k := range t.PGs {
		pg := &t.PGs[k]
		pool := &f.Clusters[pg.Cluster].Pools[pg.Pool]
		for i, h := range pg.Hosts {
			if h >= 0 && pg.Behind&(1<<i) != 0 && (t.Hosts[h].Up || pg.Dead&(1<<i) != 0) {
				h = -1
			}
			pool.Acting = append(pool.Acting, h)
		}
	}
}
