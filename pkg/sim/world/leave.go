package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
)

// Retire makes the inventory say that a host leaves, and what every host does in its cluster.
func (w *World) Retire(i int32) {
	w.declare()
	w.desired.Nodes[i].State = model.Retired
}

// declare makes the inventory say what every host does in its cluster.
func (w *World) declare() {
	t := &w.Truth
	w.declared = true
	for k := range w.desired.Nodes {
		n := &w.desired.Nodes[k]
		n.Roles = nil
		if t.Fleet.Hosts[k].Class >= 0 {
			n.Roles = append(n.Roles, model.RoleCompute)
		}
		for _, c := range t.Fleet.Clusters {
			if slices.Contains(c.OSDHosts, int32(k)) {
				n.Roles = append(n.Roles, model.RoleCephOSD)
			}
		}
		for _, g := range t.Fleet.Groups {
			if role := daemon(g.Name); role != "" && slices.Contains(g.Hosts, int32(k)) {
				n.Roles = append(n.Roles, role)
			}
		}
	}
	w.desired.Regions = nil
	for _, c := range t.Fleet.Clusters {
		w.desired.Regions = append(w.desired.Regions, model.Region{Path: c.Region, Ceph: &model.Ceph{FailureDomain: c.FailureDomain}})
	}
}

// daemon is the role whose members a group is made of; empty: it is no daemon of Ceph.
func daemon(group string) model.Role {
	switch {
	case strings.HasPrefix(group, "mon "):
		return model.RoleCephMon
	case strings.HasPrefix(group, "mgr "):
		return model.RoleCephMgr
	}
	return ""
}

// Leaving are Ports for nodes that leave: the clusters are those of this world.
func (w *World) Leaving(b ops.Batches) ops.World {
	p := w.Ports(b)
	p.Clusters, p.Departures = clusters{w, p.Clusters}, departures{w}
	return p
}

// Observe is what a look at everything shows, but for virtual machines.
func (w *World) Observe(ctx context.Context) model.Observed {
	o := model.Observed{FormatVersion: 1}
	for i, n := range w.desired.Nodes {
		h := &w.Truth.Hosts[i]
		on := model.ObservedNode{Path: n.Path, BMC: model.ObservedBMC{Reachable: true, Serial: n.Serial, Power: model.PowerOn}}
		if h.Up && w.broken[int32(i)] != rack.HostSilent {
			on.Host = model.ObservedHost{Reachable: true, Image: n.Image.Digest, Config: n.Config}
			if w.Truth.Fleet.Hosts[i].Class >= 0 {
				on.Host.Libvirt = "11"
			}
			if h.Cordon.After(w.Time.Now()) {
				on.Host.Cordoned, on.Host.Drained = h.Cordon, h.Drained
			}
		} else if !h.Up && h.Gone {
			on.BMC.Power = model.PowerOff
		}
		o.Nodes = append(o.Nodes, on)
	}
	for _, r := range w.desired.Regions {
		c, err := clusters{w, nil}.Observe(ctx, r.Path)
		if err != nil {
			c = model.ObservedCeph{Region: r.Path, Error: err.Error()}
		}
		o.Ceph = append(o.Ceph, c)
	}
	return o
}

// clusters are the Ceph clusters of a world that is installed.
type clusters struct {
	w *World
	ops.Clusters
}

// Observe implements ops.Clusters. The OSDs of a host count as one, with the number of the host.
func (c clusters) Observe(ctx context.Context, region model.Path) (model.ObservedCeph, error) {
	w, t := c.w, &c.w.Truth
	out := model.ObservedCeph{Region: region, FSID: "simulated", Health: "HEALTH_OK"}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	if w.opt.Faults.silent(w) {
		return out, fmt.Errorf("the cluster of %s does not answer: timed out", region)
	}
	for k := range t.Fleet.Groups {
		g := &t.Fleet.Groups[k]
		role := daemon(g.Name)
		if role == "" || !region.Contains(t.Fleet.Hosts[g.Hosts[0]].Path) {
			continue
		}
		for _, h := range g.Hosts {
			d := model.ObservedDaemon{Name: t.Fleet.Hosts[h].Path.Name(), Node: t.Fleet.Hosts[h].Path, Up: t.Member(g, h), Version: t.version(h)}
			if role == model.RoleCephMon {
				out.Mons = append(out.Mons, d)
			} else {
				out.Mgrs = append(out.Mgrs, d)
			}
		}
	}
	for k := range t.Fleet.Clusters {
		if t.Fleet.Clusters[k].Region == region {
			out.Require = t.Fleet.Clusters[k].Require
			w.observeData(int32(k), &out)
		}
	}
	return out, nil
}

// observeData shows OSDs and placement groups of a cluster.
func (w *World) observeData(k int32, out *model.ObservedCeph) {
	t, cluster := &w.Truth, &w.Truth.Fleet.Clusters[k]
	for _, h := range cluster.OSDHosts {
		host, now := &t.Fleet.Hosts[h], &t.Hosts[h]
		seen := model.ObservedCephHost{Node: host.Path, Declared: true}
		if !now.Up {
			seen.Error = "connection timed out"
		}
		out.Hosts = append(out.Hosts, seen)
		if now.Gone {
			continue
		}
		at := map[string]string{"root": "default", "host": string(host.Path), "rack": string(host.Path.Rack()), "zone": string(host.Path.Zone()), "chassis": string(Place(host, "chassis"))}
		out.OSDs = append(out.OSDs, model.ObservedOSD{ID: int(h), Node: host.Path, Up: now.Serves(), In: !now.Out, Location: at, Bytes: 1 << 40, Used: 1 << 37, Version: t.version(h)})
	}
	if w.opt.Careless {
		return
	}
	for p := range cluster.Pools {
		pool := &cluster.Pools[p]
		o := model.ObservedPool{Name: pool.Name, Size: pool.Size, MinSize: pool.MinSize, Domain: cluster.FailureDomain}
		for g := range t.PGs {
			pg := &t.PGs[g]
			if pg.Cluster != k || int(pg.Pool) != p {
				continue
			}
			o.PGs++
			whole := true
			for i, h := range pg.Hosts {
				if !t.Serves(pg, i) || pg.Behind&(1<<i) != 0 {
					h, whole = -1, false
				}
				o.Acting = append(o.Acting, h)
			}
			if !whole {
				o.Unclean++
			}
		}
		out.Pools = append(out.Pools, o)
	}
}

// departures are hosts that leave. Ceph refuses what it needs, unless the world is careless.
type departures struct{ w *World }

func (d departures) host(ctx context.Context, n model.Node) (int32, *Host, error) {
	if err := ctx.Err(); err != nil {
		return -1, nil, err
	}
	i, err := d.w.host(n)
	if err != nil {
		return -1, nil, err
	}
	if d.w.opt.Faults.silent(d.w) {
		return -1, nil, fmt.Errorf("the cluster of %s does not answer: timed out", n.Path.Region())
	}
	return i, &d.w.Truth.Hosts[i], nil
}

// Out implements ops.Departures.
func (d departures) Out(ctx context.Context, n model.Node, _ []int) error {
	i, h, err := d.host(ctx, n)
	if err != nil {
		return err
	}
	if !h.Out {
		h.Out = true
		d.w.vacate(i)
	}
	return d.w.reply(i)
}

// vacate has the data of a host's OSDs move elsewhere, for as long as they are out and hold some.
func (w *World) vacate(i int32) {
	w.Time.After(backfillTime/4+time.Duration(w.rng.Int64N(int64(backfillTime))), func() {
		if h := &w.Truth.Hosts[i]; !h.Out || h.Gone {
			return
		}
		if w.remap(i); len(w.Truth.PGsOf[i]) > 0 {
			w.vacate(i)
		}
	})
}

// Destroyable implements ops.Departures.
func (d departures) Destroyable(ctx context.Context, n model.Node, _ []int) error {
	i, h, err := d.host(ctx, n)
	if err != nil || d.w.opt.Careless || h.Gone {
		return err
	}
	if k := len(d.w.Truth.PGsOf[i]); k > 0 {
		return fmt.Errorf("EBUSY: %d placement groups are on it: %w", k, ops.ErrNeeded)
	}
	return nil
}

// Purge implements ops.Departures.
func (d departures) Purge(ctx context.Context, n model.Node, osds []int) error {
	if err := d.Destroyable(ctx, n, osds); err != nil {
		return err
	}
	i, h, err := d.host(ctx, n)
	if err != nil || h.Gone {
		return err
	}
	h.Gone = true
	d.w.tell(Act{Kind: OSDsGone, Host: i, Ours: true})
	return d.w.reply(i)
}

// Leave implements ops.Departures.
func (d departures) Leave(ctx context.Context, n model.Node) error {
	i, _, err := d.host(ctx, n)
	if err != nil {
		return err
	}
	t := &d.w.Truth
	groups := slices.Clone(t.Fleet.Groups)
	for k := range groups {
		g := &groups[k]
		if daemon(g.Name) == "" || !slices.Contains(g.Hosts, i) {
			continue
		}
		g.Hosts = slices.DeleteFunc(slices.Clone(g.Hosts), func(h int32) bool { return h == i })
		if up := t.MembersUp(g); len(g.Hosts) == 0 || (up < Least(g) && !d.w.opt.Careless) {
			return fmt.Errorf("EBUSY: %s would have %d members: %w", g.Name, up, ops.ErrNeeded)
		}
	}
	t.Fleet.Groups = groups
	d.w.tell(Act{Kind: Left, Host: i, Ours: true})
	d.w.daemonsDown(i, true)
	return d.w.reply(i)
}

// Wipe implements ops.Departures: there are no disks here.
func (d departures) Wipe(ctx context.Context, n model.Node, _ []string) error {
	_, _, err := d.w.reach(ctx, n)
	return err
}
