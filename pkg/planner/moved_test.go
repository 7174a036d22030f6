package planner_test

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
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

func TestAHostThatCannotBeComparedIsLeftWithItsRemedy(t *testing.T) {
	in := running(2)
	delete(in.Images, "debian-13")
	p := mustMake(t, in)
	if !p.Empty() || len(p.Left) != 2 || !strings.Contains(p.Left[0].Remedy, "nuboctl image build debian-13") || len(p.Notes) != 0 {
		t.Errorf("left %+v, notes %v, ops %v", p.Left, p.Notes, kindsOf(p))
	}
}
