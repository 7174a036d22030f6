package verify

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// stageRules are about the ops of a batch: each host has exactly those that it needs, each waits for the one before, and each expects and brings what its
// kind means. That preconditions hold by then, and states follow from ops, is for plan.Validate.
var stageRules = []rule{
	{"ops that are needed", "ops", neededOps},
	{"ops of others", "ops", foreignOps},
	{"ops in order", "ops", opsInOrder},
	{"what ops expect", "ops", opsExpect},
	{"what ops bring", "ops", opsBring},
}

// chain are the kinds that a host goes through, in this order. Those of its batch stand around them.
var chain = []plan.Kind{plan.SlotWrite, plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.CephStart, plan.CephRestore,
	plan.SlotCommit, plan.HostUncordon}

// anew is the chain of a host that is laid down anew.
var anew = []plan.Kind{plan.HostCordon, plan.HostDrain, plan.OrderArm, plan.CephNoout, plan.CephStop, plan.HostOff, plan.BootNetwork, plan.PowerOn, plan.InstallWait,
	plan.HostVerify, plan.CephStart, plan.CephRestore, plan.HostUncordon}

// between are the kinds that a host may have once it runs the new specification, before SlotCommit or, laid down anew, before the gate.
var between = []plan.Kind{plan.HostVerify, plan.HostConfig, plan.OVSEnsure, plan.KVMEnsure, plan.KVMMigrate, plan.KVMStorage}

// way is the chain under the policy, the op of it that brings the new specification, and the kinds that may stand beside it.
func (c *checker) way() (kinds []plan.Kind, brings plan.Kind, beside []plan.Kind) {
	switch {
	case c.policy.Drains():
		return chain, plan.SlotBoot, nil
	case c.policy.Reinstalls():
		return anew, plan.HostVerify, append([]plan.Kind{plan.BMCIdentify}, between[1:]...)
	}
	return chain, plan.SlotBoot, append(between[:5:5], plan.SlotWrite)
}

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
	plan.OrderArm:     {nil, facts{plan.AttrOrder: spec, plan.AttrInstall: ""}},
	plan.HostOff: {facts{plan.AttrOrder: spec, plan.AttrInstall: "", plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped, plan.AttrNoout: plan.Set},
		facts{plan.AttrPower: "off", plan.AttrHost: "", plan.AttrDefault: ""}},
	plan.BootNetwork: {facts{plan.AttrPower: "off"}, facts{plan.AttrBoot: "network"}},
	plan.PowerOn: {facts{plan.AttrOrder: spec, plan.AttrInstall: "", plan.AttrPower: "off", plan.AttrBoot: "network"},
		facts{plan.AttrPower: "on", plan.AttrInstall: "started"}},
	plan.InstallWait:  {facts{plan.AttrInstall: "started"}, facts{plan.AttrInstall: "installed"}},
	plan.CephStart:    {facts{plan.AttrHost: spec}, facts{plan.AttrCeph: plan.Up}},
	plan.CephRestore:  {facts{plan.AttrCeph: plan.Up}, facts{plan.AttrNoout: ""}},
	plan.SlotCommit:   {facts{plan.AttrHost: spec}, facts{plan.AttrDefault: spec}},
	plan.HostUncordon: {facts{plan.AttrHost: spec}, facts{plan.AttrCordon: "", plan.AttrGuests: ""}},
	plan.BatchGate:    {nil, facts{plan.AttrGate: plan.Open}},
	plan.BatchBake:    {nil, facts{plan.AttrBaked: plan.Yes}},
}

type facts = map[plan.Attr]string

var guarded = []plan.Attr{plan.AttrCordon, plan.AttrGuests, plan.AttrNoout, plan.AttrCeph, plan.AttrHost, plan.AttrDefault, plan.AttrPower, plan.AttrOrder, plan.AttrInstall, plan.AttrCertified, plan.AttrGate, plan.AttrBaked}

// aboutKind names the kind of op that a host has when an attribute concerns it.
var aboutKind = map[plan.Attr]plan.Kind{plan.AttrGuests: plan.HostDrain, plan.AttrCeph: plan.CephStop, plan.AttrNoout: plan.CephNoout}

func (c *checker) stage() plan.Stage                 { return c.plan.Stages[c.b.Stage] }
func (c *checker) id(k plan.Kind, h int32) plan.OpID { return plan.ID(k, plan.NodeSubject(c.path(h))) }
func (c *checker) ofBatch(k plan.Kind) plan.OpID     { return plan.ID(k, plan.BatchSubject(c.batch)) }

// needs lists the kinds of ops that a host of the batch needs, in order. A slot may have been written before.
func (c *checker) needs(h int32) []plan.Kind {
	if c.policy.Drains() {
		return []plan.Kind{plan.HostCordon, plan.HostDrain}
	}
	host := c.fleet.Hosts[h]
	runs, osd := host.Class >= 0 || host.ClassAfter >= 0, c.keepsData(h)
	ceph := osd || c.plan.Initial.Get(plan.NodeSubject(host.Path), plan.AttrCeph) != ""
	kinds, _, _ := c.way()
	sub := plan.NodeSubject(host.Path)
	has := map[plan.Kind]bool{plan.OrderArm: true, plan.HostOff: true, plan.BootNetwork: true, plan.PowerOn: true, plan.InstallWait: true, plan.HostVerify: true, plan.HostCordon: runs && !c.drained(sub), plan.HostUncordon: runs && !c.drained(sub),
		plan.HostDrain: runs && !(c.drained(sub) && c.plan.Initial.Get(sub, plan.AttrGuests) == plan.None), plan.CephNoout: osd, plan.CephRestore: osd,
		plan.CephStop: ceph, plan.CephStart: ceph, plan.SlotBoot: true, plan.SlotCommit: true}
	return slices.DeleteFunc(slices.Clone(kinds), func(k plan.Kind) bool { return !has[k] })
}

// drained reports whether an operator has drained a host, who is not to find it given back.
func (c *checker) drained(host plan.Subject) bool {
	return c.plan.Initial.Get(host, plan.AttrCordon) == plan.Drained
}

func neededOps(c *checker) {
	batch := []plan.Kind{plan.BatchCertify, plan.BatchGate, plan.BatchBake}
	switch {
	case c.policy.Drains():
		batch = batch[:1]
	case c.policy.BakeSeconds == 0:
		batch = batch[:2]
	}
	for _, k := range batch {
		c.must(c.ops[c.ofBatch(k)] != nil, c.b.Zone, "its stage lacks %s", c.ofBatch(k))
	}
	for _, h := range c.b.Hosts {
		for _, k := range c.needs(h) {
			id := c.id(k, h)
			c.must(c.ops[id] != nil, c.path(h), "its stage lacks %s", id)
		}
	}
}

func foreignOps(c *checker) {
	_, _, more := c.way()
	whole := !c.policy.Drains()
	fine := map[plan.OpID]bool{c.ofBatch(plan.BatchCertify): true, c.ofBatch(plan.BatchGate): whole, c.ofBatch(plan.BatchBake): whole}
	for _, h := range c.b.Hosts {
		for _, k := range slices.Concat(c.needs(h), more) {
			fine[c.id(k, h)] = true
		}
	}
	for _, o := range c.stage().Ops {
		c.must(fine[o.ID], c.b.Zone, "its stage holds %s, which it does not need", o.ID)
	}
}

// opsInOrder demands that the batch is certified before its first host is touched, that each host goes through the chain, and that the gate
// comes after all of them.
func opsInOrder(c *checker) {
	kinds, brings, beside := c.way()
	c.follows(c.ofBatch(plan.BatchBake), c.ofBatch(plan.BatchGate))
	done := c.ops.before(c.ofBatch(plan.BatchGate))
	for _, h := range c.b.Hosts {
		last := plan.OpID("")
		for _, k := range kinds {
			id := c.id(k, h)
			if c.ops[id] == nil {
				continue
			}
			c.must(done[id] || c.policy.Drains(), c.path(h), "%s does not wait for %s", c.ofBatch(plan.BatchGate), id)
			c.follows(id, last)
			if k != plan.SlotWrite {
				c.follows(id, c.ofBatch(plan.BatchCertify))
			}
			last = id
		}
		for _, k := range beside {
			if k == plan.SlotWrite || k == plan.BMCIdentify {
				continue
			}
			c.follows(c.id(k, h), c.id(brings, h))
			c.follows(c.id(plan.SlotCommit, h), c.id(k, h))
			c.follows(c.ofBatch(plan.BatchGate), c.id(k, h))
		}
	}
}

// follows demands that an op waits for another, when both are there.
func (c *checker) follows(id, other plan.OpID) {
	if c.ops[id] != nil && c.ops[other] != nil {
		c.must(c.ops.before(id)[other], c.b.Zone, "%s does not wait for %s", id, other)
	}
}

// opsExpect demands the preconditions, so that the engine asks for them again when it begins the op.
func opsExpect(c *checker) {
	for _, o := range c.stage().Ops {
		for attr, want := range contract[o.Kind].pre {
			concerns := aboutKind[attr] == "" || c.ops[plan.ID(aboutKind[attr], o.Target)] != nil
			c.must(!concerns || slices.Contains(o.Pre, c.fact(o, attr, want)), c.b.Zone, "%s does not expect %s to be %q", o.ID, attr, want)
		}
	}
}

func opsBring(c *checker) {
	for _, o := range c.stage().Ops {
		means := contract[o.Kind].post
		for attr, want := range means {
			c.must(slices.Contains(o.Post, c.fact(o, attr, want)), c.b.Zone, "%s does not bring %s to %q", o.ID, attr, want)
		}
		for _, f := range o.Post {
			_, named := means[f.Attr]
			c.must(!slices.Contains(guarded, f.Attr) || named && f.Subject == o.Target, c.b.Zone, "%s must not bring %s of %s to %q", o.ID, f.Attr, f.Subject, f.Value)
		}
	}
}

// fact is what the contract says of an op's target. The new specification of a host is the one that SlotCommit makes the default, or HostVerify finds.
func (c *checker) fact(o plan.Op, attr plan.Attr, value string) plan.Fact {
	if attr == plan.AttrCordon && value == plan.Set && (c.policy.Drains() || c.drained(o.Target)) {
		value = plan.Drained
	}
	if value == spec {
		value = "none"
		for _, k := range []plan.Kind{plan.HostVerify, plan.SlotCommit} {
			if last := c.ops[plan.ID(k, o.Target)]; last != nil && len(last.Post) > 0 {
				value = last.Post[0].Value
			}
		}
	}
	return plan.Fact{Attr: attr, Subject: o.Target, Value: value}
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
	for open := []plan.OpID{id}; len(open) > 0; {
		o := x[open[0]]
		if open = open[1:]; o == nil {
			continue
		}
		for _, n := range o.Needs {
			if !out[n] {
				out[n] = true
				open = append(open, n)
			}
		}
	}
	return out
}
