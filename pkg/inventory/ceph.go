package inventory

import (
	"regexp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// poolPattern is what adopt writes too.
var poolPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (b *builder) ceph(o *object) *model.Ceph {
	noun := string(o.parent.path) + "/ceph"
	b.note(noun, o)
	b.oneOf(o, "failure_domain", "host", "chassis", "rack", "zone")
	refer(b, o, "network", "network", b.nets)
	refer(b, o, "cluster_network", "network", b.nets)
	if o.has("fsid") && !uuidPattern.MatchString(o.str("fsid")) {
		b.errorf(o.where("fsid"), "write what uuidgen prints, in lower case", "fsid %q is no UUID", o.str("fsid"))
	}
	c := &model.Ceph{FSID: o.str("fsid"), FailureDomain: o.str("failure_domain"), Network: o.str("network"), ClusterNetwork: o.str("cluster_network"), Encrypted: o.flag("encrypted"), Adopted: o.flag("adopted")}
	if c.FailureDomain == "" {
		c.FailureDomain = "host"
	}
	c.S3, c.Filesystem = b.s3(o), b.filesystem(o)
	for _, p := range o.all("pool") {
		if b.note(noun+"/pool/"+p.name, p) {
			c.Pools = append(c.Pools, b.pool(p))
		}
	}
	return c
}

// s3 reads where object gateways serve.
func (b *builder) s3(ceph *object) *model.S3 {
	list := ceph.all("s3")
	if len(list) == 0 {
		return nil
	}
	o := list[0]
	refer(b, o, "network", "network", b.nets)
	if p := o.num("port"); o.has("port") && (p < 1 || p > 65535) {
		b.errorf(o.where("port"), "leave it out for 7480, or use 80", "%d is no port", p)
	}
	if !o.has("network") && !ceph.has("network") {
		b.errorf(o.at(), "add network to it, or to the ceph block", "on which network S3 is served is not said")
	}
	return &model.S3{Network: o.str("network"), Port: o.num("port")}
}

// pool reads a pool and what is impossible about it in itself.
func (b *builder) pool(o *object) model.Pool {
	p := model.Pool{Name: o.name, Size: o.num("size"), MinSize: o.num("min_size"), K: o.num("k"), M: o.num("m"), PGs: o.num("pgs"), Application: o.str("application"), DeviceClass: o.str("device_class")}
	if !poolPattern.MatchString(p.Name) {
		b.errorf(o.where("name"), "use letters, digits, dots, hyphens and underscores, and none of Ceph's own names, which begin with a dot", "%q is no name for a pool", p.Name)
	}
	b.oneOf(o, "application", "rbd", "rgw", "cephfs")
	b.oneOf(o, "device_class", "ssd", "hdd", "nvme")
	if p.Application == "" {
		p.Application = "rbd"
	}
	if o.has("pgs") && (p.PGs < 1 || p.PGs&(p.PGs-1) != 0) {
		b.errorf(o.where("pgs"), "use a power of two, or leave it to the autoscaler", "pool %s: %d placement groups are no power of two", p.Name, p.PGs)
	}
	if o.written("k") || o.written("m") {
		b.erasureCoded(o, &p)
	} else {
		b.replicated(o, &p)
	}
	return p
}

func (b *builder) replicated(o *object, p *model.Pool) {
	if !o.written("size") {
		p.Size = 3
	}
	if !o.written("min_size") {
		p.MinSize = max(1, p.Size-1)
	}
	switch {
	case o.written("size") && !o.has("size"), o.written("min_size") && !o.has("min_size"):
		return
	case p.Size < 1:
		b.errorf(o.where("size"), "use 3", "pool %s would keep no copy", p.Name)
	case p.MinSize > p.Size:
		b.errorf(o.where("min_size"), "use size-1 at most, usually 2 of 3", "pool %s: min_size %d is more than size %d, so it would never take I/O", p.Name, p.MinSize, p.Size)
	case p.MinSize < 1:
		b.errorf(o.where("min_size"), "use 2", "pool %s: min_size must be at least 1", p.Name)
	case p.Size == p.MinSize && p.Size > 1:
		b.warnf(o.where("min_size"), "use size-1", "pool %s: with min_size equal to size, I/O stops whenever one host restarts", p.Name)
	case p.MinSize == 1:
		b.warnf(o.where("min_size"), "use size 3 and min_size 2", "pool %s takes writes with one copy left: losing that disk loses data", p.Name)
	}
}

func (b *builder) erasureCoded(o *object, p *model.Pool) {
	if o.written("size") {
		b.errorf(o.where("size"), "remove size, or k and m", "pool %s is erasure-coded (k, m) and has a size", p.Name)
	}
	p.Size = 0
	if !o.written("min_size") {
		p.MinSize = p.K + 1
	}
	switch {
	case o.written("k") && !o.has("k"), o.written("m") && !o.has("m"), o.written("min_size") && !o.has("min_size"):
	case p.K < 2:
		b.errorf(o.at(), "use k 2 or more, for example k = 4 and m = 2", "pool %s: k is %d", p.Name, p.K)
	case p.M < 1:
		b.errorf(o.at(), "use m 1 or more, for example k = 4 and m = 2", "pool %s: without coding chunks (m) nothing is survived", p.Name)
	case p.MinSize > p.K+p.M:
		b.errorf(o.where("min_size"), "use k+1", "pool %s: min_size %d is more than k+m = %d", p.Name, p.MinSize, p.K+p.M)
	case p.MinSize < p.K:
		b.errorf(o.where("min_size"), "use k+1", "pool %s: min_size %d is less than k = %d, with which nothing can be read", p.Name, p.MinSize, p.K)
	case p.M == 1:
		b.warnf(o.where("m"), "use m = 2", "pool %s: with m = 1, I/O stops whenever one host restarts", p.Name)
	}
}

// checkCeph checks clusters against the nodes that carry them.
func (b *builder) checkCeph() {
	byRegion := map[model.Path][]*model.Node{}
	for i := range b.d.Nodes {
		n := &b.d.Nodes[i]
		if n.Leaves() { // the others have to be enough
			continue
		}
		byRegion[n.Path.Region()] = append(byRegion[n.Path.Region()], n)
	}
	fsids := map[string]model.Path{}
	for i := range b.d.Regions {
		r := &b.d.Regions[i]
		if r.Ceph != nil && r.Ceph.FSID != "" {
			if other, taken := fsids[r.Ceph.FSID]; taken {
				b.errorf(b.inv.objects[string(r.Path)+"/ceph"].where("fsid"), "leave it out, or write another of uuidgen's: a cluster lies in one region",
					"the clusters of %s and %s have the same fsid", other, r.Path)
			}
			fsids[r.Ceph.FSID] = r.Path
		}
		if r.Ceph == nil {
			b.cephless(r, byRegion[r.Path])
			continue
		}
		o := b.inv.objects[string(r.Path)+"/ceph"]
		b.checkMons(o, r, byRegion[r.Path])
		b.checkGateways(o, r, byRegion[r.Path])
		b.checkFilesystem(o, r, byRegion[r.Path])
		for j := range r.Ceph.Pools {
			b.checkDomains(r, &r.Ceph.Pools[j], byRegion[r.Path])
		}
	}
}

// cephless reports nodes with Ceph's roles in a region without a cluster.
func (b *builder) cephless(r *model.Region, nodes []*model.Node) {
	for _, n := range nodes {
		for _, role := range n.Roles {
			switch role {
			case model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD, model.RoleCephMDS, model.RoleCephRGW:
				b.errorf(b.nodes[n.Path].at(), "add to the region: ceph { … }, or remove the role", "node %s has role %s, but region %s has no ceph block", n.Path, role, r.Path)
				return
			}
		}
	}
}

func (b *builder) checkMons(o *object, r *model.Region, nodes []*model.Node) {
	mons, mgrs, osds := 0, 0, 0
	for _, n := range nodes {
		if hasRole(n, model.RoleCephMon) {
			mons++
		}
		if hasRole(n, model.RoleCephMgr) {
			mgrs++
		}
		if hasRole(n, model.RoleCephOSD) {
			osds++
		}
	}
	if mgrs == 0 && !r.Ceph.Adopted {
		b.errorf(o.at(), `give the role "ceph-mgr" to two nodes`, "the cluster of %s has no manager, without which it is never healthy", r.Path)
	}
	switch {
	case mons == 0:
		b.errorf(o.at(), `give the role "ceph-mon" to three nodes`, "the cluster of %s has no monitor", r.Path)
	case mons < 3:
		b.warnf(o.at(), `give the role "ceph-mon" to three nodes`, "the cluster of %s has %d monitor(s): it stops when one of them does", r.Path, mons)
	case mons%2 == 0:
		b.warnf(o.at(), "use an odd number", "the cluster of %s has %d monitors: an even number survives no more than one fewer", r.Path, mons)
	}
	if osds == 0 {
		b.errorf(o.at(), `give the role "ceph-osd" to nodes`, "the cluster of %s has no OSD", r.Path)
	}
}

// checkGateways compares what object gateways need with what there is.
func (b *builder) checkGateways(o *object, r *model.Region, nodes []*model.Node) {
	gateways, domains := false, map[model.Path]bool{}
	for _, n := range nodes {
		gateways = gateways || hasRole(n, model.RoleCephRGW)
		if hasRole(n, model.RoleCephOSD) {
			domains[failureDomain(n, r.Ceph.FailureDomain)] = true
		}
		if net := r.Ceph.GatewayNetwork(""); net != "" && hasRole(n, model.RoleCephRGW) && !r.Ceph.Adopted && !on(n, net) {
			b.errorf(b.nodes[n.Path].at(), "give it a nic or a port there, or take the role ceph-rgw away", "node %s is to serve S3 on network %s, and has no card there", n.Path, net)
		}
	}
	if !gateways || r.Ceph.Adopted {
		return
	}
	if list := r.Ceph.BucketPools(); len(list) > 1 {
		b.errorf(o.at(), `leave application = "rgw" to one of them`, "which of the pools %s holds what is in buckets is not said", strings.Join(list, " and "))
	}
	for _, p := range r.Ceph.GatewayPools() {
		if len(domains) > 0 && p.Size > len(domains) {
			b.errorf(o.at(), "declare a replicated pool with fewer copies, which they follow, or add nodes with OSDs in other failure domains",
				"the pools of the object gateways have %d copies, but %s has only %d failure domain(s) of type %s with OSDs", p.Size, r.Path, len(domains), r.Ceph.FailureDomain)
			return
		}
	}
}

// on reports whether a node has a card or a port on a network.
func on(n *model.Node, network string) bool {
	return slices.ContainsFunc(n.NICs, func(c model.NIC) bool { return c.Network == network }) ||
		slices.ContainsFunc(n.Ports, func(p model.Port) bool { return p.Network == network })
}

// checkDomains compares what a pool spreads over with the failure domains there are.
func (b *builder) checkDomains(r *model.Region, p *model.Pool, nodes []*model.Node) {
	if !contains([]string{"host", "chassis", "rack", "zone"}, r.Ceph.FailureDomain) {
		return
	}
	need := p.Size + p.K + p.M
	domains := map[model.Path]bool{}
	for _, n := range nodes {
		if hasRole(n, model.RoleCephOSD) && classMatches(p.DeviceClass, n.OSDDevice) {
			domains[failureDomain(n, r.Ceph.FailureDomain)] = true
		}
	}
	if len(domains) == 0 || need <= len(domains) {
		if len(domains) == 0 && p.DeviceClass != "" {
			at := b.inv.objects[string(r.Path)+"/ceph/pool/"+p.Name]
			b.errorf(at.where("device_class"), "set rotational in the osd_device of some nodes, or remove device_class", "pool %s: no OSD of %s can have class %s", p.Name, r.Path, p.DeviceClass)
		}
		return
	}
	at := b.inv.objects[string(r.Path)+"/ceph/pool/"+p.Name]
	attr, what := "size", "size"
	if p.K > 0 {
		attr, what = "k", "k+m"
	}
	b.errorf(at.where(attr), "add nodes with OSDs in other failure domains, or lower it", "pool %s: %s is %d, but %s has only %d failure domain(s) of type %s with OSDs", p.Name, what, need, r.Path, len(domains), r.Ceph.FailureDomain)
}

// classMatches reports whether OSDs on these devices can have a class; hints that say nothing about rotation may.
func classMatches(class string, h model.DeviceHints) bool {
	if class == "" || h.Rotational == nil {
		return true
	}
	return *h.Rotational == (class == "hdd")
}

// failureDomain is the CRUSH bucket that an OSD host is in. A node outside of any chassis is its own.
func failureDomain(n *model.Node, typ string) model.Path {
	switch typ {
	case "chassis":
		if n.Chassis != "" {
			return n.Chassis
		}
	case "rack":
		return n.Path.Rack()
	case "zone":
		return n.Path.Zone()
	}
	return n.Path
}
