package facts_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

const path = model.Path("lab/r1/az1/a/blade-01")

var (
	image   = model.DigestBytes([]byte("image"))
	config  = model.DigestBytes([]byte("config"))
	spec    = facts.HostSpec(image, config)
	bridges = []model.Bridge{{Name: "br-ex", Uplink: "bond0", Network: "provision", VLANs: []model.BridgeVLAN{{Port: "storage", Network: "storage"}, {Port: "mgmt", Network: "mgmt"}}}, {Name: "br-two"}}
)

func desired(serial string) model.Desired {
	return model.Desired{
		Profiles: []model.Profile{{Name: "p", Bridges: bridges}},
		Nodes:    []model.Node{{Path: path, Name: "blade-01", Profile: "p", Serial: serial}},
	}
}

type attrs = map[plan.Attr]string

func TestNodes(t *testing.T) {
	up := model.ObservedBMC{Reachable: true, Serial: "S1", Power: model.PowerOn}
	for _, tc := range []struct {
		name   string
		serial string
		node   model.ObservedNode
		want   attrs
	}{
		{"nothing is known", "", model.ObservedNode{}, nil},
		{"on", "", model.ObservedNode{BMC: up}, attrs{plan.AttrMachine: facts.Unpinned, plan.AttrPower: "on"}},
		{"the right serial number", "S1", model.ObservedNode{BMC: up}, attrs{plan.AttrMachine: "S1", plan.AttrPower: "on"}},
		{"another serial number", "S2", model.ObservedNode{BMC: up}, nil},
		{"no serial number to tell", "S2", model.ObservedNode{BMC: model.ObservedBMC{Reachable: true, Power: model.PowerOn}}, nil},
		{"an unreachable BMC with old values", "S1", model.ObservedNode{BMC: model.ObservedBMC{Serial: "S1", Power: model.PowerOn, BootOnce: "network", Error: "timeout"}}, nil},
		{"a BMC that cannot tell its power", "", model.ObservedNode{BMC: model.ObservedBMC{Reachable: true, Power: model.PowerUnknown}}, attrs{plan.AttrMachine: facts.Unpinned}},
		{"network next", "", model.ObservedNode{BMC: model.ObservedBMC{Reachable: true, Power: model.PowerOff, BootOnce: facts.NetBoot}},
			attrs{plan.AttrMachine: facts.Unpinned, plan.AttrPower: "off", plan.AttrBoot: facts.NetBoot}},
		{"armed", "", model.ObservedNode{Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseArmed}}, attrs{plan.AttrOrder: string(spec)}},
		{"started", "", model.ObservedNode{Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseStarted}}, attrs{plan.AttrOrder: string(spec), plan.AttrInstall: "started"}},
		{"stalled", "", model.ObservedNode{Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseStalled}}, attrs{plan.AttrOrder: string(spec)}},
		{"installed", "", model.ObservedNode{Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseInstalled}}, attrs{plan.AttrOrder: string(spec), plan.AttrInstall: "installed"}},
		{"failed", "", model.ObservedNode{Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseFailed}}, nil},
		{"an order without a spec", "", model.ObservedNode{Order: model.ObservedOrder{Phase: facts.PhaseStarted}}, nil},
		{"a host", "", model.ObservedNode{Host: model.ObservedHost{Reachable: true, Image: image, Config: config}}, attrs{plan.AttrHost: string(spec)}},
		{"a host with libvirt", "", model.ObservedNode{Host: model.ObservedHost{Reachable: true, Image: image, Config: config, Libvirt: "11"}}, attrs{plan.AttrHost: string(spec), plan.AttrKVM: facts.KVMReady}},
		{"a host that does not answer, with old values", "", model.ObservedNode{Host: model.ObservedHost{Image: image, Config: config, Libvirt: "11", OVS: bridges}}, nil},
		{"a host with bridges, ours and others", "", model.ObservedNode{Host: model.ObservedHost{Reachable: true, Image: image, Config: config, OVS: append([]model.Bridge{{Name: "br-int"}, {Name: "virbr0"}}, bridges...)}},
			attrs{plan.AttrHost: string(spec), plan.AttrOVS: facts.OVSValue(bridges)}},
		{"a host with other bridges only", "", model.ObservedNode{Host: model.ObservedHost{Reachable: true, Image: image, Config: config, OVS: []model.Bridge{{Name: "br-int"}}}}, attrs{plan.AttrHost: string(spec)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.node.Path = path
			want := plan.State{}
			if tc.want != nil {
				want[plan.NodeSubject(path)] = tc.want
			}
			if diff := cmp.Diff(want, facts.Project(desired(tc.serial), model.Observed{Nodes: []model.ObservedNode{tc.node}})); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a node that the inventory does not know", func(t *testing.T) {
		o := model.Observed{Nodes: []model.ObservedNode{{Path: "lab/r1/az1/a/other", BMC: up}}}
		if st := facts.Project(desired(""), o); len(st) != 0 {
			t.Errorf("got %v", st)
		}
	})
}

func TestVirtualMachines(t *testing.T) {
	o := model.Observed{VMs: []model.ObservedVM{
		{Name: "ours", Node: path, State: "running", Spec: spec},
		{Name: "stopped", Node: path, State: "shutoff", Spec: spec},
		{Name: "foreign", Node: path, State: "running"},
	}}
	want := plan.State{plan.VMSubject("ours"): {plan.AttrVM: string(spec), plan.AttrRuns: string(path)}}
	if diff := cmp.Diff(want, facts.Project(desired(""), o)); diff != "" {
		t.Error(diff)
	}
}

func TestOVSValue(t *testing.T) {
	base := facts.OVSValue(bridges)
	change := func(f func([]model.Bridge)) string {
		list := slices.Clone(bridges)
		for i := range list {
			list[i].VLANs = slices.Clone(list[i].VLANs)
		}
		f(list)
		return facts.OVSValue(list)
	}
	for name, got := range map[string]string{
		"MTU 1500 told":        change(func(l []model.Bridge) { l[0].MTU = 1500 }),
		"other order":          change(func(l []model.Bridge) { slices.Reverse(l) }),
		"other order of ports": change(func(l []model.Bridge) { slices.Reverse(l[0].VLANs) }),
		"network not told":     change(func(l []model.Bridge) { l[0].Network, l[0].VLANs[0].Network = "", "" }),
	} {
		if got != base {
			t.Errorf("%s makes a difference", name)
		}
	}
	for name, got := range map[string]string{
		"another MTU":    change(func(l []model.Bridge) { l[0].MTU = 9000 }),
		"another uplink": change(func(l []model.Bridge) { l[0].Uplink = "eth0" }),
		"a port less":    change(func(l []model.Bridge) { l[0].VLANs = l[0].VLANs[:1] }),
		"another bridge": change(func(l []model.Bridge) { l[1].Name = "br-three" }),
		"a bridge less":  facts.OVSValue(bridges[:1]),
	} {
		if got == base || got == "" {
			t.Errorf("%s makes no difference", name)
		}
	}
	if facts.OVSValue(nil) != "" || facts.OVSValue([]model.Bridge{}) != "" {
		t.Error("no bridges have a value")
	}
	before := slices.Clone(bridges[0].VLANs)
	facts.OVSValue(bridges)
	if !slices.Equal(before, bridges[0].VLANs) {
		t.Error("its argument was changed")
	}
}

func TestSpecs(t *testing.T) {
	if facts.HostSpec(image, config) == facts.HostSpec(config, image) || facts.HostSpec(image, "") == facts.HostSpec("", image) {
		t.Error("image and configuration can be taken for one another")
	}
	vm := model.VM{Name: "vm", Node: path, VCPUs: 1, Image: model.ImageRef{Name: "guest"}}
	moved := vm
	moved.Node = "lab/r1/az1/a/blade-02"
	larger := vm
	larger.VCPUs = 2
	if facts.VMSpec(vm, image) != facts.VMSpec(moved, image) {
		t.Error("where a machine runs is part of what it is")
	}
	if facts.VMSpec(vm, image) == facts.VMSpec(larger, image) || facts.VMSpec(vm, image) == facts.VMSpec(vm, config) {
		t.Error("a change of the machine is not seen")
	}
}

// Whatever is observed, no fact has an empty value, and what could not be observed has no fact at all.
func TestProjectionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "S1", "network", "on", "off", "unknown", "installed", "started", string(spec)})
		n := model.ObservedNode{Path: path,
			BMC:   model.ObservedBMC{Reachable: rapid.Bool().Draw(t, "bmc"), Serial: text.Draw(t, "serial"), Power: model.Power(text.Draw(t, "power")), BootOnce: text.Draw(t, "boot")},
			Order: model.ObservedOrder{Spec: model.Digest(text.Draw(t, "spec")), Phase: text.Draw(t, "phase")},
			Host:  model.ObservedHost{Reachable: rapid.Bool().Draw(t, "host"), Libvirt: text.Draw(t, "libvirt")}}
		st := facts.Project(desired(text.Draw(t, "pinned")), model.Observed{Nodes: []model.ObservedNode{n}})
		for sub, list := range st {
			if len(list) == 0 {
				t.Fatalf("%s has no facts and is there", sub)
			}
			for a, v := range list {
				if v == "" {
					t.Fatalf("%s of %s is empty and is there", a, sub)
				}
			}
		}
		sub := plan.NodeSubject(path)
		if !n.BMC.Reachable && st.Get(sub, plan.AttrMachine)+st.Get(sub, plan.AttrPower)+st.Get(sub, plan.AttrBoot) != "" {
			t.Fatal("facts of a machine whose BMC is unreachable")
		}
		if !n.Host.Reachable && st.Get(sub, plan.AttrHost)+st.Get(sub, plan.AttrKVM) != "" {
			t.Fatal("facts of a host that does not answer")
		}
	})
}
