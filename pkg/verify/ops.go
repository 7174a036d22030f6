package verify

import (
	"slices"
	"strconv"
	"time"

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
	{"packages", "ops", packages},
	{"bake", "ops", bakes},
	{"ends of flags", "I10", ends},
}

// flagTimes are the arguments that say for how long a flag is set, and the longest that is accepted: noout keeps Ceph from making copies anew, and a cordon, which a drain
// leaves for weeks, its host from being used.
var flagTimes = []struct {
	arg     string
	longest time.Duration
}{{"noout", 4 * time.Hour}, {"for", 31 * 24 * time.Hour}}

// way is how a method changes hosts. Each host goes through the chain, as far as it needs its ops. Those between stand behind the one that brings the new
// specification and before SlotCommit; those beside stand anywhere. The batch has its own around all of them.
type way struct {
	goals                         []plan.Goal
	chain, between, beside, batch []plan.Kind
	brings                        plan.Kind
}

var ways = map[string]way{
	plan.MethodSlot: {
		goals: []plan.Goal{plan.GoalUpgrade, plan.GoalRollback, plan.GoalReinstall},
		chain: []plan.Kind{plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.CephStart, plan.CephRestore,
			plan.SlotCommit, plan.HostUncordon},
		brings:  plan.SlotBoot,
		between: []plan.Kind{plan.HostVerify, plan.HostConfig, plan.OVSEnsure, plan.KVMEnsure, plan.KVMMigrate},
		beside:  []plan.Kind{plan.SlotWrite}, // SlotBoot expects what it brings
		batch:   []plan.Kind{plan.BatchCertify, plan.BatchGate, plan.BatchBake},
	},
	plan.MethodReinstall: {
		goals: []plan.Goal{plan.GoalUpgrade, plan.GoalRollback, plan.GoalReinstall},
		chain: []plan.Kind{plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.OrderArm, plan.HostOff, plan.BootNetwork, plan.PowerOn, plan.InstallWait,
			plan.HostVerify, plan.CephStart, plan.CephRestore, plan.HostUncordon},
		brings:  plan.HostVerify,
		between: []plan.Kind{plan.HostConfig, plan.OVSEnsure, plan.KVMEnsure, plan.KVMMigrate, plan.KVMStorage},
		beside:  []plan.Kind{plan.BMCIdentify},
		batch:   []plan.Kind{plan.BatchCertify, plan.BatchGate, plan.BatchBake},
	},
	plan.MethodPackages: {
		goals:  []plan.Goal{plan.GoalUpgrade},
		chain:  []plan.Kind{plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.PackagesInstall, plan.CephStart, plan.CephRestore, plan.HostUncordon},
		brings: plan.PackagesInstall,
		beside: []plan.Kind{plan.PackagesFetch}, // PackagesInstall expects what it brings
		batch:  []plan.Kind{plan.BatchCertify, plan.BatchGate, plan.BatchBake},
	},
	plan.MethodDrain: {
		goals: []plan.Goal{plan.GoalDrain},
		chain: []plan.Kind{plan.HostCordon, plan.HostDrain},
		batch: []plan.Kind{plan.BatchCertify},
	},
}

// Which hosts need an op of a kind.
const (
	all      = iota
	running  // can run virtual machines, and were not drained by an operator, who is not to find them given back
	occupied // can run virtual machines, which do not stay, and are not drained and empty
	storing  // have OSDs, which stop: where virtual machines stay, for their own packages only
	serving  // have any daemons of Ceph, which stop
)

// spec stands for the specification that a host is brought to.
const spec = "the new specification"

type facts = map[plan.Attr]string

// contract is which hosts need an op of a kind, what it must expect, as far as its host has it, and bring about. What it does not name of guarded it must not touch.
var contract = map[plan.Kind]struct {
	of        int
	pre, post facts
}{
	plan.BatchCertify: {post: facts{plan.AttrCertified: plan.Yes}},
	plan.SlotWrite:    {post: facts{plan.AttrIdle: spec}},
	plan.HostCordon:   {of: running, post: facts{plan.AttrCordon: plan.Set}},
	plan.HostDrain:    {of: occupied, pre: facts{plan.AttrCordon: plan.Set}, post: facts{plan.AttrGuests: plan.None}},
	plan.CephNoout:    {of: storing, post: facts{plan.AttrNoout: plan.Set}},
	plan.CephStop:     {of: serving, pre: facts{plan.AttrNoout: plan.Set}, post: facts{plan.AttrCeph: plan.Stopped}},
	plan.SlotBoot:     {pre: facts{plan.AttrIdle: spec, plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped}, post: facts{plan.AttrHost: spec}},
	plan.HostVerify:   {post: facts{plan.AttrHost: spec}},
	plan.OrderArm: {pre: facts{plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped, plan.AttrNoout: plan.Set},
		post: facts{plan.AttrOrder: spec, plan.AttrInstall: ""}},

	plan.PackagesFetch:   {post: facts{plan.AttrStaged: spec}},
	plan.PackagesInstall: {pre: facts{plan.AttrStaged: spec, plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped}, post: facts{plan.AttrPackages: spec}},

	plan.HostOff: {pre: facts{plan.AttrOrder: spec, plan.AttrInstall: "", plan.AttrGuests: plan.None, plan.AttrCeph: plan.Stopped, plan.AttrNoout: plan.Set},
		post: facts{plan.AttrPower: "off", plan.AttrHost: "", plan.AttrDefault: ""}},
	plan.BootNetwork: {pre: facts{plan.AttrPower: "off"}, post: facts{plan.AttrBoot: "network"}},
	plan.PowerOn: {pre: facts{plan.AttrOrder: spec, plan.AttrInstall: "", plan.AttrPower: "off", plan.AttrBoot: "network"},
		post: facts{plan.AttrPower: "on", plan.AttrInstall: "started"}},
	plan.InstallWait:  {pre: facts{plan.AttrInstall: "started"}, post: facts{plan.AttrInstall: "installed"}},
	plan.CephStart:    {of: serving, pre: facts{plan.AttrHost: spec}, post: facts{plan.AttrCeph: plan.Up}},
	plan.CephRestore:  {of: storing, pre: facts{plan.AttrCeph: plan.Up}, post: facts{plan.AttrNoout: ""}},
	plan.SlotCommit:   {pre: facts{plan.AttrHost: spec}, post: facts{plan.AttrDefault: spec}},
	plan.HostUncordon: {of: running, pre: facts{plan.AttrHost: spec}, post: facts{plan.AttrCordon: "", plan.AttrGuests: ""}},
	plan.BatchGate:    {post: facts{plan.AttrGate: plan.Open}},
	plan.BatchBake:    {post: facts{plan.AttrBaked: plan.Yes}},
}

var guarded = []plan.Attr{plan.AttrCordon, plan.AttrGuests, plan.AttrNoout, plan.AttrCeph, plan.AttrHost, plan.AttrPackages, plan.AttrDefault, plan.AttrPower, plan.AttrOrder, plan.AttrInstall,
	plan.AttrRequire, plan.AttrCertified, plan.AttrGate, plan.AttrBaked}

// aboutKind names the kind of op that a host has when an attribute concerns it.
var aboutKind = map[plan.Attr]plan.Kind{plan.AttrGuests: plan.HostDrain, plan.AttrCeph: plan.CephStop, plan.AttrNoout: plan.CephNoout}

func (c *checker) way() way                          { return ways[c.policy.Method] }
func (c *checker) stage() plan.Stage                 { return c.plan.Stages[c.b.Stage] }
func (c *checker) id(k plan.Kind, h int32) plan.OpID { return plan.ID(k, plan.NodeSubject(c.path(h))) }
func (c *checker) ofBatch(k plan.Kind) plan.OpID     { return plan.ID(k, plan.BatchSubject(c.batch)) }

// needs lists the kinds of ops of the chain that a host of the batch needs.
func (c *checker) needs(h int32) []plan.Kind {
	host, is := c.fleet.Hosts[h], c.plan.Initial[plan.NodeSubject(c.path(h))]
	runs, osd := host.Class >= 0 || host.ClassAfter >= 0, c.keepsData(h)
	drained, stops := is[plan.AttrCordon] == plan.Drained, !c.policy.Stays || c.changesCeph(h)
	need := map[int]bool{all: true, running: runs && !drained, occupied: runs && !c.policy.Stays && !(drained && is[plan.AttrGuests] == plan.None), storing: stops && osd,
		serving: stops && (osd || is[plan.AttrCeph] != "")}
	return slices.DeleteFunc(slices.Clone(c.way().chain), func(k plan.Kind) bool { return !need[contract[k].of] })
}

// packagesOf are the packages that an op installs; nil when it does not say so.
func packagesOf(o *plan.Op) []plan.PackageVersion {
	if o == nil {
		return nil
	}
	list, err := plan.ParsePackages(o.Args[plan.ArgPackages])
	if err != nil {
		return nil
	}
	return list
}

// changesCeph reports whether a host of the batch gets packages of Ceph's daemons.
func (c *checker) changesCeph(h int32) bool {
	return slices.ContainsFunc(packagesOf(c.ops[c.id(plan.PackagesInstall, h)]), func(p plan.PackageVersion) bool { return plan.CephPackage(p.Name) })
}

// packages demands that every op that installs some names them, and that none takes the network of virtual machines away that stay.
func packages(c *checker) {
	for i, o := range c.stage().Ops {
		if o.Kind != plan.PackagesInstall {
			continue
		}
		list := packagesOf(&c.stage().Ops[i])
		c.must(len(list) > 0, c.b.Zone, "%s does not tell which packages it installs", o.ID)
		for _, p := range list {
			c.must(!c.policy.Stays || !plan.SwitchPackage(p.Name), c.b.Zone, "%s installs %s, which takes the network away from virtual machines that stay", o.ID, p.Name)
		}
	}
}

// bakes demands that a batch bakes for as long as the policy says: what the op waits for is its argument.
func bakes(c *checker) {
	if o := c.ops[c.ofBatch(plan.BatchBake)]; o != nil {
		want := strconv.FormatInt(c.policy.BakeSeconds, 10)
		c.must(o.Args["seconds"] == want, c.b.Zone, "%s waits for %q seconds, and the policy bakes for %s", o.ID, o.Args["seconds"], want)
	}
}

// ends demands of every flag whose end an op names that it ends while somebody still remembers it; the ends that ops have by themselves are short.
func ends(c *checker) {
	for _, o := range c.stage().Ops {
		for _, x := range flagTimes {
			text := o.Args[x.arg]
			holds, err := time.ParseDuration(text)
			c.must(text == "" || err == nil && holds > 0 && holds <= x.longest, c.b.Zone, "%s sets a flag for %q (argument %s), which is no time up to %s", o.ID, text, x.arg, x.longest)
		}
	}
}

func neededOps(c *checker) {
	for _, k := range c.way().batch {
		c.must(c.ops[c.ofBatch(k)] != nil || k == plan.BatchBake && c.policy.BakeSeconds == 0, c.b.Zone, "its stage lacks %s", c.ofBatch(k))
	}
	for _, h := range c.b.Hosts {
		for _, k := range c.needs(h) {
			c.must(c.ops[c.id(k, h)] != nil, c.path(h), "its stage lacks %s", c.id(k, h))
		}
	}
}

func foreignOps(c *checker) {
	fine := map[plan.OpID]bool{}
	for _, k := range c.way().batch {
		fine[c.ofBatch(k)] = true
	}
	for _, h := range c.b.Hosts {
		for _, k := range slices.Concat(c.needs(h), c.way().between, c.way().beside) {
			fine[c.id(k, h)] = true
		}
	}
	for _, o := range c.stage().Ops {
		c.must(fine[o.ID], c.b.Zone, "its stage holds %s, which it does not need", o.ID)
	}
}

// opsInOrder demands that the batch is certified before its first host is touched, that each host goes through the chain, what is between in its place, and that
// the gate comes after all of them, and then the bake.
func opsInOrder(c *checker) {
	w, gate := c.way(), c.ofBatch(plan.BatchGate)
	for _, h := range c.b.Hosts {
		line := []plan.OpID{c.ofBatch(plan.BatchCertify)}
		for _, k := range w.chain {
			line = append(line, c.id(k, h))
		}
		c.line(append(line, gate, c.ofBatch(plan.BatchBake)))
		for _, k := range w.between {
			c.line([]plan.OpID{c.id(w.brings, h), c.id(k, h), c.id(plan.SlotCommit, h), gate})
		}
	}
}

// line demands that each op of a list which is there waits for the one before it which is there.
func (c *checker) line(ids []plan.OpID) {
	ids = slices.DeleteFunc(ids, func(id plan.OpID) bool { return c.ops[id] == nil })
	for i := 1; i < len(ids); i++ {
		c.must(c.ops.waits(ids[i], ids[i-1]), c.b.Zone, "%s does not wait for %s", ids[i], ids[i-1])
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

// fact is what the contract says of an op's target. The new specification of a host is the one that SlotCommit makes the default, HostVerify finds, or PackagesInstall brings.
func (c *checker) fact(o plan.Op, attr plan.Attr, value string) plan.Fact {
	if attr == plan.AttrCordon && value == plan.Set && (c.policy.Drains() || c.plan.Initial.Get(o.Target, attr) == plan.Drained) {
		value = plan.Drained
	}
	if value == spec {
		if value = "none"; attr == plan.AttrHost && c.policy.InPlace() { // the host stays what it was laid down as
			attr = plan.AttrPackages
		}
		for _, k := range []plan.Kind{plan.HostVerify, plan.SlotCommit, plan.PackagesInstall} {
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

// waits reports whether an op certainly begins after another has ended.
func (x opIndex) waits(id, other plan.OpID) bool {
	seen := map[plan.OpID]bool{}
	for open := []plan.OpID{id}; len(open) > 0; open = open[1:] {
		o := x[open[0]]
		if o == nil || seen[o.ID] {
			continue
		}
		if slices.Contains(o.Needs, other) {
			return true
		}
		seen[o.ID] = true
		open = append(open, o.Needs...)
	}
	return false
}
