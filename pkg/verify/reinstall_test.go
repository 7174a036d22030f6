package verify

import (
	"errors"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// reinstall is a plan that is accepted: the hand-made rollout with every host laid down anew.
func reinstall(t testing.TB) plan.Plan {
	t.Helper()
	f, p := small()
	p.Method = plan.MethodReinstall
	out := rolloutOf(f, p, smallBatches, func(f plan.Fleet, hosts plan.Ints, batch int) plan.Stage {
		return stageOf(f, hosts, batch, func(int32) []plan.Kind { return ways[plan.MethodReinstall].chain })
	})
	out.Stages = out.Stages[1:] // nothing is written beforehand
	for i := range cert(&out).Batches {
		cert(&out).Batches[i].Stage--
	}
	plan.Seal(&out)
	return out
}

func TestAReinstallIsAccepted(t *testing.T) {
	if err := Plan(reinstall(t)); err != nil {
		t.Error(err)
	}
}

// Every damage to a reinstall is found under its invariant.
func TestEveryDamageToAReinstallIsFound(t *testing.T) {
	ungate := func(p *plan.Plan, id plan.OpID, needs ...plan.OpID) {
		for i := range p.Stages[0].Ops {
			if o := &p.Stages[0].Ops[i]; o.ID == id {
				o.Needs = needs
			}
		}
	}
	for _, m := range []mutation{
		{name: "the machine goes off while its daemons run", rule: "ops", text: "its stage lacks ceph.stop", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "ceph.stop "+first) }},
		{name: "it goes off with virtual machines on it", rule: "ops", text: "its stage lacks host.drain", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "host.drain "+first) }},
		{name: "its power is cut instead", rule: "ops", text: "which it does not need", damage: func(t *testing.T, p *plan.Plan) {
			o := find(t, p, "host.off "+first)
			o.Kind, o.ID = plan.PowerOff, plan.ID(plan.PowerOff, first)
			find(t, p, "boot.network "+first).Needs = []plan.OpID{o.ID}
		}},
		{name: "it goes off without asking for its daemons", rule: "ops", text: "does not expect ceph", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "host.off "+first), plan.AttrCeph) }},
		{name: "it goes off without asking for virtual machines", rule: "ops", text: "does not expect guests", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "host.off "+first), plan.AttrGuests) }},
		{name: "it goes off without noout", rule: "ops", text: "does not expect noout", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "host.off "+first), plan.AttrNoout) }},
		{name: "it goes off before an order is armed", rule: "ops", text: "does not expect order", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "host.off "+first), plan.AttrOrder) }},
		{name: "an order is out while its daemons run", rule: "ops", text: "order.arm node:s/r/az1/a/h1 does not wait for ceph.stop", damage: func(t *testing.T, p *plan.Plan) {
			ungate(p, plan.ID(plan.OrderArm, first), plan.ID(plan.HostDrain, first))
			ungate(p, plan.ID(plan.HostOff, first), plan.ID(plan.OrderArm, first), plan.ID(plan.CephStop, first))
		}},
		{name: "an order is out without asking for virtual machines", rule: "ops", text: "does not expect guests", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "order.arm "+first), plan.AttrGuests) }},
		{name: "power on whatever the order is", rule: "ops", text: "does not expect order", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "power.on "+first), plan.AttrOrder) }},
		{name: "power on before it was off", rule: "ops", text: "does not wait for boot.network", damage: func(t *testing.T, p *plan.Plan) {
			ungate(p, plan.ID(plan.PowerOn, first), plan.ID(plan.CephStop, first))
		}},
		{name: "nobody looks at what came up", rule: "ops", text: "its stage lacks host.verify", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "host.verify "+first) }},
		{name: "the install is not waited for", rule: "ops", text: "its stage lacks install.wait", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "install.wait "+first) }},
		{name: "noout stays", rule: "ops", text: "its stage lacks ceph.restore", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "ceph.restore "+first) }},
		{name: "the daemons start on what nobody has seen", rule: "ops", text: "does not expect host", damage: func(t *testing.T, p *plan.Plan) { unpre(find(t, p, "ceph.start "+first), plan.AttrHost) }},
		{name: "a slot is booted beside", rule: "ops", text: "which it does not need", damage: func(t *testing.T, p *plan.Plan) {
			o := op(plan.SlotCommit, first)
			o.Needs = []plan.OpID{plan.ID(plan.HostVerify, first)}
			p.Stages[0].Ops = append(p.Stages[0].Ops, o)
		}},
		{name: "an op beside the chain says that the machine is off", rule: "ops", text: "must not bring power", damage: func(t *testing.T, p *plan.Plan) {
			o := op(plan.BMCIdentify, first)
			o.Post, o.Needs = []plan.Fact{{Attr: plan.AttrPower, Subject: first, Value: "off"}}, []plan.OpID{plan.ID(plan.CephStop, first)}
			find(t, p, "host.off "+first).Needs = []plan.OpID{o.ID}
			p.Stages[0].Ops = append(p.Stages[0].Ops, o)
		}},
		{name: "a rollout by slot under this method", rule: "ops", text: "its stage lacks order.arm", damage: func(t *testing.T, p *plan.Plan) {
			*p = good(t)
			cert(p).Policy.Method = plan.MethodReinstall
		}},
		{name: "a reinstall under the method slot", rule: "ops", text: "its stage lacks slot.boot", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Policy.Method = plan.MethodSlot }},
	} {
		t.Run(m.name, func(t *testing.T) {
			p := reinstall(t)
			m.damage(t, &p)
			match(&p)
			if err := Plan(p); !says(err, m.rule, m.text) {
				t.Errorf("got %v\nwant %s: …%s…", err, m.rule, m.text)
			}
		})
	}
}

// Nothing of a reinstall of hosts that run goes without a certificate; what an install of a machine that is off consists of does.
func TestAReinstallNeedsACertificate(t *testing.T) {
	for _, k := range ways[plan.MethodReinstall].chain {
		p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalReinstall, Stages: []plan.Stage{{Title: "reinstall", Ops: []plan.Op{op(k, first)}}}}
		if got := certificate(p, "") == nil; got != slices.Contains(installing, k) {
			t.Errorf("%s alone: %v", k, got)
		}
	}
}

// A machine on which a host answers is neither installed nor switched off by a plan without a certificate, whatever its goal is called; one that is to be laid anew, or carries nothing, is.
func TestWhatRunsIsNotInstalledOver(t *testing.T) {
	for _, goal := range []plan.Goal{plan.GoalInstall, plan.GoalReinstall} {
		for _, k := range []plan.Kind{plan.OrderArm, plan.PowerOff, plan.BootNetwork, plan.PowerOn} {
			for name, x := range map[string]struct {
				is   facts
				good bool
			}{
				"nothing":               {facts{plan.AttrPower: "on"}, true},
				"a host":                {facts{plan.AttrHost: "sha256:1"}, false},
				"a hypervisor":          {facts{plan.AttrHost: plan.Anew, plan.AttrKVM: "ready"}, false},
				"one to be laid anew":   {facts{plan.AttrHost: plan.Anew}, true},
				"a host, switched off?": {facts{plan.AttrHost: "sha256:1", plan.AttrPower: "off"}, false},
			} {
				p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: goal, Initial: plan.State{first: x.is}, Stages: []plan.Stage{{Title: "install", Ops: []plan.Op{op(k, first)}}}}
				if err := certificate(p, ""); (err == nil) != x.good || err != nil && !errors.Is(err, ErrNoCertificate) {
					t.Errorf("%s: %s of %s: %v", goal, k, name, err)
				}
			}
		}
	}
}

// Owners may consent to a stop of what could move as well: it is stopped or moved, and nothing else.
func TestAMachineThatCouldMoveMayBeStopped(t *testing.T) {
	p := good(t)
	x := cert(&p)
	b := x.Batches[0]
	vm := b.Moves.VM[0]
	unmove(&b, 0)
	b.Stops = plan.Ints{vm}
	b.Counts.Displaced = len(b.Moves.VM)
	if err := Batch(x.Fleet, x.Policy, b); !says(err, "I8", "without its owner's consent") {
		t.Errorf("without consent: %v", err)
	}
	x.Fleet.VMs.Consent = append(plan.Ints{vm}, x.Fleet.VMs.Consent...)
	if err := Batch(x.Fleet, x.Policy, b); err != nil {
		t.Errorf("with consent: %v", err)
	}
}
