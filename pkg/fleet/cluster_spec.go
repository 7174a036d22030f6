package fleet

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// spec is a region's cluster in the words of package ceph.
func (c *Clusters) spec(r model.Region, fsid string) ceph.Spec {
	s := ceph.Spec{FSID: fsid, Network: c.prefix(c.network(r)), FailureDomain: r.Ceph.FailureDomain}
	if r.Ceph.ClusterNetwork != "" {
		s.ClusterNetwork = c.prefix(r.Ceph.ClusterNetwork)
	}
	var rbd []string
	for _, p := range r.Ceph.Pools {
		s.Pools = append(s.Pools, pool(p))
		if p.Application == "rbd" {
			rbd = append(rbd, p.Name)
		}
	}
	c.servers(r, &s)
	c.gateways(r, &s)
	// The rights are those that hypervisors ask for (Hosts.EnsureStorage), so that the two never undo each other.
	for _, n := range c.Desired.Nodes {
		if used := facts.Disks(c.Desired, n); used != "" && n.Path.Region() == r.Path {
			rbd = strings.Split(used, ",")
			break
		}
	}
	if len(rbd) > 0 {
		s.Keys = append(s.Keys, ceph.RBDKey(facts.RBDClient, rbd))
	}
	for _, n := range facts.CephNodes(c.Desired, r.Path) {
		if slices.Contains(n.Roles, model.RoleCephMon) && !n.Leaves() {
			s.Mons = append(s.Mons, ceph.Mon{Name: n.Name, Address: addressOn(n, c.network(r))})
		}
	}
	return s
}

// servers adds the file system, and the keys of those who serve it. Those of a cluster that somebody else made are his.
func (c *Clusters) servers(r model.Region, s *ceph.Spec) {
	if f := r.Ceph.Filesystem; f != nil {
		s.Filesystem = &ceph.Filesystem{Name: f.Name, Metadata: f.Metadata, Data: f.Data}
	}
	for _, n := range facts.CephNodes(c.Desired, r.Path) {
		if !r.Ceph.Adopted && !n.Leaves() && slices.Contains(n.Roles, model.RoleCephMDS) {
			s.Keys = append(s.Keys, ceph.MDSKey(n.Name))
		}
	}
}

// gateways adds what a region's object gateways need. Those of a cluster that somebody else made are his.
func (c *Clusters) gateways(r model.Region, s *ceph.Spec) {
	for _, n := range facts.CephNodes(c.Desired, r.Path) {
		if r.Ceph.Adopted || n.Leaves() || !slices.Contains(n.Roles, model.RoleCephRGW) {
			continue
		}
		if s.Buckets == "" {
			s.Buckets = r.Ceph.BucketPool()
			for _, p := range r.Ceph.GatewayPools() {
				s.Pools = append(s.Pools, pool(p))
			}
		}
		s.Keys = append(s.Keys, ceph.GatewayKey(n.Name))
	}
}

func pool(p model.Pool) ceph.Pool {
	return ceph.Pool{Name: p.Name, Size: p.Size, MinSize: p.MinSize, K: p.K, M: p.M, PGs: p.PGs, LeastPGs: p.LeastPGs, Application: p.Application, Class: p.DeviceClass}
}

// network is the one that a cluster is reached over: its own, or that of its first node's first card.
func (c *Clusters) network(r model.Region) string {
	if r.Ceph.Network != "" {
		return r.Ceph.Network
	}
	for _, n := range facts.CephNodes(c.Desired, r.Path) {
		if len(n.NICs) > 0 {
			return n.NICs[0].Network
		}
	}
	return ""
}

func (c *Clusters) prefix(network string) string {
	for _, n := range c.Desired.Networks {
		if n.Name == network && n.CIDR.IsValid() {
			return n.CIDR.String()
		}
	}
	return ""
}

// addressOn is a node's address on a network; the zero value when it has none.
func addressOn(n model.Node, network string) netip.Addr {
	for _, nic := range n.NICs {
		if nic.Network == network && nic.Address.IsValid() {
			return nic.Address.Addr()
		}
	}
	for _, p := range n.Ports {
		if p.Network == network && p.Address.IsValid() {
			return p.Address.Addr()
		}
	}
	return netip.Addr{}
}

// place is a host in its cluster.
func (c *Clusters) place(r model.Region, m member) ceph.Place {
	p := ceph.Place{Name: m.node.Name, Crypt: r.Ceph.Encrypted}
	for _, b := range facts.CrushLocation(m.node) {
		p.Location = append(p.Location, ceph.Bucket{Type: b.Type, Name: b.Name})
	}
	if at := addressOn(m.node, r.Ceph.GatewayNetwork(c.network(r))); m.has(model.RoleCephRGW) && at.IsValid() && !r.Ceph.Adopted {
		p.Gateway = netip.AddrPortFrom(at, uint16(r.Ceph.GatewayPort()))
	}
	osds := 0
	for _, d := range m.state.Disks {
		if m.node.OSDDevice.Matches(d) && !m.node.RootDevice.Matches(d) {
			osds++
		}
	}
	memory := int64(m.node.MemoryGiB) << 30
	if memory == 0 {
		memory = m.state.Memory >> 30 << 30 // whole GiB: kernels differ in what they keep for themselves
	}
	if m.has(model.RoleCephMDS) && !r.Ceph.Adopted {
		p.MDSCache = facts.MDSCache(memory)
	}
	p.MemoryTarget = facts.OSDMemoryTarget(memory, osds, m.has(model.RoleCompute))
	return p
}
