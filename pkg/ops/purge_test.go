package ops_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// mending is a cluster whose second look shows a placement group that is not clean, and whose later ones show all of them clean. It is its own Departures.
type mending struct {
	ops.Clusters
	ops.Departures
	node   model.Path
	back   bool // whether the lost OSD is up again by then
	looks  int
	purged []int
}

func (m *mending) Observe(context.Context, model.Path) (model.ObservedCeph, error) {
	m.looks++
	c := model.ObservedCeph{FSID: "f", OSDs: []model.ObservedOSD{{ID: 3, FSID: "u3", Node: m.node}}, Hosts: []model.ObservedCephHost{{Node: m.node}}}
	if m.looks == 2 {
		c.Pools = []model.ObservedPool{{Name: "vms", Unclean: 1}}
	}
	if m.looks > 2 && m.back {
		c.OSDs[0].Up, c.OSDs[0].In = true, true
		c.Hosts[0].Volumes = []model.ObservedVolume{{OSD: 3, FSID: "u3"}}
	}
	return c, nil
}

func (m *mending) Out(context.Context, model.Node, []int) error         { return nil }
func (m *mending) Destroyable(context.Context, model.Node, []int) error { return nil }
func (m *mending) Purge(_ context.Context, _ model.Node, osds []int) error {
	m.purged = append(m.purged, osds...)
	return nil
}

// A lost OSD is removed once nothing needs it; one whose disk has come back while that was waited for is not.
func TestPurgeOfALostOSD(t *testing.T) {
	n := model.Node{Path: "lab/r1/az1/a/one", Name: "one"}
	for _, back := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := &mending{node: n.Path, back: back}
			d := ops.New(ops.World{Desired: model.Desired{Nodes: []model.Node{n}}, Clusters: m, Departures: m})
			op := plan.Op{Kind: plan.CephPurge, Target: plan.NodeSubject(n.Path), Args: map[string]string{"osds": "osd.3"}}
			err := d.Apply(t.Context(), op, func(plan.Progress) {})
			switch {
			case !back && (err != nil || len(m.purged) != 1):
				t.Errorf("removed %v: %v", m.purged, err)
			case back && (err == nil || !strings.Contains(err.Error(), "osd.3 is not lost") || len(m.purged) > 0):
				t.Errorf("its disk is back, and removed is %v: %v", m.purged, err)
			}
		})
	}
}
