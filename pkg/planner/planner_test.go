package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

var imageDigest = model.DigestBytes([]byte("image"))

func site(nodes int) model.Desired {
	d := model.Desired{Profiles: []model.Profile{{Name: "p", Bridges: []model.Bridge{{Name: "br-ex", Uplink: "eth0", Network: "provision"}}}}}
	for i := 1; i <= nodes; i++ {
		name := fmt.Sprintf("blade-%02d", i)
		path := model.Path("lab/r1/az1/a").Join(name)
		d.Nodes = append(d.Nodes, model.Node{
			Path: path, Name: name, Profile: "p", Roles: []model.Role{model.RoleCompute},
			Image: model.ImageRef{Name: "debian-13"}, Config: model.DigestBytes([]byte(name)),
			RootDevice: model.DeviceHints{Serial: "root-*"},
		})
		d.VMs = append(d.VMs, model.VM{Name: fmt.Sprintf("vm-%d", i), Node: path, Image: model.ImageRef{Name: "guest"}, OnDrain: "stop_start"})
	}
	return d
}

func input(d model.Desired) planner.Input {
	return planner.Input{Goal: plan.GoalInstall, Desired: d, Inventory: model.DigestBytes(nil),
		Images: map[string]model.Digest{"debian-13": imageDigest, "guest": model.DigestBytes([]byte("guest"))}}
}

func mustMake(t rapid.TB, in planner.Input) plan.Plan {
	t.Helper()
	p, err := planner.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Validate(p); err != nil {
		t.Fatalf("the planner made an invalid plan: %v", err)
	}
	if p.Certificate == nil {
		if err := verify.Plan(p); err != nil {
			t.Fatalf("the planner made a plan without a certificate that needs one: %v", err)
		}
	}
	return p
}

func kindsOf(p plan.Plan) []string {
	var out []string
	for _, s := range p.Stages {
		for _, o := range s.Order() {
			out = append(out, string(o.Kind))
		}
	}
	return out
}

func TestChains(t *testing.T) {
	d := site(1)
	n := d.Nodes[0]
	spec := facts.HostSpec(imageDigest, n.Config)
	up := model.ObservedHost{Reachable: true, Image: imageDigest, Config: n.Config, Libvirt: "11.3.0",
		OVS: []model.Bridge{{Name: "br-ex", Uplink: "eth0", MTU: 1500}, {Name: "br-int"}}}
	other := up
	other.Image = model.DigestBytes([]byte("older"))
	bmc := func(p model.Power, once string) model.ObservedBMC {
		return model.ObservedBMC{Reachable: true, Serial: "S1", Power: p, BootOnce: once}
	}
	vm := model.ObservedVM{Name: "vm-1", Node: n.Path, State: "running", Spec: facts.VMSpec(d.VMs[0], model.DigestBytes([]byte("guest")))}
	all := []string{"bmc.identify", "order.arm", "power.off", "boot.network", "power.on", "install.wait", "host.verify", "ovs.ensure", "kvm.ensure", "vm.ensure"}
	laidAnew := []string{"batch.certify", "host.cordon", "host.drain", "order.arm", "host.off", "boot.network", "power.on", "install.wait", "host.verify", "ovs.ensure", "kvm.ensure", "host.uncordon", "batch.gate"}
	for _, tc := range []struct {
		name string
		goal plan.Goal
		node *model.ObservedNode
		vms  []model.ObservedVM
		want []string
	}{
		{name: "nothing known", want: all},
		{name: "off", node: &model.ObservedNode{BMC: bmc("off", "")}, want: slices.Concat(all[1:2], all[3:])},
		{name: "on, not ours", node: &model.ObservedNode{BMC: bmc("on", "")}, want: all[1:]},
		{name: "armed and set", node: &model.ObservedNode{BMC: bmc("off", "network"), Order: model.ObservedOrder{Spec: spec, Phase: "armed"}}, want: all[4:]},
		{name: "installing", node: &model.ObservedNode{BMC: bmc("on", ""), Order: model.ObservedOrder{Spec: spec, Phase: "started"}}, want: all[5:]},
		{name: "died while installing", node: &model.ObservedNode{BMC: bmc("off", ""), Order: model.ObservedOrder{Spec: spec, Phase: "started"}}, want: all[3:]},
		{name: "silent while installing", node: &model.ObservedNode{BMC: bmc("on", ""), Order: model.ObservedOrder{Spec: spec, Phase: "stalled"}}, want: all[2:]},
		{name: "install failed", node: &model.ObservedNode{BMC: bmc("on", ""), Order: model.ObservedOrder{Spec: spec, Phase: "failed"}}, want: all[1:]},
		{name: "installed, silent", node: &model.ObservedNode{BMC: bmc("on", ""), Order: model.ObservedOrder{Spec: spec, Phase: "installed"}}, want: all[6:]},
		{name: "installed, off", node: &model.ObservedNode{BMC: bmc("off", ""), Order: model.ObservedOrder{Spec: spec, Phase: "installed"}}, want: slices.Concat([]string{"host.start"}, all[6:])},
		{name: "no vm", node: &model.ObservedNode{BMC: bmc("on", ""), Host: up}, want: all[9:]},
		{name: "as desired", node: &model.ObservedNode{BMC: bmc("on", ""), Host: up}, vms: []model.ObservedVM{vm}},
		{name: "bmc gone, host as desired", node: &model.ObservedNode{Host: up}, vms: []model.ObservedVM{vm}},
		{name: "reinstall", goal: plan.GoalReinstall, node: &model.ObservedNode{BMC: bmc("on", ""), Host: up}, vms: []model.ObservedVM{vm}, want: laidAnew},
		{name: "reinstall of another", goal: plan.GoalReinstall, node: &model.ObservedNode{BMC: bmc("on", ""), Host: other}, want: laidAnew},
		{name: "reinstall of what is off", goal: plan.GoalReinstall, node: &model.ObservedNode{BMC: bmc("off", ""), Order: model.ObservedOrder{Spec: spec, Phase: "installed"}}, want: slices.Concat(all[1:2], all[3:])},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := input(d)
			if tc.goal != "" {
				in.Goal = tc.goal
			}
			if tc.node != nil {
				tc.node.Path = n.Path
				in.Observed.Nodes = []model.ObservedNode{*tc.node}
			}
			in.Observed.VMs = tc.vms
			if diff := cmp.Diff(tc.want, kindsOf(mustMake(t, in))); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("another image is never overwritten by install", func(t *testing.T) {
		in := input(d)
		in.Observed.Nodes = []model.ObservedNode{{Path: n.Path, BMC: bmc("on", ""), Host: other}}
		p := mustMake(t, in)
		if diff := cmp.Diff([]string{"vm.ensure"}, kindsOf(p)); diff != "" {
			t.Errorf("its hypervisor is ready, its host is left:\n%s", diff)
		}
		if p.AsDesired() || len(p.Left) != 1 || p.Left[0].Node != n.Path || !strings.Contains(p.Left[0].Remedy, "nuboctl reinstall "+n.Name) {
			t.Errorf("left: %+v", p.Left)
		}
	})
	t.Run("an order that was not begun, and its host is silent", func(t *testing.T) {
		in := input(d)
		for _, armed := range []model.ObservedOrder{{Spec: spec, Phase: "armed", Before: true}, {Before: true}} {
			in.Observed.Nodes = []model.ObservedNode{{Path: n.Path, BMC: bmc("on", ""), Order: armed}}
			if p := mustMake(t, in); !p.Empty() || len(p.Left) != 1 || !strings.Contains(p.Left[0].Remedy, "nuboctl bmc power off "+n.Name) {
				t.Errorf("%v, left: %+v", kindsOf(p), p.Left)
			}
		}
		in.Observed.Nodes[0].Order = model.ObservedOrder{Spec: spec, Phase: "armed"}
		if p := mustMake(t, in); len(p.Left) != 0 || !slices.Contains(kindsOf(p), "install.wait") {
			t.Errorf("it never was installed: %v, left: %+v", kindsOf(p), p.Left)
		}
	})
	t.Run("another image, and its hypervisor is not ready", func(t *testing.T) {
		in, h := input(d), other
		h.Libvirt = ""
		in.Observed.Nodes = []model.ObservedNode{{Path: n.Path, BMC: bmc("on", ""), Host: h}}
		p := mustMake(t, in)
		if !p.Empty() || p.AsDesired() || !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "vm-1 is not started") }) {
			t.Errorf("%v, notes %v", kindsOf(p), p.Notes)
		}
	})
	t.Run("a node beside one that is left", func(t *testing.T) {
		in := input(site(2))
		in.Observed.Nodes = []model.ObservedNode{{Path: n.Path, BMC: bmc("on", ""), Host: other}}
		in.Observed.VMs = []model.ObservedVM{vm}
		p := mustMake(t, in)
		if diff := cmp.Diff(all, kindsOf(p)); diff != "" || len(p.Left) != 1 {
			t.Errorf("%v:\n%s", p.Left, diff)
		}
	})
	t.Run("a bridge changed by hand", func(t *testing.T) {
		in, h := input(d), up
		h.OVS = []model.Bridge{{Name: "br-ex"}}
		in.Observed = model.Observed{Nodes: []model.ObservedNode{{Path: n.Path, BMC: bmc("on", ""), Host: h}}, VMs: []model.ObservedVM{vm}}
		if diff := cmp.Diff([]string{"ovs.ensure"}, kindsOf(mustMake(t, in))); diff != "" {
			t.Error(diff)
		}
	})
}

// Replanning after any set of ops that could have been done yields the rest of the same plan; a stage's Before is one such set.
func TestReplanYieldsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := randomInput(t)
		p, err := planner.Make(in)
		if err != nil {
			t.Fatal(err)
		}
		st, done := p.Initial.Clone(), map[plan.OpID]bool{}
		for _, s := range p.Stages {
			for _, o := range s.Order() {
				ready := !slices.ContainsFunc(o.Needs, func(n plan.OpID) bool { return !done[n] })
				if !ready || !rapid.Bool().Draw(t, "do "+string(o.ID)) {
					continue
				}
				done[o.ID] = true
				for _, f := range o.Post {
					st.Set(f)
				}
			}
		}
		again, err := planner.FromState(in, st)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Validate(again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(remaining(p, done), remaining(again, done)); diff != "" {
			t.Fatalf("replanning differs from the rest (-rest +replanned):\n%s", diff)
		}
	})
}

func remaining(p plan.Plan, done map[plan.OpID]bool) []plan.Op {
	var out []plan.Op
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if done[o.ID] {
				continue
			}
			var needs []plan.OpID
			for _, n := range o.Needs {
				if !done[n] {
					needs = append(needs, n)
				}
			}
			o.Needs = needs
			out = append(out, o)
		}
	}
	return out
}

func randomInput(t *rapid.T) planner.Input {
	in := input(site(rapid.IntRange(1, 3).Draw(t, "nodes")))
	in.Goal = rapid.SampledFrom([]plan.Goal{plan.GoalInstall, plan.GoalReinstall}).Draw(t, "goal")
	for i, n := range in.Desired.Nodes {
		spec := facts.HostSpec(imageDigest, n.Config)
		on := model.ObservedNode{Path: n.Path}
		on.BMC.Reachable = rapid.Bool().Draw(t, "bmc")
		on.BMC.Power = rapid.SampledFrom([]model.Power{"on", "off", "unknown"}).Draw(t, "power")
		on.BMC.BootOnce = rapid.SampledFrom([]string{"", "network"}).Draw(t, "boot")
		on.Order.Phase = rapid.SampledFrom([]string{"", "armed", "started", "installed", "failed"}).Draw(t, "phase")
		if on.Order.Phase != "" {
			on.Order.Spec = spec
		}
		// A reinstall of hosts that answer is a rollout, and has tests of its own; of one that does not, only what is off is laid down anew.
		if in.Goal == plan.GoalReinstall {
			on.BMC.Power = "off"
		} else if on.Host.Reachable = rapid.Bool().Draw(t, "host"); on.Host.Reachable {
			on.Host.Image, on.Host.Config = rapid.SampledFrom([]model.Digest{imageDigest, model.DigestBytes([]byte("older"))}).Draw(t, "image"), n.Config
			on.Host.Libvirt = rapid.SampledFrom([]string{"", "11"}).Draw(t, "libvirt")
			if rapid.Bool().Draw(t, "vm") {
				vm := in.Desired.VMs[i]
				in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: vm.Name, Node: n.Path, State: "running",
					Spec: facts.VMSpec(vm, in.Images["guest"])})
			}
		}
		in.Observed.Nodes = append(in.Observed.Nodes, on)
	}
	return in
}

func TestSameInputSameBytes(t *testing.T) {
	a, err := plan.Encode(mustMake(t, input(site(3))))
	if err != nil {
		t.Fatal(err)
	}
	b, err := plan.Encode(mustMake(t, input(site(3))))
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("two plans of the same input differ")
	}
	p, err := plan.Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mustMake(t, input(site(3))), p); diff != "" {
		t.Errorf("a plan changed on its way through its file:\n%s", diff)
	}
}

func TestTargets(t *testing.T) {
	in := input(site(3))
	in.Targets = []model.Path{"lab/r1/az1/a/blade-02"}
	p := mustMake(t, in)
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if n, ok := o.Target.Node(); ok && n != in.Targets[0] {
				t.Errorf("%s is outside the target", o.ID)
			}
		}
	}
	if !slices.Contains(kindsOf(p), "vm.ensure") {
		t.Error("the target's virtual machine is missing")
	}
}

func BenchmarkMake(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := input(site(n))
			for b.Loop() {
				if _, err := planner.Make(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
