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
		if err := inUse(in); err != nil {
			return plan.Plan{}, err
		}
		forget(in, st)
	}
	return FromState(in, st)
}

// inUse refuses to lay hosts down anew while virtual machines run on them whose owners do not consent to a stop. What they consent to is said once for
// each machine, with on_drain.
func inUse(in Input) error {
	b := builder{in: in}
	consent := map[string]bool{}
	for _, vm := range in.Desired.VMs {
		consent[vm.Name] = vm.OnDrain == "stop_start"
	}
	stays := map[model.Path]bool{} // nodes that are not laid down, whatever is asked for
	for _, n := range in.Desired.Nodes {
		stays[n.Path] = n.Adopted
	}
	run := map[model.Path][]plan.Subject{}
	for _, vm := range in.Observed.VMs {
		if b.targeted(vm.Node) && !stays[vm.Node] && facts.Occupies(vm) && vm.OnDrain != "stop_start" && !consent[vm.Name] {
			run[vm.Node] = append(run[vm.Node], plan.VMSubject(vm.Name))
		}
	}
	var refusal Refusal
	for _, at := range slices.Sorted(maps.Keys(run)) {
		refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I8", Place: at,
			Text:   plural(len(run[at]), "virtual machine runs", "virtual machines run") + " there and would be stopped: " + few(run[at]),
			Remedy: "move them away first: nuboctl drain " + at.Name() + "; those whose owners consent to a stop need on_drain = \"stop_start\""})
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

// layAnew is the value of plan.AttrHost of a node whose host is to be laid down again although it is as desired.
const layAnew = "to be laid anew"

// forget marks the targeted nodes that have a host as to be laid anew. The mark is part of the initial state, so that replanning from the
// middle of a reinstall does not begin another.
func forget(in Input, st plan.State) {
	b := builder{in: in}
	for _, n := range in.Desired.Nodes {
		sub := plan.NodeSubject(n.Path)
		if !b.targeted(n.Path) || n.Adopted || (st.Get(sub, plan.AttrHost) == "" && st.Get(sub, plan.AttrInstall) != "installed") {
			continue
		}
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrHost, Value: layAnew})
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrOrder})
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrInstall})
	}
}

// FromState computes the plan that leads from a given state. A plan's own stages are replanned with it: from any stage's Before it yields
// the rest of the same plan.
func FromState(in Input, initial plan.State) (plan.Plan, error) {
	b := builder{in: in, state: initial, st: initial.Clone(), runs: map[model.Path][]plan.Subject{}, stops: map[plan.Subject]plan.OpID{}, missing: map[string]bool{}, stays: map[model.Path]bool{}, differs: map[model.Path][]string{}, settled: map[model.Path]plan.OpID{}}
	for _, vm := range in.Desired.VMs {
		sub := plan.VMSubject(vm.Name)
		if on := initial.Get(sub, plan.AttrRuns); on != "" {
			b.runs[model.Path(on)] = append(b.runs[model.Path(on)], sub)
		}
	}
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
	case plan.GoalDrain:
		return b.drain(p)
	case plan.GoalUndrain:
		b.undrain(p)
	case plan.GoalDecommission:
		return b.decommission(p)
	default:
		if ops := b.hosts(); len(ops) > 0 {
			p.Stages = append(p.Stages, plan.Stage{Title: "hosts and what runs on them", Ops: ops})
		}
	}
	return nil
}

type builder struct {
	in      Input
	state   plan.State                    // before the plan
	st      plan.State                    // as virtual machines will be, as far as planned
	runs    map[model.Path][]plan.Subject // node → the declared virtual machines it runs
	stops   map[plan.Subject]plan.OpID    // declared virtual machine → the op that stops it
	missing map[string]bool               // names of images that are to be installed and are not built
	left    []plan.Left
	stays   map[model.Path]bool // the nodes of left
	notes   []string
	differs map[model.Path][]string  // adopted node → how it differs
	settled map[model.Path]plan.OpID // region → the op behind which its Ceph cluster is as declared
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
		if b.targeted(vm.Node) || b.restarts(vm) {
			ops = append(ops, b.vm(vm, last[vm.Node])...)
		}
	}
	if n := len(b.stops); n > 0 {
		b.note("%s: %s", map[bool]string{true: "this stops a virtual machine, with the node it runs on",
			false: fmt.Sprintf("this stops %d virtual machines, with the nodes they run on", n)}[n == 1], few(slices.Sorted(maps.Keys(b.stops))))
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

// restarts reports whether a virtual machine, whose node is no target, is stopped on another node and has to be started again.
func (b *builder) restarts(vm model.VM) bool {
	if b.stops[plan.VMSubject(vm.Name)] == "" {
		return false
	}
	ready := b.state.Get(plan.NodeSubject(vm.Node), plan.AttrKVM) == facts.KVMReady
	if !ready {
		b.note("virtual machine %s is stopped with the node it runs on, and not started again: its own node %s is not known to be ready and no target of this plan", vm.Name, vm.Node)
	}
	return ready
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
