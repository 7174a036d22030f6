package opstest

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// newRequire is a bench with hosts that are as desired, and whose cluster still lets OSDs of an older release start than it has any more.
func newRequire(t *testing.T, lab New, planFor Plan) *bench {
	d := CephSite(3)
	b := &bench{T: t, lab: lab(d), node: d.Nodes[0], planFor: planFor}
	b.lab.Ready()
	b.driver, b.clock = ops.New(b.lab.World()), b.lab.World().Clock
	o, err := Observe(t.Context(), b.lab.World())
	if err != nil {
		t.Fatal(err)
	}
	p, err := planFor(d, o, plan.GoalUpgrade)
	if err != nil || p.Ops() != 1 {
		t.Fatalf("an upgrade of hosts that are as desired has %d ops, %v", p.Ops(), err)
	}
	b.ops = p.Stages[0].Ops
	return b
}
