package adopt

import (
	"cmp"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe"
)

// Observed is what was surveyed as an observation of the nodes of an inventory, which paths finds by the hosts' names: what plans are made from. Hosts that no
// node stands for are left out, and so are their virtual machines.
func Observed(s Survey, d model.Desired, path func(host string) (model.Path, bool)) model.Observed {
	out := model.Observed{FormatVersion: observe.FormatVersion, Taken: s.Taken}
	for _, h := range s.Hosts {
		at, ok := path(h.Name)
		if !ok || h.Error != "" {
			continue
		}
		on := model.ObservedNode{Path: at, BMC: model.ObservedBMC{Power: model.PowerUnknown}, Host: h.Seen}
		if h.OVS != nil {
			on.Host.OVS, on.Host.OVSVersion = fleet.BridgesOf(*h.OVS), h.OVS.Version
		}
		out.Nodes = append(out.Nodes, on)
	}
	slices.SortFunc(out.Nodes, func(a, b model.ObservedNode) int { return cmp.Compare(a.Path, b.Path) })
	for _, vm := range s.VMs {
		if at, ok := path(string(vm.Node)); ok {
			vm.Node = at
			out.VMs = append(out.VMs, vm)
		}
	}
	for _, r := range d.Regions {
		for _, c := range s.Clusters {
			if r.Ceph != nil && r.Ceph.FSID == c.Ceph.FSID {
				out.Ceph = append(out.Ceph, cluster(s, d, r, c.Ceph, path))
			}
		}
	}
	return out
}

// cluster puts the nodes' paths in the place of host names, and compares with the declaration.
func cluster(s Survey, d model.Desired, r model.Region, c model.ObservedCeph, path func(string) (model.Path, bool)) model.ObservedCeph {
	named := func(n model.Path) model.Path {
		if at, ok := path(string(n)); ok {
			return at
		}
		return n
	}
	c.Region, c.Mons, c.Mgrs, c.OSDs, c.Hosts = r.Path, slices.Clone(c.Mons), slices.Clone(c.Mgrs), slices.Clone(c.OSDs), nil
	for i := range c.Mons {
		c.Mons[i].Node = named(c.Mons[i].Node)
	}
	c.MDSs = slices.Clone(c.MDSs)
	for i := range c.MDSs {
		c.MDSs[i].Node = named(c.MDSs[i].Node)
	}
	c.RGWs = slices.Clone(c.RGWs)
	for i := range c.RGWs {
		c.RGWs[i].Node = named(c.RGWs[i].Node)
	}
	for i := range c.Mgrs {
		c.Mgrs[i].Node = named(c.Mgrs[i].Node)
	}
	for i := range c.OSDs {
		c.OSDs[i].Node = named(c.OSDs[i].Node)
	}
	for _, h := range s.Hosts {
		if at, ok := path(h.Name); ok && at.Region() == r.Path && h.Ceph != nil {
			seen := h.Ceph.ObservedCephHost
			seen.Node = at
			c.Hosts = append(c.Hosts, seen)
		}
	}
	(&fleet.Clusters{Desired: d}).Compare(r, &c)
	return c
}
