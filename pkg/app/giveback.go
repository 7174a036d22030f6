package app

import (
	"context"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// marking are the kinds of ops that leave something set on a host, or stopped, for an undrain to take back.
var marking = []plan.Kind{plan.HostCordon, plan.CephNoout, plan.CephStop}

// marked are the nodes on which a run may have left something set.
func marked(r engine.Result) []model.Path {
	var out []model.Path
	for _, o := range r.Ops {
		if o.Status != engine.OpSkipped {
			out = mark(out, o.Op.ID)
		}
	}
	return out
}

// markedBy is marked for a run that was interrupted, by its journal.
func markedBy(r state.RunState) []model.Path {
	var out []model.Path
	for id := range r.Ops {
		out = mark(out, id)
	}
	slices.Sort(out)
	return out
}

func mark(list []model.Path, id plan.OpID) []model.Path {
	kind, subject, _ := strings.Cut(string(id), " ")
	if at, ok := plan.Subject(subject).Node(); ok && slices.Contains(marking, plan.Kind(kind)) && !slices.Contains(list, at) {
		list = append(list, at)
	}
	return list
}

// giveBack takes back what an aborted run has left set on nodes: cordons, noout and stopped daemons. Each node keeps the slot that it runs, and one that an
// operator had drained before a rollout came stays drained.
func (s *session) giveBack(ctx context.Context, lease state.Lease, nodes []model.Path, rollout bool) error {
	if len(nodes) == 0 {
		s.env.note("Nothing was set on hosts that would have to be taken back.")
		return nil
	}
	targets := make([]string, len(nodes))
	for i, n := range nodes {
		targets[i] = string(n)
	}
	p, err := s.plan(ctx, PlanOptions{Goal: string(plan.GoalUndrain), Targets: targets, keepDrained: rollout})
	if err != nil {
		return err
	}
	for _, l := range p.Left {
		s.env.note("%s: %s; %s", l.Node, l.Text, l.Remedy)
	}
	if p.Empty() {
		s.env.note("Nothing is set any more on %s.", names(nodes))
		return nil
	}
	s.env.note("Taking back what the aborted run has left set on %s. The hosts keep the slots that they run.", names(nodes))
	return s.carryOut(ctx, p, lease, ApplyOptions{})
}

// marks adds to an observation what is asked of the cluster only when it is to be taken back: noout of single hosts.
func (s *session) marks(ctx context.Context, seen model.Observed) error {
	r := s.reach(ctx, state.Fence{}, false)
	for _, n := range s.desired.Nodes {
		i := slices.IndexFunc(seen.Nodes, func(o model.ObservedNode) bool { return o.Path == n.Path && o.Host.Reachable })
		if i < 0 || !slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(facts.CephRoles(), r) }) {
			continue
		}
		c, err := r.storage.Observe(ctx, n)
		if err != nil {
			s.env.note("%s: whether noout is set for it is not known: %v", n.Path, err)
			continue
		}
		seen.Nodes[i].Host.Noout = c.Noout
	}
	return r.Close()
}
