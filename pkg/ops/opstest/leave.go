package opstest

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// leavingKinds are the kinds that take a node out of service for good.
var leavingKinds = []plan.Kind{plan.CephOut, plan.CephEmpty, plan.CephPurge, plan.CephLeave, plan.DiskWipe}

// LeavingSite is a CephSite of which the first blade is retired: it carries no virtual machines, and its OSD's disk may be wiped.
func LeavingSite(n int) model.Desired {
	d := CephSite(n)
	first := &d.Nodes[0]
	first.State, first.Roles, first.Consent = model.Retired, first.Roles[1:], []string{"osd-" + first.Name}
	d.VMs[0].Node = d.Nodes[1].Path
	d.Regions[0].Ceph.Pools[0].Size = 2
	return d
}

// newLeaving is a bench with four hosts that run, of which the first is retired.
func newLeaving(t *testing.T, lab New, planFor Plan) *bench {
	d := LeavingSite(4)
	b := &bench{T: t, lab: lab(d), node: d.Nodes[0], planFor: planFor}
	b.lab.Ready()
	b.driver, b.clock = ops.New(b.lab.World()), b.lab.World().Clock
	o, err := Observe(t.Context(), b.lab.World())
	if err != nil {
		t.Fatal(err)
	}
	p, err := planFor(d, o, plan.GoalDecommission)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Stages {
		b.ops = append(b.ops, s.Order()...)
	}
	return b
}
