package wave

import (
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// unit is what max_unavailable and max_parallel leave to the batches of a zone, lost hosts deducted.
type unit struct {
	hosts   int    // in a batch; -1: no limit
	why     string // what limits hosts
	places  int    // of the level, beside those lost; -1: no limit
	level   string
	of      []int32        // host → place of the level
	paths   []model.Path   // of places
	lost    map[int32]bool // places with a lost host
	percent bool
}

func (c *cloud) budgetOf(z *zone) unit {
	u := unit{hosts: -1, places: -1}
	if c.p.MaxParallel > 0 {
		u.hosts, u.why = max(0, c.p.MaxParallel-z.lost), fmt.Sprintf("max_parallel %d", c.p.MaxParallel)
	}
	limit := c.p.MaxUnavailable
	if limit.Count == 0 && limit.Percent == 0 {
		return u
	}
	within := perPlace(limit.Per, z.path)
	total, lost := 0, 0
	for _, h := range c.f.Hosts {
		if within.Contains(h.Path) {
			total++
			if h.Down {
				lost++
			}
		}
	}
	if limit.Percent > 0 {
		u.tighten(total*limit.Percent/100-lost, Unavailable(limit))
		u.percent = true
	}
	if limit.Count == 0 {
		return u
	}
	if limit.Unit == plan.LevelHost || limit.Unit == "" {
		u.tighten(limit.Count-lost, Unavailable(limit))
		return u
	}
	u.level, u.lost = limit.Unit, map[int32]bool{}
	u.of, u.paths = c.numbered(limit.Unit)
	for i, h := range c.f.Hosts {
		if h.Down && within.Contains(h.Path) {
			u.lost[u.of[i]] = true
		}
	}
	u.places = max(0, limit.Count-len(u.lost))
	return u
}

func (u *unit) tighten(hosts int, why string) {
	hosts = max(0, hosts)
	if u.hosts < 0 || hosts < u.hosts {
		u.hosts, u.why = hosts, why
	}
}

// perPlace is the place of a level that a zone lies in; the cloud for no level.
func perPlace(level string, zone model.Path) model.Path {
	switch level {
	case plan.LevelZone:
		return zone
	case "region":
		return zone.Region()
	case "site":
		return zone.Site()
	default:
		return ""
	}
}

// Unavailable writes the limit as an inventory does.
func Unavailable(m plan.MaxUnavailable) string {
	text := fmt.Sprintf("max_unavailable %d %s", m.Count, m.Unit)
	if m.Percent > 0 {
		text = fmt.Sprintf("max_unavailable %d%%", m.Percent)
	}
	if m.Per != "" {
		text += " per " + m.Per
	}
	return text
}
