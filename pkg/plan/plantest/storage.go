package plantest

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// cluster adds the region's storage: pools whose copies are spread over the places of the failure domain.
func (r *region) cluster() {
	c := plan.Cluster{FailureDomain: plan.LevelHost, Region: r.path}
	for i := r.first; i < int32(len(r.f.Hosts)); i++ {
		if r.osd[i] {
			c.OSDHosts = append(c.OSDHosts, i)
		}
	}
	levels := []string{plan.LevelRack, plan.LevelRack, plan.LevelHost}
	if r.perChassis > 0 {
		levels = append(levels, plan.LevelChassis)
	}
	for _, level := range append(levels[r.IntN(len(levels)):], plan.LevelHost) {
		if places := r.places(c.OSDHosts, level); len(places) >= 4 {
			c.FailureDomain = level
			r.pools(&c, places)
			break
		}
	}
	r.f.Clusters = append(r.f.Clusters, c)
}

func (r *region) pools(c *plan.Cluster, places []plan.Ints) {
	c.Pools = append(c.Pools, r.pool(plan.Pool{Name: "vms", Size: 3, MinSize: 2, Data: 1}, places, len(c.OSDHosts)))
	if r.Bool() {
		c.Pools = append(c.Pools, r.pool(plan.Pool{Name: "safe", Size: 4, MinSize: 2, Data: 1}, places, len(c.OSDHosts)))
	}
	if r.Bool() && len(places) >= 6 {
		c.Pools = append(c.Pools, r.pool(plan.Pool{Name: "objects", Size: 6, MinSize: 5, Data: 4}, places, len(c.OSDHosts)))
	}
}

// pool draws acting sets; a pool that can afford it may miss a copy here and there.
func (r *region) pool(p plan.Pool, places []plan.Ints, hosts int) plan.Pool {
	broken := p.Size-p.MinSize > 1 && r.oneIn(4)
	for range max(8, 16*hosts) {
		at := len(p.Acting)
		for _, place := range r.some(len(places), p.Size) {
			p.Acting = append(p.Acting, pick(r.gen, places[place]...))
		}
		if broken && r.oneIn(50) {
			p.Acting[at+r.IntN(p.Size)] = -1
		}
		p.Count = append(p.Count, int32(1+r.IntN(4)))
	}
	return p
}

// some draws k different numbers below n.
func (g *gen) some(n, k int) []int {
	out := make([]int, 0, k)
	for len(out) < k {
		if i := g.IntN(n); !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// places groups hosts by their place of the level.
func (g *gen) places(hosts plan.Ints, level string) []plan.Ints {
	var out []plan.Ints
	index := map[model.Path]int{}
	for _, h := range hosts {
		at := place(g.f.Hosts[h], level)
		i, ok := index[at]
		if !ok {
			i = len(out)
			index[at] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], h)
	}
	return out
}

func place(h plan.Host, level string) model.Path {
	switch {
	case level == plan.LevelRack:
		return h.Path.Rack()
	case level == plan.LevelChassis && h.Chassis != "":
		return h.Chassis
	default:
		return h.Path
	}
}
