package monitor

import (
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// required looks for hosts whose OSDs cannot come up again since their cluster requires a newer release, whether they are up now or not.
func (m *Monitor) required(t *world.Truth, now time.Time, host int32) {
	k := slices.IndexFunc(t.Fleet.Clusters, func(c plan.Cluster) bool { return slices.Contains(c.OSDHosts, host) })
	for _, h := range t.Fleet.Clusters[k].OSDHosts {
		if !t.Hosts[h].Gone && t.Release(h) < t.Required(h) {
			m.violated(now, Left, "%s has Ceph %d, and its cluster starts none below %d any more", name(t, h), t.Release(h), t.Required(h))
		}
	}
}
