package planner

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// NooutHolds is how long noout holds of a host that is laid down anew, as an argument of its ops: two boots of a large server and the image between them.
const NooutHolds = "1h"

// installBoots is how often a machine may boot from the network under one order: as often as orders allow.
const installBoots = "3"

// laysHosts reports whether a reinstall is of hosts that run: they are emptied first, in certified batches. Targets of which none answers have nothing that
// could be taken out of service; they are installed as at the first time.
func laysHosts(in Input) bool {
	if in.Goal != plan.GoalReinstall {
		return false
	}
	b, answers := builder{in: in}, map[model.Path]bool{}
	for _, n := range in.Observed.Nodes {
		answers[n.Path] = n.Host.Reachable
	}
	return slices.ContainsFunc(in.Desired.Nodes, func(n model.Node) bool { return b.targeted(n.Path) && !n.Leaves() && !n.Adopted && answers[n.Path] })
}

// reinstalls brings what a reinstall is to do again into the state: the mark is part of the initial state, so that replanning from the middle of a reinstall
// does not begin another.
func reinstalls(in Input, st plan.State) error {
	seen := map[model.Path]*model.ObservedNode{}
	for i := range in.Observed.Nodes {
		seen[in.Observed.Nodes[i].Path] = &in.Observed.Nodes[i]
	}
	b, running := builder{in: in}, laysHosts(in)
	var refusal Refusal
	for _, n := range in.Desired.Nodes {
		sub := plan.NodeSubject(n.Path)
		o := seen[n.Path]
		if !b.targeted(n.Path) || n.Leaves() || n.Adopted || o == nil || running && !o.Host.Reachable {
			continue
		}
		if why := mayRun(n, o); why != nil {
			refusal.Reasons = append(refusal.Reasons, *why)
			continue
		}
		if st.Get(sub, plan.AttrHost) == "" && st.Get(sub, plan.AttrInstall) != facts.PhaseInstalled {
			continue
		}
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrHost, Value: plan.Anew})
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrOrder})
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrInstall})
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

// mayRun refuses a host that was installed, does not answer, and may go on all the same with what runs on it: only its power tells.
func mayRun(n model.Node, o *model.ObservedNode) *Reason {
	loaded := facts.Carries(n) || slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(facts.CephRoles(), r) })
	installed := o.Order.Phase == facts.PhaseInstalled || o.Order.Before
	if o.Host.Reachable || !loaded || !installed || o.BMC.Power == model.PowerOff {
		return nil
	}
	return &Reason{Invariant: "I11", Place: n.Path, Text: "it does not answer and is not known to be off, so virtual machines and OSDs may be running on it, and a reinstall would end them",
		Remedy: "bring it back, so that they can be moved; or, when what runs there may end: nuboctl bmc power off " + n.Name + ", then: nuboctl reinstall " + n.Name}
}

// chooseAnew finds the targets that answer; all of them are laid down anew, whatever they run.
func (r *rollout) chooseAnew() {
	answers := map[model.Path]bool{}
	for _, n := range r.in.Observed.Nodes {
		answers[n.Path] = n.Host.Reachable
	}
	for i := range r.in.Desired.Nodes {
		n := &r.in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		switch {
		case !r.targeted(n.Path) || n.Leaves() || n.Adopted:
		case !answers[n.Path]:
			r.stay(n.Path, "it does not answer: it is not laid down anew with the others, and counts as lost in every batch", "bring it back, or switch it off (nuboctl bmc power off "+n.Name+"), then: nuboctl reinstall "+n.Name)
		default:
			r.want[n.Path] = string(facts.HostSpec(r.in.Images[n.Image.Name], n.Config))
			if r.in.Images[n.Image.Name] == "" {
				r.missing[n.Image.Name] = true
			}
		}
	}
}

func (r *rollout) lays() bool { return r.cert.Policy.Reinstalls() }

// arm signs the order of a host on which nothing runs any more: from then on a boot from the network lays it down, also one that nobody has asked for.
func (r *rollout) arm(c *chain, n *model.Node, want string, emptied []plan.Fact) {
	c.add(plan.OrderArm, map[string]string{
		"goal": "reinstall", "image": string(r.in.Images[n.Image.Name]), "image_name": n.Image.Name, "config": string(n.Config), "root_device": n.RootDevice.String(),
	}, append(c.facts(plan.AttrMachine, facts.MachineValue(*n)), emptied...), c.facts(plan.AttrOrder, want, plan.AttrInstall, ""))
}

// lay shuts an emptied host down and installs it again. What is known of the host that was there is not known of the one that comes.
func (r *rollout) lay(c *chain, n *model.Node, want string, emptied []plan.Fact) {
	machine := facts.MachineValue(*n)
	pre := append(c.facts(plan.AttrMachine, machine, plan.AttrOrder, want, plan.AttrInstall, ""), emptied...)
	c.add(plan.HostOff, map[string]string{"noout": NooutHolds}, pre, c.facts(plan.AttrPower, string(model.PowerOff), plan.AttrHost, "", plan.AttrOVS, "", plan.AttrKVM, "",
		plan.AttrFiles, "", plan.AttrDisks, "", plan.AttrMove, "", plan.AttrIdle, "", plan.AttrDefault, ""))
	c.add(plan.BootNetwork, nil, c.facts(plan.AttrMachine, machine, plan.AttrInstall, "", plan.AttrPower, string(model.PowerOff)), c.facts(plan.AttrBoot, facts.NetBoot))
	boots := map[string]string{"boots": installBoots}
	c.powerOn(machine, want, boots)
	c.await(boots)
	c.add(plan.HostVerify, map[string]string{"image": string(r.in.Images[n.Image.Name]), "config": string(n.Config)},
		c.facts(plan.AttrInstall, facts.PhaseInstalled), c.facts(plan.AttrHost, want))
}

// disks gives a host that was laid down anew its key to the Ceph pools again, where it had one.
func (r *rollout) disks(c *chain, n *model.Node, want string) {
	pools := facts.Disks(r.in.Desired, *n)
	if pools == "" || r.state.Get(c.sub, plan.AttrDisks) != pools || c.get(plan.AttrDisks) == pools {
		return
	}
	c.add(plan.KVMStorage, map[string]string{"pools": pools}, c.facts(plan.AttrHost, want, plan.AttrKVM, facts.KVMReady), c.facts(plan.AttrDisks, pools))
}
