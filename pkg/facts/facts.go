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

// FilesKept is the value of plan.AttrFiles, and of model.ObservedHost.Files, while all files of a host are as they were laid down.
const FilesKept = "as laid down"

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
		if former := Former(n, on.Order); former != "" { // what the order and the host tell is about another machine
			set(plan.AttrFormer, former)
			continue
		}
		projectOrder(on.Order, set)
		projectHost(d, n, on.Host, set)
	}
	for _, c := range o.Ceph {
		projectCeph(d, c, st)
	}
	projectGuests(o, st)
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

// projectGuests tells of every cordoned host on which no virtual machine runs that none does. Of others that is true for a moment only, and not told.
func projectGuests(o model.Observed, st plan.State) {
	used := map[model.Path]bool{}
	for _, vm := range o.VMs {
		used[vm.Node] = used[vm.Node] || Occupies(vm)
	}
	for _, n := range o.Nodes {
		if sub := plan.NodeSubject(n.Path); n.Host.Libvirt != "" && !used[n.Path] && st.Get(sub, plan.AttrCordon) != "" {
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrGuests, Value: plan.None})
		}
	}
}

// Occupies reports whether a virtual machine takes room on its host: all do but those that are shut off.
func Occupies(vm model.ObservedVM) bool { return vm.State != "shutoff" && vm.State != "crashed" }

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

// Former is the serial number of the machine that the node was last installed on, when the inventory has put another one behind it since; else empty.
func Former(n model.Node, o model.ObservedOrder) string {
	if o.Serial == "" || n.Serial == "" || o.Serial == n.Serial {
		return ""
	}
	return o.Serial
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
	set(plan.AttrFiles, h.Files)
	set(plan.AttrDisks, h.Disks)
	set(plan.AttrMove, h.Migration)
	if h.Idle != nil {
		set(plan.AttrIdle, string(HostSpec(h.Idle.Image, h.Idle.Config)))
	}
	if h.Default != nil {
		set(plan.AttrDefault, string(HostSpec(h.Default.Image, h.Default.Config)))
	}
	if p := h.Packages; p != nil && p.Against == d.Rollout.Snapshot.Digest {
		set(plan.AttrStaged, string(p.Staged))
		if Installed(d.Rollout.Snapshot, *p) {
			set(plan.AttrPackages, string(p.Done))
		}
	}
	if !h.Noout.IsZero() {
		set(plan.AttrNoout, plan.Set)
	}
	switch {
	case h.Cordoned.IsZero():
	case h.Drained:
		set(plan.AttrCordon, plan.Drained)
	default:
		set(plan.AttrCordon, plan.Set)
	}
}

// The values of model.ObservedPackage.Is.
const (
	PackageOlder = "older"
	PackageSame  = "same"
	PackageNewer = "newer"
)

// Installed reports whether a host has a snapshot: it was installed to its end, and nobody has changed a package of it since.
func Installed(s model.Snapshot, o model.ObservedPackages) bool {
	changed := slices.ContainsFunc(o.Installed, func(p model.ObservedPackage) bool { return p.Is != PackageSame })
	return o.Done == s.Digest && !changed && len(o.Installed) == len(s.Packages)
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

// OVSValue is the digest of bridges as they can be observed: names, uplinks with their bonds, tags and sizes. The network a bridge stands for is
// in no switch's database.
func OVSValue(list []model.Bridge) string {
	out := make([]model.Bridge, 0, len(list))
	for _, b := range list {
		out = append(out, canonical(b))
	}
	if len(out) == 0 {
		return ""
	}
	slices.SortFunc(out, func(a, b model.Bridge) int { return cmp.Compare(a.Name, b.Name) })
	return string(model.DigestJSON(out))
}

// canonical leaves out what cannot be observed, and writes the same thing in one way.
func canonical(b model.Bridge) model.Bridge {
	out := model.Bridge{Name: b.Name, Uplink: b.Uplink, MTU: mtu(b.MTU), UplinkMTU: mtu(b.UplinkMTU)}
	if b.Bond != nil {
		bond := model.Bond{Mode: cmp.Or(b.Bond.Mode, "active-backup"), Members: slices.Sorted(slices.Values(b.Bond.Members)), LACP: b.Bond.LACP}
		if bond.LACP == "off" {
			bond.LACP = ""
		}
		out.Bond = &bond
	}
	for _, v := range b.VLANs {
		out.VLANs = append(out.VLANs, model.BridgeVLAN{Port: v.Port, Tag: v.Tag, MTU: mtu(v.MTU)})
	}
	slices.SortFunc(out.VLANs, func(a, b model.BridgeVLAN) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// mtu gives Ethernet's default the value of one that was not set.
func mtu(n int) int {
	if n == 1500 {
		return 0
	}
	return n
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

// Bridges are the bridges that a node's profile asks for, with bonds, tags and sizes looked up: in the form in which they are observed.
func Bridges(d model.Desired, n model.Node) []model.Bridge {
	p := profileOf(d, n.Profile)
	out := slices.Clone(p.Bridges)
	for i := range out {
		b := &out[i]
		if i := slices.IndexFunc(p.Bonds, func(x model.Bond) bool { return x.Name == b.Uplink }); i >= 0 {
			bond := p.Bonds[i]
			if bond.Mode == "balance-tcp" {
				bond.LACP = "active" // it does not work without
			}
			b.Bond = &bond
		}
		own := b.MTU
		b.MTU = networkOf(d, bridgeNetwork(p, n, *b)).MTU // the profile's own word is for the uplink
		b.VLANs = slices.Clone(b.VLANs)
		for j := range b.VLANs {
			net := networkOf(d, b.VLANs[j].Network)
			b.VLANs[j].Tag, b.VLANs[j].MTU = net.VLAN, net.MTU
		}
		if b.Uplink != "" {
			b.UplinkMTU = cmp.Or(own, greatest(*b))
		}
	}
	return out
}

// greatest is the greatest MTU of what goes over a bridge; 0 when that is Ethernet's default.
func greatest(b model.Bridge) int {
	most := cmp.Or(b.MTU, 1500)
	for _, v := range b.VLANs {
		most = max(most, cmp.Or(v.MTU, 1500))
	}
	return mtu(most)
}

// bridgeNetwork is the network that a bridge's uplink is untagged on: its own word, or that of the uplink's first card.
func bridgeNetwork(p model.Profile, n model.Node, b model.Bridge) string {
	if b.Network != "" {
		return b.Network
	}
	card := b.Uplink
	if b.Bond != nil && len(b.Bond.Members) > 0 {
		card = b.Bond.Members[0]
	}
	for _, nic := range n.NICs {
		if nic.Name == card {
			return nic.Network
		}
	}
	return ""
}

func networkOf(d model.Desired, name string) model.Network {
	for _, n := range d.Networks {
		if n.Name == name {
			return n
		}
	}
	return model.Network{}
}
