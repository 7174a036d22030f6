package verify

import (
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// drain is a plan that is accepted: two hosts of one zone drained one after the other, while their daemons go on.
func drain(t testing.TB, batches ...plan.Ints) plan.Plan {
	t.Helper()
	f, _ := small()
	if len(batches) == 0 {
		batches = []plan.Ints{{no(0, 0, 0)}, {no(0, 0, 1)}}
	}
	for i := range f.Hosts {
		f.Hosts[i].ClassAfter = f.Hosts[i].Class
		f.Hosts[i].Change = slices.ContainsFunc(batches, func(b plan.Ints) bool { return slices.Contains(b, int32(i)) })
	}
	p := plan.Policy{Method: plan.MethodDrain, ReservePercent: 10, Times: plan.Times{Settle: 5}}
	out := rolloutOf(f, p, batches, func(f plan.Fleet, hosts plan.Ints, batch int) plan.Stage {
		s := stageOf(f, hosts, batch, func(int32) []plan.Kind { return []plan.Kind{plan.HostCordon, plan.HostDrain} })
		s.Ops = slices.DeleteFunc(s.Ops, func(o plan.Op) bool { return o.Kind == plan.BatchGate || o.Kind == plan.BatchBake })
		for i := range s.Ops {
			for _, list := range [][]plan.Fact{s.Ops[i].Pre, s.Ops[i].Post} {
				for j := range list {
					if list[j].Attr == plan.AttrCordon {
						list[j].Value = plan.Drained
					}
				}
			}
		}
		return s
	})
	out.Goal = plan.GoalDrain
	return out
}

func TestADrainIsAccepted(t *testing.T) {
	if err := Plan(drain(t)); err != nil {
		t.Error(err)
	}
	// What a batch of a rollout must not be: two members of a quorum, two failure domains, more hosts than the rollout's limits.
	if err := Plan(drain(t, plan.Ints{no(0, 0, 0), no(0, 1, 0)})); err != nil {
		t.Error(err)
	}
}

// A host that has its cordon already, and machines on it still, is drained on.
func TestADrainThatWasBrokenOffGoesOn(t *testing.T) {
	p := drain(t)
	p.Initial[first][plan.AttrCordon] = plan.Drained
	drop(t, &p, "host.cordon "+first)
	if match(&p); Plan(p) != nil {
		t.Error(Plan(p))
	}
	p.Initial[first][plan.AttrGuests] = plan.None
	if match(&p); !says(Plan(p), "ops", "holds host.drain "+first+", which it does not need") {
		t.Errorf("it is empty, and drained again: %v", Plan(p))
	}
}

// Every damage to a drain is found under its invariant.
func TestEveryDamageToADrainIsFound(t *testing.T) {
	add := func(p *plan.Plan, k plan.Kind) {
		o := op(k, first)
		o.Needs = []plan.OpID{plan.ID(plan.HostDrain, first)}
		o.Pre = slices.DeleteFunc(o.Pre, func(f plan.Fact) bool { return f.Attr != plan.AttrGuests })
		s := &p.Stages[cert(p).Batches[0].Stage]
		s.Ops = append(s.Ops, o)
	}
	for _, m := range []mutation{
		{name: "a machine goes to a host that was drained", rule: "I3", text: "which is down", damage: func(_ *testing.T, p *plan.Plan) { cert(p).Batches[1].Moves.To[0] = no(0, 0, 0) }},
		{name: "the daemons are stopped", rule: "ops", text: "which it does not need", damage: func(_ *testing.T, p *plan.Plan) { add(p, plan.CephStop) }},
		{name: "the host is restarted", rule: "ops", text: "which it does not need", damage: func(_ *testing.T, p *plan.Plan) { add(p, plan.SlotBoot) }},
		{name: "the host is given back", rule: "ops", text: "which it does not need", damage: func(_ *testing.T, p *plan.Plan) { add(p, plan.HostUncordon) }},
		{name: "the drain without a cordon", rule: "ops", text: "its stage lacks host.cordon", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "host.cordon "+first) }},
		{name: "the drain without its certificate", rule: "ops", text: "its stage lacks batch.certify", damage: func(t *testing.T, p *plan.Plan) { drop(t, p, "batch.certify") }},
		{name: "the drain beside its certificate", rule: "ops", text: "does not wait for batch.certify", damage: func(t *testing.T, p *plan.Plan) { find(t, p, "host.cordon "+first).Needs = nil }},
		{name: "a cordon of another host", rule: "I10", text: "sets cordon", damage: func(t *testing.T, p *plan.Plan) {
			o := find(t, p, "host.cordon "+first)
			o.Post = append(o.Post, plan.Fact{Attr: plan.AttrCordon, Subject: "node:s/r/az2/c/h1", Value: plan.Set})
		}},
		{name: "a machine stays", rule: "I3", text: "stays on", damage: func(_ *testing.T, p *plan.Plan) { unmove(&cert(p).Batches[0], 0) }},
		{name: "storage that is ill, claimed to be well", rule: "I2", text: "min_size", damage: func(_ *testing.T, p *plan.Plan) {
			set := cert(p).Fleet.Clusters[0].Pools[0].Acting
			set[0], set[1] = -1, -1
		}},
		{name: "a majority that is lost, claimed to be there", rule: "I1", text: "members up", damage: func(_ *testing.T, p *plan.Plan) {
			for _, h := range cert(p).Fleet.Groups[0].Hosts[2:] {
				cert(p).Fleet.Hosts[h].Down = true
			}
		}},
		{name: "a grade that is not reached", rule: "grade", text: "A+B+C needs 3", damage: func(_ *testing.T, p *plan.Plan) {
			cert(p).Batches[0].Grade = "A+B+C"
			cert(p).Fleet.Clusters[0].Pools[0].MinSize = 3
		}},
		{name: "a rollout by the rules of a drain", rule: "ops", text: "which it does not need", damage: func(t *testing.T, p *plan.Plan) {
			*p = good(t)
			p.Goal, cert(p).Policy.Method = plan.GoalDrain, plan.MethodDrain
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			p := drain(t)
			m.damage(t, &p)
			match(&p)
			if err := Plan(p); !says(err, m.rule, m.text) {
				t.Errorf("got %v\nwant %s: …%s…", err, m.rule, m.text)
			}
		})
	}
}

// Giving hosts back needs no certificate, under its own goal and with nothing else beside.
func TestGivingBackNeedsNoCertificate(t *testing.T) {
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUndrain, Initial: plan.State{first: {plan.AttrHost: "new", plan.AttrCordon: plan.Set}},
		Stages: []plan.Stage{{Title: "give back", Ops: []plan.Op{op(plan.HostUncordon, first)}}}, Provenance: plan.Provenance{Policy: model.DigestJSON(nil)}}
	plan.Seal(&p)
	if err := Plan(p); err != nil {
		t.Error(err)
	}
	for _, goal := range []plan.Goal{plan.GoalInstall, plan.GoalDrain, plan.GoalUpgrade} {
		if p.Goal = goal; Plan(p) == nil {
			t.Errorf("goal %s gives hosts back without a certificate", goal)
		}
	}
	p.Goal = plan.GoalUndrain
	for _, k := range []plan.Kind{plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.SlotCommit} {
		p.Stages[0].Ops[0].Kind = k
		if Plan(p) == nil {
			t.Errorf("an undrain holds %s without a certificate", k)
		}
	}
}
