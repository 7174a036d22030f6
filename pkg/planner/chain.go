package planner

import (
	"cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// chain builds the ops of one node, one after the other, tracking what each leaves behind.
type chain struct {
	sub  plan.Subject
	uses []string
	bmc  string // its address
	boot string // the network that it boots from
	st   plan.State
	ops  []plan.Op
}

func (c *chain) fact(a plan.Attr, v string) plan.Fact {
	return plan.Fact{Subject: c.sub, Attr: a, Value: v}
}

func (c *chain) get(a plan.Attr) string { return c.st.Get(c.sub, a) }

// usesOf names what an op of a kind takes a share of.
func (c *chain) usesOf(k plan.Kind) []string {
	switch k {
	case plan.BMCIdentify, plan.PowerOff, plan.BootNetwork, plan.HostStart, plan.HostOff:
		return append([]string{"bmc:" + c.bmc}, c.uses...)
	case plan.OrderArm, plan.OrderRecall, plan.PowerOn, plan.InstallWait, plan.SlotWrite:
		return append([]string{"relay:" + c.boot}, c.uses...)
	default:
		return c.uses
	}
}

func (c *chain) add(k plan.Kind, args map[string]string, pre, post []plan.Fact) {
	op := plan.Op{ID: plan.ID(k, c.sub), Kind: k, Target: c.sub, Args: args, Pre: pre, Post: post, Uses: c.usesOf(k)}
	if len(c.ops) > 0 {
		op.Needs = []plan.OpID{c.ops[len(c.ops)-1].ID}
	}
	c.ops = append(c.ops, op)
	for _, f := range post {
		c.st.Set(f)
	}
}

// node plans one node: the host first, then what stands on it.
func (b *builder) node(n model.Node) []plan.Op {
	if n.Adopted {
		b.adopted(n)
		return nil
	}
	sub := plan.NodeSubject(n.Path)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(b.state[sub])}, uses: []string{"rack:" + string(n.Path.Rack())}, bmc: n.BMC.Address}
	if len(n.NICs) > 0 {
		c.boot = n.NICs[0].Network
	}
	image := b.in.Images[n.Image.Name]
	want := string(facts.HostSpec(image, n.Config))
	if c.get(plan.AttrHost) != want {
		if !b.host(c, n, image, want) {
			return nil
		}
	}
	b.services(c, n, want)
	return c.ops
}

// host adds the ops that end with the node running the wanted host; it reports false when the node is left as it is.
func (b *builder) host(c *chain, n model.Node, image model.Digest, want string) bool {
	current := c.get(plan.AttrOrder) == want
	installed := c.get(plan.AttrInstall) == facts.PhaseInstalled
	running := c.get(plan.AttrHost)
	switch {
	case current && installed:
		if c.get(plan.AttrPower) == string(model.PowerOff) {
			b.identify(c, n)
			c.add(plan.HostStart, nil, c.facts(plan.AttrMachine, facts.MachineValue(n)), c.facts(plan.AttrPower, "on"))
		}
	case current && c.get(plan.AttrInstall) == facts.PhaseStarted && c.get(plan.AttrPower) != string(model.PowerOff):
		c.await(nil)
	case (running != "" || installed) && running != plan.Anew:
		b.leave(n, running, image)
		return false
	case running != plan.Anew && b.in.Goal != plan.GoalReinstall && b.installedBefore(n):
		b.left = append(b.left, plan.Left{Node: n.Path, Text: "an order to lay its host down anew was given and not begun, and the host does not answer: it may be running, with what is on it",
			Remedy: "bring it back; or, when what runs there may end: nuboctl bmc power off " + n.Name + ", then: nuboctl reinstall " + n.Name})
		b.stays[n.Path] = true
		return false
	default:
		b.install(c, n, image, want)
	}
	c.add(plan.HostVerify, map[string]string{"image": string(image), "config": string(n.Config)},
		c.facts(plan.AttrInstall, facts.PhaseInstalled), c.facts(plan.AttrHost, want))
	return true
}

// installedBefore reports whether a node had a host before an order that has not been begun. A machine that came in the place of the node's former one had none.
func (b *builder) installedBefore(n model.Node) bool {
	for _, o := range b.in.Observed.Nodes {
		if o.Path == n.Path {
			return o.Order.Before && facts.Former(n, o.Order) == ""
		}
	}
	return false
}

// leave names a node whose host the goal does not write over: what is installed is not overwritten unasked.
func (b *builder) leave(n model.Node, running string, image model.Digest) {
	anew := "to lay its operating system down anew, keeping what outlives its slots and its other disks: nuboctl reinstall " + n.Name
	left := plan.Left{Node: n.Path, Text: "its host was installed from another image or configuration",
		Remedy: "to bring it there while what runs on it goes on: nuboctl upgrade " + n.Name + "; " + anew}
	switch {
	case image == "":
		left.Text = "it was installed, and image " + n.Image.Name + " is not in the image store, so the two cannot be compared"
		left.Remedy = "bring the image into the store: nuboctl image build " + n.Image.Name
	case running == "":
		left.Text, left.Remedy = "it was installed from another image or configuration and does not answer now", anew
	}
	b.left = append(b.left, left)
	b.stays[n.Path] = true
}

// install adds the ops from wherever the machine stands to facts.PhaseInstalled.
func (b *builder) install(c *chain, n model.Node, image model.Digest, want string) {
	if image == "" {
		b.missing[n.Image.Name] = true
	}
	b.mustBring(n, image)
	machine := facts.MachineValue(n)
	b.replaced(n)
	b.identify(c, n)
	if begun := c.get(plan.AttrInstall); c.get(plan.AttrOrder) != want || (begun != "" && begun != facts.PhaseStarted) {
		pre := c.facts(plan.AttrMachine, machine)
		switch off := string(model.PowerOff); {
		case c.get(plan.AttrHost) != plan.Anew:
			// A plan that was carried out does not justify itself again: by then these no longer hold.
			pre = append(pre, c.facts(plan.AttrHost, c.get(plan.AttrHost), plan.AttrInstall, begun)...)
		case c.get(plan.AttrPower) == off:
			// One that somebody has switched on since may run again what it ran, and boot the installer under its order whenever it restarts.
			pre = append(pre, c.fact(plan.AttrPower, off))
		}
		goal := "install"
		if b.in.Goal == plan.GoalReinstall {
			goal = "reinstall"
		}
		c.add(plan.OrderArm, map[string]string{
			"goal": goal, "image": string(image), "image_name": n.Image.Name, "config": string(n.Config), "root_device": n.RootDevice.String(),
		}, pre, append(c.facts(plan.AttrOrder, want, plan.AttrInstall, "", plan.AttrHost, "", plan.AttrOVS, "", plan.AttrKVM, "", plan.AttrFiles, "", plan.AttrDisks, "", plan.AttrMove, ""), b.nothingLeft(c)...))
	}
	if c.get(plan.AttrPower) != string(model.PowerOff) {
		c.add(plan.PowerOff, nil, c.facts(plan.AttrMachine, machine, plan.AttrOrder, want, plan.AttrInstall, c.get(plan.AttrInstall)),
			c.facts(plan.AttrPower, "off"))
	}
	if c.get(plan.AttrBoot) != facts.NetBoot {
		c.add(plan.BootNetwork, nil, c.facts(plan.AttrMachine, machine, plan.AttrInstall, c.get(plan.AttrInstall), plan.AttrPower, "off"),
			c.facts(plan.AttrBoot, facts.NetBoot))
	}
	c.powerOn(machine, want, nil)
	c.await(nil)
}

// nothingLeft are the facts that an order for a machine makes of what was there before.
func (b *builder) nothingLeft(c *chain) []plan.Fact {
	out := b.daemonsGone(c)
	if c.get(plan.AttrFormer) != "" { // the order is for the machine that is there now
		out = append(out, c.fact(plan.AttrFormer, ""))
	}
	return out
}

// daemonsGone are the facts that laying a node's system down makes of its Ceph daemons.
func (b *builder) daemonsGone(c *chain) []plan.Fact {
	b.st.Set(c.fact(plan.AttrDisks, "")) // libvirt's key goes too
	var out []plan.Fact
	for _, a := range []plan.Attr{plan.AttrMon, plan.AttrMgr, plan.AttrMDS, plan.AttrRGW, plan.AttrOSDs} {
		if c.get(a) != "" {
			out = append(out, c.fact(a, ""))
			b.st.Set(c.fact(a, ""))
		}
	}
	return out
}

func (b *builder) identify(c *chain, n model.Node) {
	if c.get(plan.AttrMachine) == facts.MachineValue(n) {
		return
	}
	c.add(plan.BMCIdentify, map[string]string{"bmc": n.BMC.Address, "serial": cmp.Or(n.Serial, facts.Unpinned)}, nil,
		c.facts(plan.AttrMachine, facts.MachineValue(n)))
}

// powerOn lets the armed order of a machine that is off begin; args are those of the op.
func (c *chain) powerOn(machine, want string, args map[string]string) {
	c.add(plan.PowerOn, args, c.facts(plan.AttrMachine, machine, plan.AttrOrder, want, plan.AttrInstall, c.get(plan.AttrInstall), plan.AttrPower, "off", plan.AttrBoot, facts.NetBoot),
		c.facts(plan.AttrPower, "on", plan.AttrBoot, "", plan.AttrInstall, facts.PhaseStarted))
}

func (c *chain) await(args map[string]string) {
	c.add(plan.InstallWait, args, c.facts(plan.AttrInstall, facts.PhaseStarted), c.facts(plan.AttrInstall, facts.PhaseInstalled))
}

// services adds what stands on a verified host.
func (b *builder) services(c *chain, n model.Node, want string) {
	if have := c.get(plan.AttrFiles); have != "" && have != facts.FilesKept {
		c.add(plan.HostConfig, map[string]string{"files": have}, c.facts(plan.AttrHost, want), c.facts(plan.AttrFiles, facts.FilesKept))
	}
	if v := facts.OVSValue(facts.Bridges(b.in.Desired, n)); v != "" && c.get(plan.AttrOVS) != v {
		c.add(plan.OVSEnsure, nil, c.facts(plan.AttrHost, want), c.facts(plan.AttrOVS, v))
	}
	for _, r := range n.Roles {
		if r == model.RoleCompute && c.get(plan.AttrKVM) != facts.KVMReady {
			c.add(plan.KVMEnsure, nil, c.facts(plan.AttrHost, want), c.facts(plan.AttrKVM, facts.KVMReady))
		}
	}
	if address, ok := facts.Migration(b.in.Desired, n); ok && c.get(plan.AttrMove) != address.String() {
		c.add(plan.KVMMigrate, map[string]string{"address": address.String()},
			c.facts(plan.AttrHost, want, plan.AttrKVM, facts.KVMReady), c.facts(plan.AttrMove, address.String()))
	}
}

// storage gives a node's hypervisor its key to the pools, once there are pools.
func (b *builder) storage(n model.Node, last plan.OpID) []plan.Op {
	sub, pools := plan.NodeSubject(n.Path), facts.Disks(b.in.Desired, n)
	if pools == "" || b.st.Get(sub, plan.AttrDisks) == pools || b.stays[n.Path] || n.Adopted {
		return nil
	}
	host := string(facts.HostSpec(b.in.Images[n.Image.Name], n.Config))
	op := plan.Op{ID: plan.ID(plan.KVMStorage, sub), Kind: plan.KVMStorage, Target: sub, Args: map[string]string{"pools": pools}, Uses: []string{"rack:" + string(n.Path.Rack())},
		Pre:  []plan.Fact{{Subject: sub, Attr: plan.AttrHost, Value: host}, {Subject: sub, Attr: plan.AttrKVM, Value: facts.KVMReady}},
		Post: []plan.Fact{{Subject: sub, Attr: plan.AttrDisks, Value: pools}}}
	op.Needs = appendID(appendID(op.Needs, last), b.settled[n.Path.Region()])
	return []plan.Op{op}
}

// facts pairs attributes with values for the chain's subject.
func (c *chain) facts(pairs ...any) []plan.Fact {
	out := make([]plan.Fact, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, c.fact(pairs[i].(plan.Attr), pairs[i+1].(string)))
	}
	return out
}

// vm plans one virtual machine behind the last op of its node.
func (b *builder) vm(vm model.VM, after plan.OpID) []plan.Op {
	sub := plan.VMSubject(vm.Name)
	spec := string(facts.VMSpec(vm, b.in.Images[vm.Image.Name]))
	node := plan.NodeSubject(vm.Node)
	if b.st.Get(sub, plan.AttrVM) == spec && b.st.Get(sub, plan.AttrRuns) != "" {
		return nil
	}
	if b.stays[vm.Node] && b.state.Get(node, plan.AttrKVM) != facts.KVMReady {
		b.note("virtual machine %s is not started: its node %s is left as it is, and is not known to be ready", vm.Name, vm.Node)
		return nil
	}
	op := plan.Op{
		ID: plan.ID(plan.VMEnsure, sub), Kind: plan.VMEnsure, Target: sub,
		Args: map[string]string{"node": string(vm.Node), "image": string(b.in.Images[vm.Image.Name])},
		Pre:  []plan.Fact{{Subject: node, Attr: plan.AttrKVM, Value: facts.KVMReady}},
		Post: []plan.Fact{{Subject: sub, Attr: plan.AttrVM, Value: spec}, {Subject: sub, Attr: plan.AttrRuns, Value: string(vm.Node)}},
		Uses: []string{"rack:" + string(vm.Node.Rack())},
	}
	if len(vm.Disks) > 0 {
		for _, n := range b.in.Desired.Nodes {
			if n.Path == vm.Node {
				op.Pre = append(op.Pre, plan.Fact{Subject: node, Attr: plan.AttrDisks, Value: facts.Disks(b.in.Desired, n)})
			}
		}
	}
	if after != "" {
		op.Needs = []plan.OpID{after}
	}
	op.Needs = appendID(op.Needs, b.settled[vm.Node.Region()]) // its disk may be an image there
	return []plan.Op{op}
}

func cloneFacts(m map[plan.Attr]string) map[plan.Attr]string {
	out := make(map[plan.Attr]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
