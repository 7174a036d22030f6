package verify

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// chain are the kinds that a host goes through, in this order. Those of its batch stand around them.
var chain = []plan.Kind{plan.SlotWrite, plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.CephStart, plan.CephRestore,
	plan.SlotCommit, plan.HostUncordon}

// between are the kinds that a host may have between SlotBoot and SlotCommit.
var between = []plan.Kind{plan.HostVerify, plan.HostConfig, plan.OVSEnsure, plan.KVMEnsure, plan.KVMMigrate}

// spec stands for the specification that a host is brought to.
const spec = "the new specification"

// contract is what an op of a kind must expect, as far as its host has it, and bring about. What it does not name of guarded it must not touch.
var contract = map[plan.Kind]struct{ pre, post map[plan.Attr]string }{
	plan.BatchCertify: {nil, facts{plan.AttrCertified: plan.Yes}},
	plan.SlotWrite:    {nil, facts{plan.AttrIdle: spec}},
	plan.HostCordon:   {nil, facts{plan.AttrCordon: plan.Set}},
	plan.HostDrain:    {facts{plan.AttrCordon: plan.Set}, facts{plan.AttrGuests: plan.None}},
	plan.CephNoout:    {nil, facts{plan.AttrNoout: plan.Set}},
	plan.CephStop:     {facts{plan.AttrNoout: plan.Set}, facts{plan.AttrCeph: plan.Stopped}},
	plan.SlotBoot:     {facts{plan.AttrIdle: spec, plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped}, facts{plan.AttrHost: spec}},
	plan.HostVerify:   {nil, facts{plan.AttrHost: spec}},
	plan.CephStart:    {facts{plan.AttrHost: spec}, facts{plan.AttrCeph: plan.Up}},
	plan.CephRestore:  {facts{plan.AttrCeph: plan.Up}, facts{plan.AttrNoout: ""}},
	plan.SlotCommit:   {facts{plan.AttrHost: spec}, facts{plan.AttrDefault: spec}},
	plan.HostUncordon: {facts{plan.AttrHost: spec}, facts{plan.AttrCordon: "", plan.AttrGuests: ""}},
	plan.BatchGate:    {nil, facts{plan.AttrGate: plan.Open}},
	plan.BatchBake:    {nil, facts{plan.AttrBaked: plan.Yes}},
}

type facts = map[plan.Attr]string

var guarded = []plan.Attr{plan.AttrCordon, plan.AttrGuests, plan.AttrNoout, plan.AttrCeph, plan.AttrHost, plan.AttrDefault, plan.AttrCertified, plan.AttrGate, plan.AttrBaked}

// stageRules are about the ops of a batch.
var stageRules = []rule{
	{"ops that are needed", "ops", neededOps},
	{"ops of others", "ops", foreignOps},
	{"ops in order", "ops", opsInOrder},
	{"what ops expect", "ops", opsExpect},
	{"what ops bring", "ops", opsBring},
}

// needs lists the kinds of ops that a host of the batch needs, in order.
func (c *checker) needs(h int32) []plan.Kind {
	host := c.fleet.Hosts[h]
	_, osd := slices.BinarySearch(c.cluster.OSDHosts, h)
	runs := host.Class >= 0 || host.ClassAfter >= 0
	ceph := osd || c.plan.Initial.Get(plan.NodeSubject(host.Path), plan.AttrCeph) != ""
	has := map[plan.Kind]bool{plan.HostCordon: runs, plan.HostDrain: runs, plan.HostUncordon: runs, plan.CephNoout: osd, plan.CephRestore: osd,
		plan.CephStop: ceph, plan.CephStart: ceph, plan.SlotBoot: true, plan.SlotCommit: true}
	var out []plan.Kind
	for _, k := range chain {
		if has[k] {
			out = append(out, k)
		}
	}
	return out
}

// batchNeeds lists those that the batch itself needs, in order.
func (c *checker) batchNeeds() []plan.Kind {
	if c.policy.BakeSeconds > 0 {
		return []plan.Kind{plan.BatchCertify, plan.BatchGate, plan.BatchBake}
	}
	return []plan.Kind{plan.BatchCertify, plan.BatchGate}
}

func (c *checker) id(k plan.Kind, h int32) plan.OpID { return plan.ID(k, plan.NodeSubject(c.path(h))) }

func neededOps(c *checker) {
	for _, k := range c.batchNeeds() {
		if id := plan.ID(k, plan.BatchSubject(c.batch)); c.ops[id] == nil {
			c.wrong(c.b.Zone, "its stage lacks %s", id)
		}
	}
	for _, h := range c.b.Hosts {
		for _, k := range c.needs(h) {
			if c.ops[c.id(k, h)] == nil {
				c.wrong(c.path(h), "its stage lacks %s", c.id(k, h))
			}
		}
	}
}

func foreignOps(c *checker) {
	fine := map[plan.OpID]bool{plan.ID(plan.BatchBake, plan.BatchSubject(c.batch)): true}
	for _, k := range c.batchNeeds() {
		fine[plan.ID(k, plan.BatchSubject(c.batch))] = true
	}
	for _, h := range c.b.Hosts {
		for _, k := range slices.Concat(c.needs(h), between, []plan.Kind{plan.SlotWrite}) {
			fine[c.id(k, h)] = true
		}
	}
	for _, o := range c.stage().Ops {
		if !fine[o.ID] {
			c.wrong(c.b.Zone, "its stage holds %s, which it does not need", o.ID)
		}
	}
}

// opsInOrder demands that the batch is certified before its first host is touched, that each host goes through the chain, and that the gate
// comes after all of them.
func opsInOrder(c *checker) {
	batch := plan.BatchSubject(c.batch)
	certify, gate, bake := plan.ID(plan.BatchCertify, batch), plan.ID(plan.BatchGate, batch), plan.ID(plan.BatchBake, batch)
	c.mustFollow(bake, gate)
	before := c.ops.before(gate)
	for _, h := range c.b.Hosts {
		last := plan.OpID("")
		for _, k := range chain {
			id := c.id(k, h)
			if c.ops[id] == nil {
				continue
			}
			c.mustFollow(id, last)
			if k != plan.SlotWrite {
				c.mustFollow(id, certify)
			}
			if !before[id] {
				c.wrong(c.path(h), "%s does not wait for %s", gate, id)
			}
			last = id
		}
		for _, k := range between {
			c.mustFollow(c.id(k, h), c.id(plan.SlotBoot, h))
			c.mustFollow(c.id(plan.SlotCommit, h), c.id(k, h))
		}
	}
}

// mustFollow demands that an op waits for another, when both are there.
func (c *checker) mustFollow(id, other plan.OpID) {
	if c.ops[id] != nil && c.ops[other] != nil && !c.ops.before(id)[other] {
		c.wrong(c.b.Zone, "%s does not wait for %s", id, other)
	}
}

// opsExpect demands the preconditions, so that the engine asks for them again when it begins the op. That they hold by then is for plan.Validate.
func opsExpect(c *checker) {
	for _, o := range c.stage().Ops {
		for attr, want := range contract[o.Kind].pre {
			if c.concerns(o, attr) && !slices.Contains(o.Pre, c.fact(o, attr, want)) {
				c.wrong(c.b.Zone, "%s does not expect %s to be %q", o.ID, attr, want)
			}
		}
	}
}

// concerns reports whether a host has what an attribute is about.
func (c *checker) concerns(o plan.Op, attr plan.Attr) bool {
	return aboutKind[attr] == "" || c.ops[plan.ID(aboutKind[attr], o.Target)] != nil
}

// aboutKind names the kind of op that a host has when an attribute concerns it.
var aboutKind = map[plan.Attr]plan.Kind{plan.AttrGuests: plan.HostDrain, plan.AttrCeph: plan.CephStop, plan.AttrNoout: plan.CephNoout}

// fact is what the contract says of an op's target. The new specification of a host is the one that SlotCommit makes the default.
func (c *checker) fact(o plan.Op, attr plan.Attr, value string) plan.Fact {
	if value == spec {
		value = "none"
		if commit := c.ops[plan.ID(plan.SlotCommit, o.Target)]; commit != nil && len(commit.Post) > 0 {
			value = commit.Post[0].Value
		}
	}
	return plan.Fact{Attr: attr, Subject: o.Target, Value: value}
}

func opsBring(c *checker) {
	for _, o := range c.stage().Ops {
		for attr, want := range contract[o.Kind].post {
			if !slices.Contains(o.Post, c.fact(o, attr, want)) {
				c.wrong(c.b.Zone, "%s does not bring %s to %q", o.ID, attr, want)
			}
		}
		for _, f := range o.Post {
			if _, named := contract[o.Kind].post[f.Attr]; slices.Contains(guarded, f.Attr) && (!named || f.Subject != o.Target) {
				c.wrong(c.b.Zone, "%s must not bring %s of %s to %q", o.ID, f.Attr, f.Subject, f.Value)
			}
		}
	}
}

// opIndex finds the ops of a stage by id.
type opIndex map[plan.OpID]*plan.Op

func index(s plan.Stage) opIndex {
	out := make(opIndex, len(s.Ops))
	for i := range s.Ops {
		out[s.Ops[i].ID] = &s.Ops[i]
	}
	return out
}

// before are the ops that are certainly done before an op begins.
func (x opIndex) before(id plan.OpID) map[plan.OpID]bool {
	out := map[plan.OpID]bool{}
	var visit func(plan.OpID)
	visit = func(id plan.OpID) {
		if o := x[id]; o != nil {
			for _, n := range o.Needs {
				if !out[n] {
					out[n] = true
					visit(n)
				}
			}
		}
	}
	visit(id)
	return out
}

func (c *checker) stage() plan.Stage { return c.plan.Stages[c.b.Stage] }
