package rack

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// clusters are the Ceph clusters that ops make: daemons come up at once, and a disk is an OSD or is not.
type clusters struct{ f *Rack }

// fsid is every cluster's.
const fsid = "5f1c1f1e-93cf-4a3a-9d3a-0a0b0c0d0e0f"

// Every cluster has risen to another release, and nobody has ended that: nowRuns is what its daemons are, formerly the release that it still lets start.
const (
	nowRuns  = "18.2.7"
	formerly = 16
)

func (p clusters) region(path model.Path) (*model.Region, error) {
	for i := range p.f.desired.Regions {
		if r := &p.f.desired.Regions[i]; r.Path == path && r.Ceph != nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%s has no cluster", path)
}

// silent names a host of the region that should answer, and does not.
func (p clusters) silent(region model.Path) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		if b := p.f.blades[n.Path]; !b.answers() && !(n.Leaves() && b.power == model.PowerOff) {
			return fmt.Errorf("%s does not answer, so what there is of the cluster of %s is not known", n.Path, region)
		}
	}
	return nil
}

func (p clusters) Observe(ctx context.Context, region model.Path) (model.ObservedCeph, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	r, err := p.region(region)
	if err == nil {
		err = p.silent(region)
	}
	if err != nil {
		return model.ObservedCeph{}, err
	}
	c := model.ObservedCeph{Region: region, Absent: true}
	pool := model.ObservedPool{Name: "vms", Size: 2, MinSize: 1, Domain: "host", PGs: 1, Acting: []int32{-1, -1}}
	for id, n := range facts.CephNodes(p.f.desired, region) {
		b := p.f.blades[n.Path]
		host := model.ObservedCephHost{Node: n.Path, Declared: true, Disks: []model.Disk{{Name: "/dev/vdb", Serial: "osd-" + n.Name}}}
		if !b.answers() {
			host.Error = "connection refused"
		}
		for _, role := range b.daemons {
			switch daemon := (model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Version: nowRuns}); role {
			case model.RoleCephMon:
				c.FSID, c.Absent, c.Mons = fsid, false, append(c.Mons, daemon)
			case model.RoleCephMgr:
				c.Mgrs = append(c.Mgrs, daemon)
			case model.RoleCephMDS:
				c.MDSs = append(c.MDSs, daemon)
			case model.RoleCephRGW:
				c.RGWs = append(c.RGWs, daemon)
			case model.RoleCephOSD:
				if !b.wiped {
					host.Volumes = []model.ObservedVolume{{OSD: id, FSID: n.Name, Cluster: fsid, Device: "/dev/vdb"}}
				}
				if b.purged {
					continue
				}
				if at := slices.Index(pool.Acting, -1); at >= 0 && !p.f.moved(b) {
					pool.Acting[at] = int32(id)
				}
				place, version := map[string]string{}, nowRuns
				if b.fault == OlderOSD {
					version = "16.2.15"
				}
				for _, bucket := range facts.CrushLocation(n) {
					place[bucket.Type] = bucket.Name
				}
				c.OSDs = append(c.OSDs, model.ObservedOSD{ID: id, Node: n.Path, FSID: n.Name, Up: true, In: b.out.IsZero(), Location: place, Bytes: 1 << 40, Used: 1 << 38, Version: version})
			}
		}
		c.Hosts = append(c.Hosts, host)
	}
	if len(c.OSDs) > 1 {
		c.Pools = []model.ObservedPool{pool}
	}
	if !c.Absent {
		c.Require = max(p.f.requires[region], formerly)
	}
	if p.f.settled[region] {
		c.Settings = facts.CephSettings(r.Ceph)
	}
	return c, ctx.Err()
}

func (p clusters) Create(ctx context.Context, region model.Path) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		if slices.Contains(n.Roles, model.RoleCephMon) {
			return p.Ensure(ctx, n, model.RoleCephMon)
		}
	}
	return fmt.Errorf("%s has no monitor", region)
}

func (p clusters) Ensure(ctx context.Context, n model.Node, role model.Role) error {
	return hosts(p).alter(ctx, n, func(b *blade) {
		if !slices.Contains(b.daemons, role) {
			b.daemons = append(b.daemons, role)
		}
	})
}

func (p clusters) Require(ctx context.Context, region model.Path, release int) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		return hosts(p).alter(ctx, n, func(*blade) { p.f.requires[region] = max(release, p.f.requires[region]) })
	}
	return fmt.Errorf("%s has no cluster", region)
}

func (p clusters) Settle(ctx context.Context, region model.Path) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		return hosts(p).alter(ctx, n, func(*blade) { p.f.settled[region] = true })
	}
	return fmt.Errorf("%s has no cluster", region)
}
