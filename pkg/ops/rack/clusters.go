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

func (p clusters) region(path model.Path) (*model.Region, error) {
	for i := range p.f.desired.Regions {
		if r := &p.f.desired.Regions[i]; r.Path == path && r.Ceph != nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%s has no cluster", path)
}

// silent names a host of the region that does not answer.
func (p clusters) silent(region model.Path) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		if !p.f.blades[n.Path].answers() {
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
	for _, n := range facts.CephNodes(p.f.desired, region) {
		b := p.f.blades[n.Path]
		host := model.ObservedCephHost{Node: n.Path, Declared: true, Disks: []model.Disk{{Name: "/dev/vdb", Serial: "osd-" + n.Name}}}
		for _, role := range b.daemons {
			switch daemon := (model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true}); role {
			case model.RoleCephMon:
				c.FSID, c.Absent, c.Mons = fsid, false, append(c.Mons, daemon)
			case model.RoleCephMgr:
				c.Mgrs = append(c.Mgrs, daemon)
			case model.RoleCephOSD:
				place := map[string]string{}
				for _, bucket := range facts.CrushLocation(n) {
					place[bucket.Type] = bucket.Name
				}
				host.Volumes = []model.ObservedVolume{{OSD: len(c.OSDs), Cluster: fsid, Device: "/dev/vdb"}}
				c.OSDs = append(c.OSDs, model.ObservedOSD{ID: len(c.OSDs), Node: n.Path, Up: true, In: true, Location: place})
			}
		}
		c.Hosts = append(c.Hosts, host)
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

func (p clusters) Settle(ctx context.Context, region model.Path) error {
	for _, n := range facts.CephNodes(p.f.desired, region) {
		return hosts(p).alter(ctx, n, func(*blade) { p.f.settled[region] = true })
	}
	return fmt.Errorf("%s has no cluster", region)
}
