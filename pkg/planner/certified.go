package planner

import (
	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Certified makes the plan of a certificate that somebody else has solved, from a state: the stages are those that an upgrade of the inventory would
// have, or a rollback where that is in.Goal, or a drain where the certificate is of one. Hosts are those of in.Desired, in the certificate's order, and what
// in.Images names them to run is what the changed ones get.
func Certified(in Input, initial plan.State, c plan.Certificate) plan.Plan {
	switch {
	case c.Policy.Drains():
		in.Goal = plan.GoalDrain
	case in.Goal != plan.GoalRollback:
		in.Goal = plan.GoalUpgrade
	}
	b := &builder{in: in, state: initial, st: initial.Clone(), missing: map[string]bool{}}
	r := &rollout{builder: b, policy: c.Policy, want: map[model.Path]string{}, nodes: map[model.Path]*model.Node{}, cert: c}
	for i := range in.Desired.Nodes {
		n := &in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		switch {
		case !c.Fleet.Hosts[i].Change:
		case r.inPlace():
			r.want[n.Path] = string(in.Desired.Rollout.Snapshot.Digest)
		default:
			r.want[n.Path] = string(facts.HostSpec(in.Images[n.Image.Name], n.Config))
		}
	}
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: in.Goal, Initial: initial, Provenance: plan.Provenance{Images: in.Images}}
	r.stages(&p)
	p.Notes = b.notes
	plan.Seal(&p)
	return p
}
