package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// withData is a region whose OSDs are known by their data, and of which every host answers at its BMC.
func withData(hosts int) planner.Input {
	in := rolled(hosts)
	in.Observed.Ceph[0].FSID = "cluster"
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].BMC = model.ObservedBMC{Reachable: true, Power: model.PowerOn}
		in.Observed.Ceph[0].OSDs[i].FSID = "fsid-" + in.Desired.Nodes[i].Name
		in.Observed.Ceph[0].Hosts = append(in.Observed.Ceph[0].Hosts, model.ObservedCephHost{Node: in.Desired.Nodes[i].Path, Running: []string{"osd"}})
	}
	return in
}

// The method reinstall takes every host through the same care as a slot does: emptied, its daemons stopped, and afterwards with the OSDs that it had.
func TestUpgradeByReinstall(t *testing.T) {
	in := withData(6)
	in.Desired.Rollout.Method = facts.MethodReinstall
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range p.Stages[0].Order() {
		kinds = append(kinds, string(o.Kind))
	}
	want := []string{"batch.certify", "host.cordon", "host.drain", "ceph.noout", "ceph.stop", "order.arm", "host.off", "boot.network", "power.on", "install.wait",
		"host.verify", "kvm.ensure", "ceph.start", "ceph.restore", "host.uncordon", "batch.gate", "batch.bake"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	host := p.Certificate.Fleet.Hosts[p.Certificate.Batches[0].Hosts[0]].Path
	data := plan.Fact{Attr: plan.AttrKept, Subject: plan.NodeSubject(host), Value: "osd.0=fsid-n00"}
	for _, o := range p.Stages[0].Ops {
		switch o.Kind {
		case plan.CephStop:
			if !slices.Contains(o.Pre, data) {
				t.Errorf("%s does not expect %v", o.ID, data)
			}
		case plan.CephStart:
			if !slices.Contains(o.Post, data) {
				t.Errorf("%s is not proven by %v", o.ID, data)
			}
		case plan.CephNoout:
			if o.Args["noout"] != planner.NooutHolds {
				t.Errorf("noout holds for %q", o.Args["noout"])
			}
		}
	}
	final := p.Final()
	for _, n := range in.Desired.Nodes {
		sub := plan.NodeSubject(n.Path)
		for a, v := range map[plan.Attr]string{plan.AttrHost: string(facts.HostSpec(imageDigest, n.Config)), plan.AttrCordon: "", plan.AttrNoout: "", plan.AttrGuests: "", plan.AttrCeph: plan.Up} {
			if final.Get(sub, a) != v {
				t.Errorf("%s: %s is %q", n.Path, a, final.Get(sub, a))
			}
		}
	}
}

// A reinstall of hosts that are as desired already lays them down again all the same, once: replanned from any of its stages it is the rest of itself.
func TestReinstallOfHostsThatRun(t *testing.T) {
	in := withData(6)
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.Image = imageDigest
	}
	in.Goal, in.Targets = plan.GoalReinstall, []model.Path{"s/r/az1"}
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Certificate.Batches); n != 6 || p.Certificate.Policy.Method != facts.MethodReinstall {
		t.Fatalf("%d batches by %s", n, p.Certificate.Policy.Method)
	}
	for i := range p.Stages {
		st := p.Initial.Clone()
		for _, s := range p.Stages[:i] {
			for _, o := range s.Ops {
				for _, f := range o.Post {
					st.Set(f)
				}
			}
		}
		again, err := planner.FromState(in, st)
		if err != nil || len(again.Stages) != len(p.Stages)-i {
			t.Errorf("from stage %d on there are %d stages, %v", i+1, len(again.Stages), err)
		}
	}
}

func TestAReinstallOfAHostInUseIsRefused(t *testing.T) {
	in := running(2)
	in.Desired.Regions = []model.Region{{Path: "lab/r1"}}
	in.Goal, in.Targets = plan.GoalReinstall, []model.Path{in.Desired.Nodes[1].Path}
	for i := range in.Desired.VMs {
		in.Desired.VMs[i].OnDrain = ""
	}
	for i := range in.Observed.VMs {
		in.Observed.VMs[i].VCPUs = 1 << 10 // nothing else has room for it
	}
	if r := refusal(t, in); r.Reasons[0].Invariant != "I3" {
		t.Errorf("got %v", r)
	}
	for i := range in.Desired.VMs {
		in.Desired.VMs[i].OnDrain = "stop_start"
	}
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Error(err)
	}
	if len(p.Certificate.Batches[0].Stops) != 2 || !slices.ContainsFunc(p.Notes, func(n string) bool {
		return strings.Contains(n, "with their owners' consent 2 virtual machines are stopped")
	}) {
		t.Errorf("stopped %v, notes %q", p.Certificate.Batches[0].Stops, p.Notes)
	}
}

// A host that does not answer may go on with what runs on it. Only its power tells.
func TestReinstallOfASilentHost(t *testing.T) {
	in := withData(6)
	silent := &in.Observed.Nodes[8]
	in.Goal, in.Targets = plan.GoalReinstall, []model.Path{silent.Path}
	silent.Host, silent.Order = model.ObservedHost{}, model.ObservedOrder{Spec: facts.HostSpec(older, in.Desired.Nodes[8].Config), Phase: facts.PhaseInstalled}
	if r := refusal(t, in); r.Reasons[0].Invariant != "I11" || !strings.Contains(r.Error(), "nuboctl bmc power off n08") {
		t.Errorf("it is on: %v", r)
	}
	done := silent.Order
	silent.Order.Phase, silent.Order.Before = facts.PhaseArmed, true
	if r := refusal(t, in); r.Reasons[0].Invariant != "I11" || !strings.Contains(r.Error(), "nuboctl bmc power off n08") {
		t.Errorf("it is on, and was given an order that it has not begun: %v", r)
	}
	silent.Order = done
	silent.BMC.Reachable, silent.BMC.Power = true, model.PowerOff
	p := mustMake(t, in)
	sub := plan.NodeSubject(silent.Path)
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if o.ID == plan.ID(plan.OrderArm, sub) && !slices.Contains(o.Pre, plan.Fact{Subject: sub, Attr: plan.AttrPower, Value: "off"}) {
				t.Errorf("its order is armed also when somebody has switched it on since: %v", o.Pre)
			}
		}
	}
	if p.Certificate != nil || !slices.Contains(kindsOf(p), "install.wait") || slices.Contains(kindsOf(p), "host.off") {
		t.Errorf("it is off: %v", kindsOf(p))
	}
	in.Targets = []model.Path{silent.Path, in.Desired.Nodes[9].Path}
	in.Desired.Rollout.MaxUnavailable, in.Desired.Rollout.Survive = "2", "A"
	if p = mustMake(t, in); len(p.Left) != 1 || p.Left[0].Node != silent.Path || p.Certificate == nil {
		t.Errorf("beside one that runs: left %v", p.Left)
	}
}
