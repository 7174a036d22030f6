// Package facts reduces observations to the facts that plans reason about. Planner and ops share it, so that what a plan expects and what
// an op reads back are the same words.
package facts

import (
	"cmp"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Unpinned stands for the serial number of a machine whose node names none: any machine that the BMC's address leads to.
const Unpinned = "any"

// KVMReady is the value of plan.AttrKVM when machines can run.
const KVMReady = "ready"

// NetBoot is the value of plan.AttrBoot, and of model.ObservedBMC.BootOnce, while the next boot is from the network.
const NetBoot = "network"

// The values of model.ObservedOrder.Phase. Stalled is an install that has not reported for longer than it may.
const (
	PhaseArmed     = "armed"
	PhaseStarted   = "started"
	PhaseStalled   = "stalled"
	PhaseInstalled = "installed"
	PhaseFailed    = "failed"
)

// Project reduces an observation to the facts that plans reason about. What could not be observed is absent.
func Project(d model.Desired, o model.Observed) plan.State {
	st := plan.State{}
	nodes := make(map[model.Path]model.Node, len(d.Nodes))
	for _, n := range d.Nodes {
		nodes[n.Path] = n
	}
	for _, on := range o.Nodes {
		n, ok := nodes[on.Path]
		if !ok {
			continue
		}
		set := func(a plan.Attr, v string) {
			st.Set(plan.Fact{Subject: plan.NodeSubject(n.Path), Attr: a, Value: v})
		}
		projectBMC(n, on.BMC, set)
		projectOrder(on.Order, set)
		projectHost(d, n, on.Host, set)
	}
	for _, vm := range o.VMs {
		if vm.Spec == "" || vm.State != "running" {
			continue
		}
		sub := plan.VMSubject(vm.Name)
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrVM, Value: string(vm.Spec)})
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrRuns, Value: string(vm.Node)})
	}
	return st
}

func projectBMC(n model.Node, b model.ObservedBMC, set func(plan.Attr, string)) {
	if !b.Reachable || (n.Serial != "" && b.Serial != n.Serial) {
		return
	}
	set(plan.AttrMachine, MachineValue(n))
	if b.Power != model.PowerUnknown {
		set(plan.AttrPower, string(b.Power))
	}
	set(plan.AttrBoot, b.BootOnce)
}

func projectOrder(o model.ObservedOrder, set func(plan.Attr, string)) {
	if o.Spec == "" || o.Phase == PhaseFailed {
		return
	}
	set(plan.AttrOrder, string(o.Spec))
	switch o.Phase {
	case PhaseStarted, PhaseInstalled:
		set(plan.AttrInstall, o.Phase)
	}
}

func projectHost(d model.Desired, n model.Node, h model.ObservedHost, set func(plan.Attr, string)) {
	if !h.Reachable {
		return
	}
	set(plan.AttrHost, string(HostSpec(h.Image, h.Config)))
	set(plan.AttrOVS, OVSValue(managed(d, n, h.OVS)))
	if h.Libvirt != "" {
		set(plan.AttrKVM, KVMReady)
	}
}

// managed leaves out bridges that the inventory does not know, such as libvirt's or OVN's own.
func managed(d model.Desired, n model.Node, have []model.Bridge) []model.Bridge {
	want := Bridges(d, n)
	var out []model.Bridge
	for _, b := range have {
		if slices.ContainsFunc(want, func(w model.Bridge) bool { return w.Name == b.Name }) {
			out = append(out, b)
		}
	}
	return out
}

// MachineValue is the value of plan.AttrMachine once the machine behind a node has been checked.
func MachineValue(n model.Node) string { return cmp.Or(n.Serial, Unpinned) }

// HostSpec is the digest by which an installed host is recognised: its image and its configuration.
func HostSpec(image, config model.Digest) model.Digest {
	return model.DigestJSON([]model.Digest{image, config})
}

// OVSValue is the digest of bridges as they can be observed: the network a bridge stands for is in no switch's database.
func OVSValue(list []model.Bridge) string {
	type bridge struct {
		Name, Uplink string
		MTU          int
		VLANs        []string
	}
	var out []bridge
	for _, b := range list {
		x := bridge{Name: b.Name, Uplink: b.Uplink, MTU: b.MTU}
		if x.MTU == 1500 {
			x.MTU = 0
		}
		for _, v := range b.VLANs {
			x.VLANs = append(x.VLANs, v.Port)
		}
		slices.Sort(x.VLANs)
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b bridge) int { return cmp.Compare(a.Name, b.Name) })
	if len(out) == 0 {
		return ""
	}
	return string(model.DigestJSON(out))
}

// VMSpec is the digest under which a virtual machine is defined; where it runs is not part of it.
func VMSpec(vm model.VM, image model.Digest) model.Digest {
	vm.Node = ""
	vm.Image.Digest = image
	return model.DigestJSON(vm)
}

func profileOf(d model.Desired, name string) model.Profile {
	for _, p := range d.Profiles {
		if p.Name == name {
			return p
		}
	}
	return model.Profile{}
}

// Bridges are the bridges that a node's profile asks for.
func Bridges(d model.Desired, n model.Node) []model.Bridge { return profileOf(d, n.Profile).Bridges }
