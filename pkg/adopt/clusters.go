package adopt

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// region is a region with its cluster.
type region struct {
	name    string
	ceph    *model.Ceph
	cluster *Cluster
}

// place is where a host stands.
type place struct{ region, zone, rack, chassis string }

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// clusters makes a region of each Ceph cluster, puts the hosts into them, and tells what roles they have.
func (x *describer) clusters() {
	x.regions = []*region{{name: x.names.Region}}
	used := 0
	for i := range x.survey.Clusters {
		c := &x.survey.Clusters[i]
		if !x.whole(c) {
			continue
		}
		if used++; used > 1 {
			x.regions = append(x.regions, &region{name: fmt.Sprintf("%s-%d", x.names.Region, used)})
		}
		r := x.regions[len(x.regions)-1]
		r.cluster, r.ceph = c, &model.Ceph{FSID: c.Ceph.FSID, Adopted: true}
	}
	for _, h := range x.hosts {
		r := x.regionOf(h)
		h.place = place{region: r.name, zone: x.names.Zone, rack: x.names.Rack}
		if r.cluster != nil {
			h.places(r.cluster)
		}
		x.roles(h, r)
		for _, fsid := range h.Cephadm {
			x.remark("host "+h.Name, "it has daemons of the Ceph cluster %s in containers (cephadm), which this version cannot ask", fsid)
		}
	}
	for _, r := range x.regions {
		if r.ceph != nil {
			x.cluster(r)
		}
	}
}

// whole reports whether a cluster can be described: an inventory's cluster has a monitor and an OSD on its nodes.
func (x *describer) whole(c *Cluster) bool {
	on := func(n model.Path) bool {
		return slices.ContainsFunc(x.hosts, func(h *host) bool { return h.Name == string(n) })
	}
	about := "Ceph cluster " + c.Ceph.FSID
	switch {
	case c.Ceph.Error != "":
		x.remark(about, "it does not answer: %s", c.Ceph.Error)
	case !uuid.MatchString(c.Ceph.FSID):
		x.remark(about, "its fsid is no UUID in lower case")
	case !slices.ContainsFunc(c.Ceph.Mons, func(d model.ObservedDaemon) bool { return on(d.Node) }):
		x.remark(about, "none of its monitors is on a host that was looked at: name those hosts too")
	case !slices.ContainsFunc(c.Ceph.OSDs, func(o model.ObservedOSD) bool { return on(o.Node) }):
		x.remark(about, "none of its OSDs is on a host that was looked at: name those hosts too")
	default:
		return true
	}
	return false
}

// regionOf finds the region of a host: that of the cluster which its ceph.conf names, or in which it has daemons; else the first.
func (x *describer) regionOf(h *host) *region {
	for _, r := range x.regions {
		if r.cluster != nil && h.Ceph != nil && h.Ceph.FSID == r.cluster.Ceph.FSID {
			return r
		}
	}
	for _, r := range x.regions {
		if r.cluster != nil && len(h.osdsOf(r.cluster))+len(daemons(r.cluster.Ceph.Mons, h))+len(daemons(r.cluster.Ceph.Mgrs, h))+len(daemons(r.cluster.Ceph.MDSs, h))+len(daemons(r.cluster.Ceph.RGWs, h)) > 0 {
			return r
		}
	}
	return x.regions[0]
}

func (h *host) osdsOf(c *Cluster) []model.ObservedOSD {
	return slices.DeleteFunc(slices.Clone(c.Ceph.OSDs), func(o model.ObservedOSD) bool { return string(o.Node) != h.Name })
}

func daemons(list []model.ObservedDaemon, h *host) []model.ObservedDaemon {
	return slices.DeleteFunc(slices.Clone(list), func(d model.ObservedDaemon) bool { return string(d.Node) != h.Name })
}

// places takes zone, rack and chassis from where the host's OSDs are in the CRUSH tree.
func (h *host) places(c *Cluster) {
	osds := h.osdsOf(c)
	if len(osds) == 0 {
		return
	}
	for typ, to := range map[string]*string{"zone": &h.place.zone, "rack": &h.place.rack, "chassis": &h.place.chassis} {
		if w := facts.PlaceWord(osds[0].Location[typ]); word.MatchString(w) {
			*to = w
		}
	}
}

// roles tells what a host does.
func (x *describer) roles(h *host, r *region) {
	add := func(is bool, role model.Role) {
		if is {
			h.node.Roles = append(h.node.Roles, role)
		}
	}
	add(h.Seen.Libvirt != "", model.RoleCompute)
	if r.cluster != nil {
		h.osds = len(h.osdsOf(r.cluster))
		add(len(daemons(r.cluster.Ceph.Mons, h)) > 0, model.RoleCephMon)
		add(len(daemons(r.cluster.Ceph.Mgrs, h)) > 0, model.RoleCephMgr)
		add(len(daemons(r.cluster.Ceph.MDSs, h)) > 0, model.RoleCephMDS)
		add(len(daemons(r.cluster.Ceph.RGWs, h)) > 0, model.RoleCephRGW)
		add(h.osds > 0, model.RoleCephOSD)
	}
	if len(h.node.Roles) == 0 {
		x.remark("host "+h.Name, "neither libvirt answers there nor has it a monitor, manager or OSD that was found; role controller stands for whatever it does")
		add(true, model.RoleController)
	}
	slices.Sort(h.node.Roles)
}

// cluster describes what is declared of a cluster, and tells what is not.
func (x *describer) cluster(r *region) {
	about, seen := "Ceph cluster "+r.cluster.Ceph.FSID, r.cluster.Ceph
	if n := x.holding(r.cluster.Mons); n != nil {
		r.ceph.Network = n.Name
	}
	if n := x.holding(r.cluster.Back); n != nil && n.Name != r.ceph.Network {
		r.ceph.ClusterNetwork = n.Name
	}
	types := tally[string]{}
	for _, o := range seen.OSDs {
		for typ := range o.Location {
			if !slices.Contains([]string{"root", "zone", "rack", "chassis", "host"}, typ) {
				types.add(typ)
			}
		}
		if !slices.ContainsFunc(x.hosts, func(h *host) bool { return h.Name == string(o.Node) }) {
			x.remark(about, "osd.%d is on %s, which was not looked at", o.ID, cmp.Or(string(o.Node), "an unknown host"))
		}
	}
	for _, typ := range sortedKeys(types) {
		x.remark(about, "its CRUSH tree has places of type %s, for which the inventory has no word: they are not compared", typ)
	}
	for _, h := range x.hosts {
		if h.Ceph != nil && slices.ContainsFunc(h.Ceph.Volumes, func(v model.ObservedVolume) bool { return v.Crypt && v.Cluster == seen.FSID }) {
			r.ceph.Encrypted = true
		}
	}
	r.ceph.FailureDomain = failureDomain(seen.Pools)
	for _, p := range seen.Pools {
		if strings.HasPrefix(p.Name, ".") {
			continue // Ceph's own
		}
		pool, err := x.pool(r, p)
		if err != nil {
			x.remark("pool "+p.Name, "it is left out, and nuboctl leaves it alone: %v", err)
			continue
		}
		r.ceph.Pools = append(r.ceph.Pools, pool)
	}
	x.filesystem(r, seen.Filesystems)
}

// domains are the CRUSH types that the inventory has a word for.
var domains = []string{"host", "chassis", "rack", "zone"}

// failureDomain is what most pools spread over.
func failureDomain(pools []model.ObservedPool) string {
	votes := tally[string]{}
	for _, p := range pools {
		if slices.Contains(domains, p.Domain) && !strings.HasPrefix(p.Name, ".") {
			votes.add(p.Domain)
		}
	}
	best, _ := votes.most()
	return cmp.Or(best, "host")
}

var poolName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// pool is a pool in the inventory's words.
func (x *describer) pool(r *region, p model.ObservedPool) (model.Pool, error) {
	out := model.Pool{Name: p.Name, Size: p.Size, MinSize: p.MinSize, K: p.K, M: p.M, Application: p.Application, DeviceClass: p.Class}
	wide := p.Size
	if p.K > 0 {
		out.Size, wide = 0, p.K+p.M
	}
	switch {
	case !poolName.MatchString(p.Name):
		return out, fmt.Errorf("%q is no name that the inventory takes", p.Name)
	case !slices.Contains([]string{"rbd", "rgw", "cephfs"}, p.Application):
		return out, fmt.Errorf("its application is %q, and the inventory knows rbd, rgw and cephfs", p.Application)
	case p.Domain != r.ceph.FailureDomain:
		return out, fmt.Errorf("it spreads over %s, and the cluster's failure_domain is %s for all pools", cmp.Or(p.Domain, "nothing that is known"), r.ceph.FailureDomain)
	case !slices.Contains([]string{"", "ssd", "hdd", "nvme"}, p.Class):
		return out, fmt.Errorf("its device class is %q, and the inventory knows ssd, hdd and nvme", p.Class)
	case p.K > 0 && (p.K < 2 || p.M < 1 || p.MinSize < p.K || p.MinSize > wide), p.K == 0 && (p.Size < 1 || p.MinSize < 1 || p.MinSize > p.Size):
		return out, fmt.Errorf("size %d, min_size %d, k %d, m %d is refused by nuboctl validate", p.Size, p.MinSize, p.K, p.M)
	case wide > x.spread(r):
		return out, fmt.Errorf("it wants %d failure domains of type %s, and only %d with OSDs were looked at", wide, r.ceph.FailureDomain, x.spread(r))
	}
	return out, nil
}

// spread is how many failure domains with OSDs a region has. A host outside of any chassis is its own.
func (x *describer) spread(r *region) int {
	seen := map[string]bool{}
	for _, h := range x.hosts {
		if h.place.region != r.name || h.osds == 0 {
			continue
		}
		p := h.place
		switch at := p.zone + "/" + p.rack; {
		case r.ceph.FailureDomain == "zone":
			seen[p.zone] = true
		case r.ceph.FailureDomain == "rack":
			seen[at] = true
		case r.ceph.FailureDomain == "chassis" && p.chassis != "":
			seen[at+"/"+p.chassis] = true
		default:
			seen[h.Name] = true
		}
	}
	return len(seen)
}
