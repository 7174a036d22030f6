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

// adopted compares a host that somebody else laid down with what the inventory says of it. Nothing of it is changed: what differs is told.
func (b *builder) adopted(n model.Node) {
	sub := plan.NodeSubject(n.Path)
	get := func(a plan.Attr) string { return b.state.Get(sub, a) }
	switch host := get(plan.AttrHost); {
	case host == "":
		b.differ(n, "it does not answer")
		return
	case host != string(facts.HostSpec("", "")):
		b.differ(n, "nuboctl laid it down, and its profile says that somebody else did")
		return
	case b.in.Goal == plan.GoalReinstall:
		b.differ(n, "somebody else laid it down, so it is not laid down anew")
	}
	if want := facts.Bridges(b.in.Desired, n); facts.OVSValue(want) != get(plan.AttrOVS) {
		b.differ(n, cmp.Or(strings.Join(facts.BridgesDiffer(want, b.bridges(n)), ", "), "its bridges are not as declared"))
	}
	if slices.Contains(n.Roles, model.RoleCompute) && get(plan.AttrKVM) != facts.KVMReady {
		b.differ(n, "libvirt does not answer")
	}
	if r := b.region(n); r.Ceph != nil && !r.Ceph.Adopted {
		b.daemons(n)
	}
}

// adoptedCluster compares a cluster that somebody else made with what the inventory says of it.
func (b *builder) adoptedCluster(c *cephChain) {
	first := c.nodes[0]
	if i := slices.IndexFunc(c.nodes, func(n model.Node) bool { return slices.Contains(n.Roles, model.RoleCephMon) }); i >= 0 {
		first = c.nodes[i]
	}
	switch have := b.state.Get(c.sub, plan.AttrCluster); {
	case have == "":
		b.differ(first, "the Ceph cluster does not answer")
		return
	case have != c.want:
		b.differ(first, "it is of the Ceph cluster "+have+", and the inventory names "+c.want)
		return
	}
	if have := b.state.Get(c.sub, plan.AttrSettings); have != string(facts.CephSettings(c.region.Ceph)) && b.targeted(c.region.Path) {
		b.differ(first, "the Ceph cluster is not as declared: "+cmp.Or(unlessDigest(have), "nothing is known of its pools"))
	}
	for _, n := range c.nodes {
		if b.targeted(n.Path) {
			b.daemons(n)
		}
	}
}

func unlessDigest(s string) string {
	if model.Digest(s).Valid() {
		return "it was looked at under another declaration"
	}
	return s
}

// daemons compares the daemons of a node that nuboctl does not set up.
func (b *builder) daemons(n model.Node) {
	for _, d := range []struct {
		role model.Role
		attr plan.Attr
		what string
	}{{model.RoleCephMon, plan.AttrMon, "its monitor"}, {model.RoleCephMgr, plan.AttrMgr, "its manager"}, {model.RoleCephMDS, plan.AttrMDS, "its metadata server"},
		{model.RoleCephRGW, plan.AttrRGW, "its object gateway"}, {model.RoleCephOSD, plan.AttrOSDs, "its OSDs"}} {
		if have := b.state.Get(plan.NodeSubject(n.Path), d.attr); slices.Contains(n.Roles, d.role) && have != plan.Up {
			b.differ(n, d.what+": "+cmp.Or(have, "not there"))
		}
	}
}

// differ keeps a difference of a node, to be told once for each.
func (b *builder) differ(n model.Node, format string) {
	b.differs[n.Path] = append(b.differs[n.Path], format)
}

// tellAdopted tells the differences, node by node.
func (b *builder) tellAdopted() {
	for _, n := range b.in.Desired.Nodes {
		list := b.differs[n.Path]
		if len(list) == 0 {
			continue
		}
		b.left = append(b.left, plan.Left{Node: n.Path, Text: "it is adopted, and differs: " + strings.Join(list, "; "),
			Remedy: fmt.Sprintf("bring it there by hand, or correct the inventory; to have nuboctl lay %s down: give it a profile without adopted, then nuboctl reinstall %s", n.Name, n.Name)})
	}
}

// bridges are those that were seen on a node.
func (b *builder) bridges(n model.Node) []model.Bridge {
	for _, o := range b.in.Observed.Nodes {
		if o.Path == n.Path {
			return o.Host.OVS
		}
	}
	return nil
}

func (b *builder) region(n model.Node) model.Region {
	for _, r := range b.in.Desired.Regions {
		if r.Path == n.Path.Region() {
			return r
		}
	}
	return model.Region{}
}
