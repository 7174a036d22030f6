package facts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func comparePaths(a, b model.Path) int { return strings.Compare(string(a), string(b)) }

// cluster fills in a region's cluster and its monitors and managers. Without Ceph the places that grades B and C are about are racks.
func (b *fleet) cluster(r model.Region) {
	if r.Ceph == nil {
		b.out.Clusters = append(b.out.Clusters, plan.Cluster{Region: r.Path, FailureDomain: plan.LevelRack})
		return
	}
	c := plan.Cluster{Region: r.Path, FailureDomain: cmp.Or(r.Ceph.FailureDomain, plan.LevelHost)}
	i := slices.IndexFunc(b.o.Ceph, func(o model.ObservedCeph) bool { return o.Region == r.Path })
	switch {
	case i < 0:
		b.wrong("region %s: its Ceph cluster was not observed, so what a batch does to its placement groups is not known", r.Path)
		return
	case b.o.Ceph[i].Error != "":
		b.wrong("region %s: its Ceph cluster could not be asked: %s", r.Path, b.o.Ceph[i].Error)
		return
	case b.o.Ceph[i].Unsure != "":
		b.wrong("region %s: where the copies of its placement groups are is not known: %s; wait until ceph -s shows them, and plan again", r.Path, b.o.Ceph[i].Unsure)
		return
	}
	o := b.o.Ceph[i]
	hostOf := b.osdHosts(o, &c)
	for _, p := range o.Pools {
		b.pool(r.Path, p, hostOf, &c)
	}
	c.Mons, c.Mgrs, c.Require, c.Filesystems = b.hostsOf(o.Mons), b.hostsOf(o.Mgrs), o.Require, filesystems(o.Filesystems)
	b.out.Clusters = append(b.out.Clusters, c)
	b.daemons(r.Path, plan.Quorum, "mon", o.Mons)
	b.daemons(r.Path, plan.Standby, "mgr", o.Mgrs)
}

// osdHosts tells the host of each OSD that is up, by id, -1 of the others, and collects the hosts with OSDs.
func (b *fleet) osdHosts(o model.ObservedCeph, c *plan.Cluster) []int32 {
	var hostOf []int32
	for _, osd := range o.OSDs {
		host, ok := b.index[osd.Node]
		if !ok {
			if osd.Up {
				b.wrong("region %s: osd.%d is up on %q, which is no node of the inventory", o.Region, osd.ID, osd.Node)
			}
			continue
		}
		if n := len(c.OSDHosts); n == 0 || c.OSDHosts[n-1] != host {
			c.OSDHosts = append(c.OSDHosts, host)
		}
		for len(hostOf) <= osd.ID {
			hostOf = append(hostOf, -1)
		}
		if osd.Up {
			hostOf[osd.ID] = host
		}
	}
	slices.Sort(c.OSDHosts)
	c.OSDHosts = slices.Compact(c.OSDHosts)
	return hostOf
}

// pool counts the placement groups of each distinct set of hosts. The order of copies says nothing about safety, so sets are sorted; of two copies on
// one host only one counts, since they are lost together.
func (b *fleet) pool(region model.Path, p model.ObservedPool, hostOf []int32, c *plan.Cluster) {
	if p.Size < 1 || len(p.Acting) != p.PGs*p.Size {
		b.wrong("region %s, pool %s: %d OSD ids were reported for %d placement groups of %d copies", region, p.Name, len(p.Acting), p.PGs, p.Size)
		return
	}
	out := plan.Pool{Name: p.Name, Size: p.Size, MinSize: p.MinSize, Data: max(p.K, 1), Acting: make(plan.Ints, 0, len(p.Acting)), Count: make(plan.Ints, 0, p.PGs)}
	set := make([]int32, p.Size)
	if p.Size <= len(small{}) {
		count(&out, p, hostOf, set, make(map[small]int32, p.PGs), func() (k small) { copy(k[:], set); return k })
	} else {
		count(&out, p, hostOf, set, make(map[string]int32, p.PGs), func() string { return fmt.Sprint(set) })
	}
	c.Pools = append(c.Pools, out)
}

// small holds the set of almost every replicated pool, without a string for each of a million placement groups.
type small [4]int32

// count collects the distinct sets of a pool in the order in which they first occur; key tells one set from another.
func count[K comparable](out *plan.Pool, p model.ObservedPool, hostOf, set []int32, at map[K]int32, key func() K) {
	for pg := range p.PGs {
		for i, id := range p.Acting[pg*p.Size : (pg+1)*p.Size] {
			set[i] = -1
			if id >= 0 && int(id) < len(hostOf) {
				set[i] = hostOf[id]
			}
		}
		slices.Sort(set)
		for i := len(set) - 1; i > 0; i-- {
			if set[i] == set[i-1] {
				set[i] = -1
			}
		}
		slices.Sort(set)
		k := key()
		if i, ok := at[k]; ok {
			out.Count[i]++
			continue
		}
		at[k] = int32(len(out.Count))
		out.Acting, out.Count = append(out.Acting, set...), append(out.Count, 1)
	}
}

// hostsOf are the hosts of daemons.
func (b *fleet) hostsOf(list []model.ObservedDaemon) (out plan.Ints) {
	for _, d := range list {
		if host, ok := b.index[d.Node]; ok {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// daemons is a group of Ceph's own. A monitor that is out of quorum on a host that is not is an error: no rollout begins like that.
func (b *fleet) daemons(region model.Path, k plan.GroupKind, name string, list []model.ObservedDaemon) {
	var hosts plan.Ints
	for _, d := range list {
		host, ok := b.index[d.Node]
		switch {
		case !ok:
			b.wrong("region %s: %s.%s is on %q, which is no node of the inventory", region, name, d.Name, d.Node)
			continue
		case !d.Up && !b.out.Hosts[host].Down && k == plan.Quorum:
			b.wrong("region %s: %s.%s on %s is out of quorum while its host is up: bring it back first", region, name, d.Name, d.Node)
		case !d.Up && k == plan.Standby:
			continue // no standby for anyone
		}
		hosts = append(hosts, host)
	}
	b.group(region, k, name, hosts)
}

// services are the groups that roles make: those that fail over to another member. Controllers hold databases too, of which three or more are a quorum.
var services = []model.Role{model.RoleCephMDS, model.RoleCephRGW, model.RoleGateway, model.RoleController}

func (b *fleet) groups(region model.Path) {
	for _, role := range services {
		var hosts plan.Ints
		for i, n := range b.nodes {
			if region.Contains(n.Path) && slices.Contains(n.Roles, role) && b.serves(region, role, n.Path) {
				hosts = append(hosts, int32(i))
			}
		}
		b.group(region, plan.Standby, string(role), hosts)
		if role == model.RoleController && len(hosts) >= 3 {
			b.group(region, plan.Quorum, "database", slices.Clone(hosts))
		}
	}
}

// serves tells whether a node's metadata server or object gateway serves, or could: one that is down is no standby for anyone. Where the cluster knows of none at all,
// it is taken to.
func (b *fleet) serves(region model.Path, role model.Role, n model.Path) bool {
	for _, c := range b.o.Ceph {
		list := map[model.Role][]model.ObservedDaemon{model.RoleCephMDS: c.MDSs, model.RoleCephRGW: c.RGWs}[role]
		if c.Region == region && len(list) > 0 {
			return slices.ContainsFunc(list, func(d model.ObservedDaemon) bool { return d.Node == n && d.Up })
		}
	}
	return true
}

// filesystems are those of a cluster, by their names.
func filesystems(list []model.ObservedFilesystem) (out []plan.Filesystem) {
	for _, f := range list {
		out = append(out, plan.Filesystem{Name: f.Name, Ranks: max(f.MaxMDS, f.Ranks), StandbyReplay: f.StandbyReplay})
	}
	slices.SortFunc(out, func(a, b plan.Filesystem) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (b *fleet) group(region model.Path, k plan.GroupKind, name string, hosts plan.Ints) {
	if len(hosts) == 0 {
		return
	}
	slices.Sort(hosts)
	b.out.Groups = append(b.out.Groups, plan.Group{Kind: k, Name: name + " of " + string(region), Hosts: slices.Compact(hosts)})
}
