package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

// DrainHolds is how long the cordon of a drain holds, as an argument of its ops: long enough for spare parts, and not for ever.
const DrainHolds = "720h"

// drain plans to move the virtual machines of the targets away, all hosts of a zone at once, and to keep them away. What else runs there goes on.
func (b *builder) drain(p *plan.Plan) error {
	policy, err := facts.DrainPolicy(b.in.Desired)
	if err != nil {
		return err
	}
	r := &rollout{builder: b, want: map[model.Path]string{}, nodes: map[model.Path]*model.Node{}}
	if err := r.chooseDrained(); err != nil || len(r.want) == 0 {
		return err
	}
	fleet, err := facts.FleetFor(b.in.Desired, b.in.Observed, facts.Changes{Drain: true, Nodes: func(n model.Node) bool { return r.want[n.Path] != "" }})
	if err != nil {
		return fmt.Errorf("what was observed is not enough to plan a drain from: %w", err)
	}
	if r.cert, err = wave.Drain(fleet, policy); err != nil {
		return r.cordoned(err)
	}
	r.stages(p)
	return nil
}

// chooseDrained finds the targets that virtual machines can run on and that are not drained already, as observed.
func (r *rollout) chooseDrained() error {
	if len(r.in.Targets) == 0 {
		return &Refusal{Reasons: []Reason{{Invariant: "I3", Text: "a drain of everything leaves no place for the virtual machines", Remedy: "name what to drain: nuboctl drain NODE"}}}
	}
	seen := facts.Project(r.in.Desired, r.in.Observed)
	answers := map[model.Path]bool{}
	for _, n := range r.in.Observed.Nodes {
		answers[n.Path] = n.Host.Reachable && n.Host.Libvirt != ""
	}
	var refusal Refusal
	carry := false
	for i := range r.in.Desired.Nodes {
		n := &r.in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		if !r.targeted(n.Path) || !facts.Carries(*n) {
			continue
		}
		carry = true
		switch {
		case n.Adopted:
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I3", Place: n.Path, Text: "somebody else laid it down, and nuboctl prepares only its own hosts for moves of virtual machines",
				Remedy: "move them by whatever tool does so today"})
		case !answers[n.Path]:
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I11", Place: n.Path, Text: "it, or libvirt on it, does not answer, so nothing can be moved off it, and what runs on it is not known",
				Remedy: "bring it back; to drain the others of a place, name them one by one"})
		case drained(seen, n.Path):
			r.note("%s is drained already", n.Path)
		default:
			r.want[n.Path] = "drained"
		}
	}
	if !carry {
		refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I3", Place: r.in.Targets[0], Text: "no virtual machines run on nodes without the role compute: there is nothing to drain",
			Remedy: "name a node with that role; nuboctl inventory shows them"})
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

func drained(st plan.State, at model.Path) bool {
	sub := plan.NodeSubject(at)
	return st.Get(sub, plan.AttrCordon) == plan.Drained && st.Get(sub, plan.AttrGuests) == plan.None
}

// cordoned adds to a refusal that cordoned hosts take no virtual machines, where there are some.
func (r *rollout) cordoned(err error) error {
	var refused *Refusal
	var list []string
	for _, n := range r.in.Observed.Nodes {
		if !n.Host.Cordoned.IsZero() {
			list = append(list, n.Path.Name())
		}
	}
	if len(list) == 0 || !errors.As(err, &refused) {
		return err
	}
	return &Refusal{Reasons: append(slices.Clone(refused.Reasons), Reason{Invariant: "I3", Text: "what is cordoned takes no virtual machines: " + strings.Join(list, ", "),
		Remedy: "give such hosts back with nuboctl undrain, or, when a rollout was interrupted, apply its plan again"})}
}

// empties gives what is still to be done on a host that is drained.
func (r *rollout) empties(h int32, batch plan.Subject, certify []plan.OpID) []plan.Op {
	at := r.cert.Fleet.Hosts[h].Path
	sub := plan.NodeSubject(at)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(r.state[sub])}, uses: []string{"rack:" + string(at.Rack())}}
	hold := map[string]string{"for": DrainHolds}
	fresh := c.get(plan.AttrCordon) != plan.Drained
	if fresh {
		c.add(plan.HostCordon, hold, nil, c.facts(plan.AttrCordon, plan.Drained))
	}
	if fresh || c.get(plan.AttrGuests) != plan.None {
		c.add(plan.HostDrain, hold, c.facts(plan.AttrCordon, plan.Drained), c.facts(plan.AttrGuests, plan.None))
	}
	return behind(c, batch, certify)
}

// tellDrain adds the notes that a reader of a drain needs.
func (r *rollout) tellDrain() {
	moved := 0
	for _, b := range r.cert.Batches {
		moved += len(b.Moves.VM)
		for _, s := range b.Short {
			r.note("%s", s)
		}
	}
	r.note("%s; storage and other services on the hosts go on", map[bool]string{true: "1 virtual machine moves live", false: fmt.Sprintf("%d virtual machines move live", moved)}[moved == 1])
	r.note("nothing is placed on the hosts until nuboctl undrain, or for %s at most; virtual machines do not come back by themselves", DrainHolds)
	r.tellStops("stay stopped until nuboctl undrain")
}

// undrain plans to give hosts back: what a drain, or a rollout that was interrupted, has left set there.
func (b *builder) undrain(p *plan.Plan) {
	var ops []plan.Op
	for _, n := range b.in.Desired.Nodes {
		if b.targeted(n.Path) {
			ops = append(ops, b.giveBack(n)...)
		}
	}
	if len(ops) == 0 {
		return
	}
	p.Stages = append(p.Stages, plan.Stage{Title: "give hosts back", Ops: ops, Invariants: []string{"nothing is taken out of service"}})
	b.note("virtual machines that were moved away stay where they are; new ones may be placed on the hosts, and those that were stopped with consent are started")
}

// giveBack starts a host's daemons, unsets its noout, takes back an order to lay it down anew and lets virtual machines back, as far as that is not so.
func (b *builder) giveBack(n model.Node) []plan.Op {
	sub := plan.NodeSubject(n.Path)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(b.state[sub])}, uses: []string{"rack:" + string(n.Path.Rack())}}
	host := c.get(plan.AttrHost)
	if host == "" {
		b.left = append(b.left, plan.Left{Node: n.Path, Text: "it does not answer, so whether anything is set there is not known", Remedy: "bring it back, then: nuboctl undrain " + n.Name})
		return nil
	}
	runs := c.facts(plan.AttrHost, host)
	if c.get(plan.AttrCeph) == plan.Stopped {
		c.add(plan.CephStart, nil, runs, c.facts(plan.AttrCeph, plan.Up))
	}
	if c.get(plan.AttrNoout) == plan.Set {
		pre := runs
		if c.get(plan.AttrCeph) == plan.Up {
			pre = c.facts(plan.AttrCeph, plan.Up)
		}
		c.add(plan.CephRestore, nil, pre, c.facts(plan.AttrNoout, ""))
	}
	if order := c.get(plan.AttrOrder); order != "" && c.get(plan.AttrInstall) == "" {
		c.add(plan.OrderRecall, nil, append(c.facts(plan.AttrOrder, order, plan.AttrInstall, ""), runs...), c.facts(plan.AttrOrder, ""))
	}
	if c.get(plan.AttrCordon) != "" {
		c.add(plan.HostUncordon, nil, runs, c.facts(plan.AttrCordon, "", plan.AttrGuests, ""))
	}
	return c.ops
}
