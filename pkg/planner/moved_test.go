package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// running is a site in which every host is as desired, and the first virtual machine runs on the second node.
func running(nodes int) planner.Input {
	in := input(site(nodes))
	for _, n := range in.Desired.Nodes {
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: n.Path, BMC: model.ObservedBMC{Reachable: true, Power: "on"},
			Host: model.ObservedHost{Reachable: true, Image: imageDigest, Config: n.Config, Libvirt: "11", OVS: []model.Bridge{{Name: "br-ex", Uplink: "eth0"}}}})
	}
	for i, vm := range in.Desired.VMs {
		on := vm.Node
		if i == 0 {
			on = in.Desired.Nodes[1].Path
		}
		in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: vm.Name, Node: on, State: "running", Spec: facts.VMSpec(vm, in.Images["guest"])})
	}
	return in
}

// A virtual machine that runs on another node than its own is stopped with that node, and started again on its own only behind that.
func TestReinstallUnderAMovedMachine(t *testing.T) {
	in := running(2)
	if p := mustMake(t, in); !p.Empty() {
		t.Fatalf("a machine that somebody moved is no change: %v", kindsOf(p))
	}
	in.Goal = plan.GoalReinstall
	for name, targets := range map[string][]model.Path{"everything": nil, "the node it runs on": {in.Desired.Nodes[1].Path}} {
		in.Targets = targets
		p := mustMake(t, in)
		var found bool
		for _, o := range p.Stages[0].Ops {
			if o.ID == "vm.ensure vm:vm-1" {
				found = true
				if !slices.Contains(o.Needs, plan.ID(plan.PowerOff, plan.NodeSubject(in.Desired.Nodes[1].Path))) {
					t.Errorf("%s: it may be started before it is stopped: %v", name, o.Needs)
				}
			}
		}
		if !found {
			t.Errorf("%s: the machine is left stopped", name)
		}
	}
}

// When its own node is not known to be ready it cannot be started there, and the reader is told.
func TestStoppedAndNotStartedAgainIsTold(t *testing.T) {
	in := running(2)
	in.Goal, in.Targets = plan.GoalReinstall, []model.Path{in.Desired.Nodes[1].Path}
	in.Observed.Nodes[0].Host = model.ObservedHost{}
	p := mustMake(t, in)
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "vm-1 is stopped") }) {
		t.Errorf("notes: %v", p.Notes)
	}
}

func TestAHostThatCannotBeComparedIsLeftWithItsRemedy(t *testing.T) {
	in := running(2)
	delete(in.Images, "debian-13")
	p := mustMake(t, in)
	if !p.Empty() || len(p.Left) != 2 || !strings.Contains(p.Left[0].Remedy, "nuboctl image build debian-13") || len(p.Notes) != 0 {
		t.Errorf("left %+v, notes %v, ops %v", p.Left, p.Notes, kindsOf(p))
	}
}

// Without consent, nothing that runs is stopped by a reinstall: it is moved away first.
func TestAReinstallOfAHostInUseIsRefused(t *testing.T) {
	in := running(2)
	in.Goal, in.Targets = plan.GoalReinstall, []model.Path{in.Desired.Nodes[1].Path}
	for i := range in.Desired.VMs {
		in.Desired.VMs[i].OnDrain = ""
	}
	if r := refusal(t, in); r.Reasons[0].Invariant != "I8" || !strings.Contains(r.Error(), "nuboctl drain "+in.Desired.Nodes[1].Name) {
		t.Errorf("got %v", r)
	}
	for i := range in.Observed.VMs {
		in.Observed.VMs[i].State = "shutoff"
	}
	if p := mustMake(t, in); p.Empty() {
		t.Error("what is shut off is in the way")
	}
}
