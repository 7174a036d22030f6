package world

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// version is what a host's daemons tell of themselves; empty: nothing.
func (t *Truth) version(host int32) string {
	if n := t.Release(host); n > 0 {
		return fmt.Sprintf("%d.2.0", n)
	}
	return ""
}

// Required is the release of Ceph below which no OSD of a host starts; 0: not known, or it has none.
func (t *Truth) Required(host int32) int {
	for i := range t.Fleet.Clusters {
		if c := &t.Fleet.Clusters[i]; slices.Contains(c.OSDHosts, host) {
			return c.Require
		}
	}
	return 0
}

// Require implements ops.Clusters: Ceph looks at OSDs that are up and at monitors, and never goes back.
func (c clusters) Require(ctx context.Context, region model.Path, release int) error {
	w, t := c.w, &c.w.Truth
	if err := ctx.Err(); err != nil {
		return err
	}
	k := slices.IndexFunc(t.Fleet.Clusters, func(k plan.Cluster) bool { return k.Region == region })
	if k < 0 || w.opt.Faults.silent(w) {
		return fmt.Errorf("the cluster of %s does not answer: timed out", region)
	}
	cluster := &t.Fleet.Clusters[k]
	for _, h := range slices.Concat(cluster.Mons, cluster.OSDHosts) {
		if t.Hosts[h].Serves() && t.Release(h) < release && !w.opt.Careless {
			return fmt.Errorf("EPERM: not all up OSDs have the features of release %d: %s", release, t.Fleet.Hosts[h].Path)
		}
	}
	if release > cluster.Require {
		cluster.Require = release
		w.tell(Act{Kind: Required, Host: cluster.OSDHosts[0], Ours: true})
	}
	return w.reply(-1)
}
