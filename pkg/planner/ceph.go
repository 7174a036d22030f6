package planner

import (
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// cluster plans one region's Ceph: the cluster with its first monitor, the other monitors one after the other, the managers, the OSDs of all hosts at
// once, then metadata servers and object gateways, then pools, keys and the file system. last are the ops that each node's host waits for. It returns the ops, the last of which stands behind all others.
func (b *builder) cluster(r model.Region, last map[model.Path]plan.OpID) []plan.Op {
	c := &cephChain{b: b, region: r, sub: plan.CephSubject(r.Path), want: facts.ClusterValue(r.Ceph), nodes: staying(facts.CephNodes(b.in.Desired, r.Path)), last: last}
	if !slices.ContainsFunc(c.nodes, func(n model.Node) bool { return b.targeted(n.Path) }) {
		return nil
	}
	if r.Ceph.Adopted {
		b.adoptedCluster(c)
		return nil
	}
	switch have := b.state.Get(c.sub, plan.AttrCluster); {
	case have == c.want:
	case have != "":
		for _, n := range c.nodes {
			b.left = append(b.left, plan.Left{Node: n.Path, Text: "it is of the Ceph cluster " + have + ", and the inventory names " + c.want,
				Remedy: "correct fsid in the region's ceph block"})
		}
		return nil
	case !c.create():
		return nil
	}
	for _, n := range c.with(model.RoleCephMon) {
		c.add(plan.CephMon, n, plan.AttrMon, c.mons)
	}
	for _, n := range c.with(model.RoleCephMgr) {
		c.add(plan.CephMgr, n, plan.AttrMgr, c.mons)
	}
	before := c.all()
	for _, n := range c.with(model.RoleCephOSD) {
		c.add(plan.CephOSD, n, plan.AttrOSDs, before)
	}
	before = c.all()
	for _, n := range c.with(model.RoleCephOSD) {
		c.purgeLost(n, before)
	}
	c.oneByOne(model.RoleCephMDS, plan.CephMDS, plan.AttrMDS, before)
	c.oneByOne(model.RoleCephRGW, plan.CephRGW, plan.AttrRGW, before)
	if b.targeted(r.Path) || c.made {
		c.settle()
	}
	return c.ops
}

type cephChain struct {
	b      *builder
	region model.Region
	sub    plan.Subject
	want   string // of plan.AttrCluster
	nodes  []model.Node
	last   map[model.Path]plan.OpID
	ops    []plan.Op
	mons   []plan.OpID // what makes monitors; each waits for the one before
	made   bool        // this plan creates the cluster
}

// with are the targeted nodes with a role.
func (c *cephChain) with(role model.Role) []model.Node {
	var out []model.Node
	for _, n := range c.nodes {
		if slices.Contains(n.Roles, role) && c.b.targeted(n.Path) && !c.b.stays[n.Path] && !n.Adopted {
			out = append(out, n)
		}
	}
	return out
}

func (c *cephChain) all() []plan.OpID {
	var out []plan.OpID
	for _, o := range c.ops {
		out = append(out, o.ID)
	}
	return out
}

// host is the fact that a node runs the wanted host.
func (c *cephChain) host(n model.Node) plan.Fact {
	return plan.Fact{Subject: plan.NodeSubject(n.Path), Attr: plan.AttrHost, Value: string(facts.HostSpec(c.b.in.Images[n.Image.Name], n.Config))}
}

// create adds the op that makes the cluster, once every host that is to have a monitor is there: only then is it certain that there is none yet.
func (c *cephChain) create() bool {
	mons := c.with(model.RoleCephMon)
	if all := slices.DeleteFunc(slices.Clone(c.nodes), func(n model.Node) bool { return !slices.Contains(n.Roles, model.RoleCephMon) }); len(mons) < len(all) || len(all) == 0 {
		c.b.note("the Ceph cluster of %s is not known to be there, and not created: not all of its monitors' hosts are targets of this plan", c.region.Path)
		return false
	}
	op := plan.Op{ID: plan.ID(plan.CephCreate, c.sub), Kind: plan.CephCreate, Target: c.sub, Args: map[string]string{"first": mons[0].Name},
		Post: []plan.Fact{{Subject: c.sub, Attr: plan.AttrCluster, Value: c.want}, {Subject: plan.NodeSubject(mons[0].Path), Attr: plan.AttrMon, Value: plan.Up}}}
	c.b.st.Set(op.Post[1])
	for _, n := range mons {
		op.Pre = append(op.Pre, c.host(n))
		op.Needs = appendID(op.Needs, c.last[n.Path])
	}
	c.ops, c.mons, c.made = append(c.ops, op), []plan.OpID{op.ID}, true
	return true
}

// add adds an op that brings one attribute of a node up, unless it is.
func (c *cephChain) add(k plan.Kind, n model.Node, a plan.Attr, after []plan.OpID) {
	sub := plan.NodeSubject(n.Path)
	have := c.b.st.Get(sub, a)
	if have == plan.Up {
		return
	}
	op := plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Uses: []string{"rack:" + string(n.Path.Rack())},
		Pre:  []plan.Fact{c.host(n), {Subject: c.sub, Attr: plan.AttrCluster, Value: c.want}},
		Post: []plan.Fact{{Subject: sub, Attr: a, Value: plan.Up}}}
	if have != "" {
		op.Args = map[string]string{"now": have}
	}
	for _, id := range after {
		op.Needs = appendID(op.Needs, id)
	}
	op.Needs = appendID(op.Needs, c.last[n.Path])
	if k == plan.CephMon {
		c.mons = []plan.OpID{op.ID}
	}
	c.ops = append(c.ops, op)
}

// oneByOne adds the ops of metadata servers or of object gateways once there are OSDs: the first gateway makes the pools, and a change of one is over before the next
// one stops.
func (c *cephChain) oneByOne(role model.Role, k plan.Kind, a plan.Attr, before []plan.OpID) {
	for _, n := range c.with(role) {
		had := len(c.ops)
		c.add(k, n, a, before)
		if len(c.ops) > had {
			before = append(slices.Clone(before), c.ops[had].ID)
		}
	}
}

// purgeLost adds the op that removes OSDs whose disks are not in the node's machine any more, once everything else is in service: only then may they go.
func (c *cephChain) purgeLost(n model.Node, after []plan.OpID) {
	sub := plan.NodeSubject(n.Path)
	lost := c.b.st.Get(sub, plan.AttrLost)
	if lost == "" {
		return
	}
	op := plan.Op{ID: plan.ID(plan.CephPurge, sub), Kind: plan.CephPurge, Target: sub, Args: map[string]string{"osds": lost}, Uses: []string{"rack:" + string(n.Path.Rack())},
		Pre:  []plan.Fact{c.host(n), {Subject: c.sub, Attr: plan.AttrCluster, Value: c.want}, {Subject: sub, Attr: plan.AttrLost, Value: lost}},
		Post: []plan.Fact{{Subject: sub, Attr: plan.AttrLost}}}
	for _, id := range after {
		op.Needs = appendID(op.Needs, id)
	}
	op.Needs = appendID(op.Needs, c.last[n.Path])
	c.ops = append(c.ops, op)
	c.b.note("the disks of %s are not in the machine of %s any more: these OSDs are removed when every placement group has all its copies without them", lost, n.Path)
}

// staying are the nodes that do not leave.
func staying(list []model.Node) []model.Node {
	return slices.DeleteFunc(slices.Clone(list), model.Node.Leaves)
}

// settle adds the op for pools and keys behind all others.
func (c *cephChain) settle() {
	want := string(facts.CephSettings(c.region.Ceph))
	have := c.b.state.Get(c.sub, plan.AttrSettings)
	if have == want {
		return
	}
	op := plan.Op{ID: plan.ID(plan.CephSettle, c.sub), Kind: plan.CephSettle, Target: c.sub, Needs: c.all(),
		Pre:  []plan.Fact{{Subject: c.sub, Attr: plan.AttrCluster, Value: c.want}},
		Post: []plan.Fact{{Subject: c.sub, Attr: plan.AttrSettings, Value: want}}}
	if have != "" && !strings.HasPrefix(have, "sha256:") {
		op.Args = map[string]string{"now": have}
	}
	c.ops = append(c.ops, op)
}

func appendID(list []plan.OpID, id plan.OpID) []plan.OpID {
	if id == "" || slices.Contains(list, id) {
		return list
	}
	return append(list, id)
}
