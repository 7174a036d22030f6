// Package planner computes plans: Plan = f(desired, observed, policy). It is a pure function. It reads no clock, no random number, no
// environment, no file and no network, and the same input gives the same bytes.
package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Input is all that a plan depends on.
type Input struct {
	Goal    plan.Goal
	Targets []model.Path // empty: everything
	Desired model.Desired
	// Observed is what is there; a node that it does not name is taken as unknown, not as absent.
	Observed  model.Observed
	Inventory model.Digest
	Images    map[string]model.Digest // manifest digests by image name, of the images that nodes and VMs use
	// Packages are those of Relevant that images bring, by manifest digest, as far as the images are at hand.
	Packages map[model.Digest]Packages
}

// Make computes the plan. An error says that no safe one exists.
func Make(in Input) (plan.Plan, error) {
	st := facts.Project(in.Desired, in.Observed)
	if err := twoMachines(in); err != nil {
		return plan.Plan{}, err
	}
	if in.Goal == plan.GoalReinstall {
		if err := reinstalls(in, st); err != nil {
			return plan.Plan{}, err
		}
	}
	withoutData(in, st)
	return FromState(in, st)
}

// withoutData leaves out of a state which OSDs hosts have, where no host is laid down anew: nothing else depends on it, and it is long.
func withoutData(in Input, st plan.State) {
	if policy, err := facts.PolicyFor(in.Goal, in.Desired); err == nil && policy.Reinstalls() && (in.Goal == plan.GoalUpgrade || in.Goal == plan.GoalReinstall) {
		return
	}
	for sub := range st {
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrKept})
	}
}

// FromState computes the plan that leads from a given state. A plan's own stages are replanned with it: from any stage's Before it yields
// the rest of the same plan.
func FromState(in Input, initial plan.State) (plan.Plan, error) {
	b := builder{in: in, state: initial, st: initial.Clone(), missing: map[string]bool{}, stays: map[model.Path]bool{}, differs: map[model.Path][]string{}, settled: map[model.Path]plan.OpID{}}
	p := plan.Plan{
		FormatVersion: plan.FormatVersion,
		Goal:          in.Goal,
		Targets:       in.Targets,
		Initial:       initial,
		Provenance: plan.Provenance{
			Images:      in.Images,
			Inventory:   in.Inventory,
			Observation: model.DigestJSON(withoutTime(in.Observed)),
			Policy:      model.DigestJSON(in.Desired.Rollout),
		},
	}
	if err := b.stages(&p); err != nil {
		return plan.Plan{}, err
	}
	if err := b.bare(); err != nil {
		return plan.Plan{}, err
	}
	b.unpinnedImages()
	b.cordoned()
	b.tellAdopted()
	p.Left, p.Notes = b.left, b.notes
	plan.Seal(&p)
	return p, nil
}

// stages adds the goal's stages.
func (b *builder) stages(p *plan.Plan) error {
	switch b.in.Goal {
	case plan.GoalUpgrade, plan.GoalRollback:
		return b.upgrade(p)
	case plan.GoalReinstall:
		if laysHosts(b.in) {
			return b.upgrade(p)
		}
		b.installs(p)
	case plan.GoalDrain:
		return b.drain(p)
	case plan.GoalUndrain:
		b.undrain(p)
	case plan.GoalDecommission:
		return b.decommission(p)
	default:
		b.installs(p)
	}
	return nil
}

// installs is the one stage of a plan that takes nothing out of service.
func (b *builder) installs(p *plan.Plan) {
	if ops := b.hosts(); len(ops) > 0 {
		p.Stages = append(p.Stages, plan.Stage{Title: "hosts and what runs on them", Ops: ops})
	}
}

type builder struct {
	in      Input
	state   plan.State      // before the plan
	st      plan.State      // as virtual machines will be, as far as planned
	missing map[string]bool // names of images that are to be installed and are not built
	left    []plan.Left
	stays   map[model.Path]bool // the nodes of left
	notes   []string
	differs map[model.Path][]string  // adopted node → how it differs
	settled map[model.Path]plan.OpID // region → the op behind which its Ceph cluster is as declared
	lacking map[lack][]model.Path    // the nodes whose image lacks a package
}

func (b *builder) hosts() []plan.Op {
	var ops []plan.Op
	last := map[model.Path]plan.OpID{}
	for _, n := range b.in.Desired.Nodes {
		if !b.targeted(n.Path) {
			continue
		}
		if n.Leaves() {
			b.leaving(n)
			continue
		}
		chain := b.node(n)
		if len(chain) > 0 {
			last[n.Path] = chain[len(chain)-1].ID
		}
		ops = append(ops, chain...)
	}
	for _, r := range b.in.Desired.Regions {
		if r.Ceph == nil {
			continue
		}
		cluster := b.cluster(r, last)
		if len(cluster) > 0 {
			b.settled[r.Path] = cluster[len(cluster)-1].ID
		}
		ops = append(ops, cluster...)
		if foreign := b.state.Get(plan.CephSubject(r.Path), plan.AttrForeign); foreign != "" {
			b.note("the Ceph cluster of %s has what the inventory does not name, and keeps it: %s", r.Path, foreign)
		}
	}
	for _, n := range b.in.Desired.Nodes {
		if !b.targeted(n.Path) || n.Leaves() {
			continue
		}
		if storage := b.storage(n, last[n.Path]); len(storage) > 0 {
			last[n.Path] = storage[0].ID
			ops = append(ops, storage...)
		}
	}
	for _, vm := range b.in.Desired.VMs {
		if b.targeted(vm.Node) {
			ops = append(ops, b.vm(vm, last[vm.Node])...)
		}
	}
	return ops
}

// few names the first of many virtual machines.
func few(list []plan.Subject) string {
	const most = 10
	names := make([]string, 0, most)
	for _, sub := range list[:min(len(list), most)] {
		name, _ := sub.VM()
		names = append(names, name)
	}
	if len(list) > most {
		names = append(names, fmt.Sprintf("and %d more", len(list)-most))
	}
	return strings.Join(names, ", ")
}

// unpinnedImages notes the images that are to be installed and are not built, since a plan with one can be read but not applied.
func (b *builder) unpinnedImages() {
	for _, name := range slices.Sorted(maps.Keys(b.missing)) {
		b.note("image %s is not in the image store, so this plan cannot be applied; build it with: nuboctl image build %s", name, name)
	}
}

func (b *builder) targeted(p model.Path) bool {
	if len(b.in.Targets) == 0 {
		return true
	}
	return slices.ContainsFunc(b.in.Targets, func(t model.Path) bool { return t.Contains(p) })
}

func (b *builder) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

func withoutTime(o model.Observed) model.Observed {
	var zero model.Observed
	o.Taken = zero.Taken
	return o
}
