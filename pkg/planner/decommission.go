package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// InvariantWanted is the rule that the inventory says which nodes leave.
const InvariantWanted = "nothing leaves that the inventory asks for"

// decommission plans to take nodes out of service for good: what the inventory says to be retired or lost, and nothing else.
func (b *builder) decommission(p *plan.Plan) error {
	nodes, err := b.chooseLeaving()
	if err != nil {
		return err
	}
	if err := b.canLeave(nodes); err != nil {
		return err
	}
	var ops []plan.Op
	var last plan.OpID // monitors go one after the other
	for _, n := range nodes {
		chain := b.departure(n)
		for i := range chain {
			if chain[i].Kind == plan.CephLeave {
				chain[i].Needs = appendID(chain[i].Needs, last)
				last = chain[i].ID
			}
		}
		ops = append(ops, chain...)
		b.leaving(n)
	}
	if len(ops) > 0 {
		p.Stages = append(p.Stages, plan.Stage{Title: "out of service for good", Ops: ops,
			Invariants: []string{"no OSD goes while a placement group needs it", "every quorum keeps its majority"}})
	}
	return nil
}

// chooseLeaving gives the targets, which all have to leave.
func (b *builder) chooseLeaving() ([]model.Node, error) {
	if len(b.in.Targets) == 0 {
		return nil, &Refusal{Reasons: []Reason{{Invariant: InvariantWanted, Text: "nothing was named to be taken out of service", Remedy: "name it: nuboctl decommission NODE"}}}
	}
	var out []model.Node
	var refusal Refusal
	for _, n := range b.in.Desired.Nodes {
		switch {
		case !b.targeted(n.Path):
		case n.Adopted, inCluster(n) && b.region(n).Ceph != nil && b.region(n).Ceph.Adopted:
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: InvariantWanted, Place: n.Path, Text: "it, or the Ceph cluster that it is part of, is adopted: nuboctl takes nothing out there and wipes no disk",
				Remedy: "take it out by the tools that made it, then take it out of the inventory"})
		case n.Leaves():
			out = append(out, n)
		default:
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: InvariantWanted, Place: n.Path, Text: "the inventory has it in service, so the next plan would install it again",
				Remedy: `write state = "retired" into node ` + n.Name + ", apply that, and give the command again"})
		}
	}
	if len(refusal.Reasons) > 0 {
		return nil, &refusal
	}
	return out, nil
}

// departure gives what is still to be done until nothing of a node is in service. Each op brings the facts of those before it again, so that finding its
// effect proves that theirs are there.
func (b *builder) departure(n model.Node) []plan.Op {
	sub := plan.NodeSubject(n.Path)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(b.state[sub])}, uses: []string{"rack:" + string(n.Path.Rack())}, bmc: n.BMC.Address}
	var done []plan.Fact
	if inCluster(n) {
		done = b.outOfCluster(c, n)
	}
	if n.State == model.Lost {
		return c.ops
	}
	pre := slices.Clone(done)
	if full := c.get(plan.AttrWiped); full != "" && full != plan.Yes {
		pre = append(pre, c.fact(plan.AttrWiped, plan.Yes))
		c.add(plan.DiskWipe, map[string]string{"disks": full}, done, pre)
	}
	if c.get(plan.AttrPower) != string(model.PowerOff) {
		pre = append(slices.Clone(pre), c.fact(plan.AttrMachine, facts.MachineValue(n)))
		if facts.Carries(n) {
			pre = append(pre, c.facts(plan.AttrCordon, cmp.Or(c.get(plan.AttrCordon), plan.Set), plan.AttrGuests, plan.None)...)
		}
		b.identify(c, n)
		// What is on its disks is not to be seen once it is off.
		c.add(plan.PowerOff, nil, pre, append(slices.Clone(done), c.fact(plan.AttrPower, string(model.PowerOff))))
	}
	return c.ops
}

// outOfCluster adds what takes a node out of its region's Ceph cluster, and gives the facts that hold then.
func (b *builder) outOfCluster(c *chain, n model.Node) []plan.Fact {
	region := plan.CephSubject(n.Path.Region())
	there := []plan.Fact{{Subject: region, Attr: plan.AttrCluster, Value: b.state.Get(region, plan.AttrCluster)}}
	out := c.facts(plan.AttrData, plan.Out)
	if c.get(plan.AttrData) == plan.In {
		c.add(plan.CephOut, nil, there, out)
	}
	if c.get(plan.AttrData) != plan.None {
		empty := c.facts(plan.AttrData, plan.Out, plan.AttrEmpty, plan.Yes)
		if c.get(plan.AttrEmpty) != plan.Yes {
			c.add(plan.CephEmpty, nil, slices.Concat(there, out), empty)
		}
		c.add(plan.CephPurge, nil, slices.Concat(there, empty), c.facts(plan.AttrData, plan.None))
	}
	done := c.facts(plan.AttrData, plan.None)
	if c.get(plan.AttrMember) != plan.None {
		member := append(slices.Clone(done), c.fact(plan.AttrMember, plan.None))
		c.add(plan.CephLeave, map[string]string{"now": c.get(plan.AttrMember)}, slices.Concat(there, done), member)
	}
	return append(done, c.fact(plan.AttrMember, plan.None))
}

func inCluster(n model.Node) bool {
	return slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(facts.CephRoles(), r) })
}

// leaving tells what every plan tells of a node that leaves: what is still to be done, or that the inventory can do without it.
func (b *builder) leaving(n model.Node) {
	sub := plan.NodeSubject(n.Path)
	var rest []string
	if inCluster(n) {
		switch data := b.state.Get(sub, plan.AttrData); data {
		case plan.None:
		case "":
			rest = append(rest, "what its Ceph cluster still has of it is not known")
		default:
			rest = append(rest, "its Ceph cluster has OSDs of it")
		}
		if m := b.state.Get(sub, plan.AttrMember); m != plan.None && m != "" {
			rest = append(rest, "its Ceph cluster has its "+strings.ReplaceAll(m, ", ", " and its "))
		}
	}
	if n.State == model.Retired && b.state.Get(sub, plan.AttrPower) != string(model.PowerOff) {
		rest = append(rest, "it is not known to be switched off")
	}
	done := fmt.Sprintf("take node %s out of the inventory", n.Name)
	switch {
	case len(rest) == 0:
		b.note("%s is %s, and nothing of it is in service: %s", n.Path, n.State, done)
		if n.State == model.Retired && len(n.Consent) > 0 && b.state.Get(sub, plan.AttrWiped) != plan.Yes {
			b.note("%s: whether disks that it consents to lose were wiped is not seen while it is off; what was done is in the journal: nuboctl journal --node %s", n.Path, n.Name)
		}
	case b.in.Goal == plan.GoalDecommission:
		b.note("%s: when this plan is done, %s; until then plans leave it as it is", n.Path, done)
		b.keeps(n)
	default:
		b.left = append(b.left, plan.Left{Node: n.Path, Text: fmt.Sprintf("it is %s, and %s", n.State, strings.Join(rest, "; ")), Remedy: "nuboctl decommission " + n.Name})
	}
}

// keeps tells which disks of a node are left as they are, and what keeps naming it.
func (b *builder) keeps(n model.Node) {
	sub := plan.NodeSubject(n.Path)
	for _, c := range b.in.Observed.Ceph {
		for _, h := range c.Hosts {
			if kept := facts.Kept(h, n); h.Node == n.Path && len(kept) > 0 && n.State == model.Retired {
				b.note("%s: what is on its disks stays there: %s; to have them wiped, name their serial numbers in the node's consent", n.Path, strings.Join(kept, ", "))
			}
		}
	}
	if n.State == model.Retired {
		b.note("%s: the disk of its system is not wiped; the keys of the cluster's administrator and monitors are removed from it", n.Path)
	}
	if strings.Contains(b.state.Get(sub, plan.AttrMember), "mon") {
		b.note("%s: other hosts of its cluster name its monitor in their ceph.conf until a plan for %s is applied", n.Path, n.Path.Region())
	}
}
