package opstest_test

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

func planFor(d model.Desired, o model.Observed, g plan.Goal) (plan.Plan, error) {
	images := map[string]model.Digest{}
	for _, n := range d.Nodes {
		images[n.Image.Name] = n.Image.Digest
	}
	for _, vm := range d.VMs {
		images[vm.Image.Name] = vm.Image.Digest
	}
	var targets []model.Path
	for _, n := range d.Nodes {
		if g == plan.GoalDecommission && n.Leaves() {
			targets = append(targets, n.Path)
		}
	}
	return planner.Make(planner.Input{Goal: g, Targets: targets, Desired: d, Observed: o, Inventory: model.DigestJSON(d), Images: images})
}

func TestFakePassesTheSuite(t *testing.T) { opstest.Run(t, opstest.NewFake, planFor) }
