package planner

import (
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// twoMachines refuses to plan for a node behind which the inventory has put another machine, while the former one still answers: two would have one name, one
// address and the same OSDs.
func twoMachines(in Input) error {
	b := builder{in: in}
	var refusal Refusal
	for _, n := range in.Desired.Nodes {
		i := slices.IndexFunc(in.Observed.Nodes, func(o model.ObservedNode) bool { return o.Path == n.Path })
		if i < 0 || !b.targeted(n.Path) {
			continue
		}
		if former := facts.Former(n, in.Observed.Nodes[i].Order); former != "" && in.Observed.Nodes[i].Host.Reachable {
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I11", Place: n.Path, Text: "the machine " + former + ", which it was installed on, still answers, and the inventory has " + n.Serial + " behind it now",
				Remedy: "drain the node, switch the former machine off for good and take its cables out, then plan again; or write its serial number back"})
		}
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

// replaced tells what becomes of a node that gets another machine.
func (b *builder) replaced(n model.Node) {
	former := b.state.Get(plan.NodeSubject(n.Path), plan.AttrFormer)
	if former == "" {
		return
	}
	b.note("%s was installed on the machine %s; the machine %s is installed in its place. Make sure that the former one is off for good: what ran on it is started here", n.Path, former, n.Serial)
	if have := b.state.Get(plan.NodeSubject(n.Path), plan.AttrOSDs); strings.Contains(have, "osd.") {
		b.note("%s: %s; those of its disks that are in the new machine come up with it, empty disks become new OSDs, and the next plan removes those that are lost", n.Path, have)
	}
}
