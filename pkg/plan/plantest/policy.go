package plantest

import (
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func (g *gen) policy() {
	g.p = plan.Policy{
		BakeSeconds:    pick[int64](g, 0, 300, 1800),
		Canary:         pick(g, 0, 1, 1, 2),
		MaxParallel:    pick(g, 0, 0, 0, 2, 5, 10),
		ReservePercent: pick(g, 0, 0, 2, 5),
		Survive:        pick[plan.Grade](g, "A", "A+C", "A+C"),
		Times:          plan.Times{Host: 600, Recovery: 120, Settle: 2},
		Method:         "slot",
		MaxUnavailable: pick(g,
			plan.MaxUnavailable{}, plan.MaxUnavailable{},
			plan.MaxUnavailable{Count: 1, Unit: plan.LevelRack, Per: plan.LevelZone},
			plan.MaxUnavailable{Count: 2, Unit: plan.LevelRack, Per: "region"},
			plan.MaxUnavailable{Count: 3, Unit: plan.LevelHost, Per: plan.LevelZone},
			plan.MaxUnavailable{Count: 2, Unit: plan.LevelChassis, Per: "site"},
			plan.MaxUnavailable{Percent: max(10, 250/g.size.Hosts), Per: plan.LevelZone},
			plan.MaxUnavailable{Percent: max(5, 250/g.size.Total())}),
	}
	for _, h := range g.f.Hosts {
		if g.Bool() {
			g.p.Order = appendNew(g.p.Order, pick(g, h.Path.Site(), h.Path.Region(), h.Path.Zone()))
		}
		if len(g.p.Order) > 2 {
			break
		}
	}
}

func appendNew(list []model.Path, p model.Path) []model.Path {
	for _, x := range list {
		if x.Contains(p) || p.Contains(x) {
			return list
		}
	}
	return append(list, p)
}

// uplinks adds a link for each rack.
func (g *gen) uplinks() {
	speed := pick[int64](g, 4500, 11000)
	for _, place := range g.places(all(len(g.f.Hosts)), plan.LevelRack) {
		g.f.Links = append(g.f.Links, plan.Link{Hosts: place, MiBs: speed, Name: "uplink of " + string(g.f.Hosts[place[0]].Path.Rack())})
	}
}

func all(n int) plan.Ints {
	out := make(plan.Ints, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}
