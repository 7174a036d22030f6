package ovs

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Kind is what a change does.
type Kind string

// The kinds of changes.
const (
	AddBridge    Kind = "add-bridge"
	SetBridge    Kind = "set-bridge"
	AddPort      Kind = "add-port"
	RemovePort   Kind = "remove-port"
	SetPort      Kind = "set-port"
	SetInterface Kind = "set-interface"
)

// Change is one step of a transaction. Its order among others matters: removals come first.
type Change struct {
	Kind      Kind     `json:"kind"`
	Bridge    string   `json:"bridge"`
	Port      string   `json:"port,omitempty"`
	Interface string   `json:"interface,omitempty"`
	Members   []string `json:"members,omitempty"` // of AddPort
	Column    string   `json:"column,omitempty"`  // of the Set kinds, as ovs-vsctl names it
	From      string   `json:"from,omitempty"`
	To        string   `json:"to,omitempty"` // empty: back to the default
}

// String gives the change for people, with the glyphs of a plan.
func (c Change) String() string {
	switch c.Kind {
	case AddBridge:
		return "+ bridge " + c.Bridge
	case AddPort:
		if len(c.Members) > 1 {
			return fmt.Sprintf("+ bond %s of %s on %s", c.Port, strings.Join(c.Members, ", "), c.Bridge)
		}
		return fmt.Sprintf("+ port %s on %s", c.Port, c.Bridge)
	case RemovePort:
		return fmt.Sprintf("- port %s from %s", c.Port, c.Bridge)
	}
	name := c.Bridge
	if c.Interface != "" {
		name = c.Interface
	} else if c.Port != "" {
		name = c.Port
	}
	return fmt.Sprintf("~ %s: %s %s → %s", name, c.Column, shown(c.From), shown(c.To))
}

func shown(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// Diff gives the smallest change from what is observed to what is wanted, in an order in which it can be applied; empty when nothing is to
// be done. It is a pure function; applying the changes and observing again gives an empty Diff.
func Diff(observed State, wanted Spec) []Change {
	var removals, rest []Change
	for _, b := range sortedBridges(wanted) {
		have := observed.find(b.Name)
		if have == nil {
			have = &Bridge{Name: b.Name}
			rest = append(rest, Change{Kind: AddBridge, Bridge: b.Name})
		}
		rest = append(rest, bridgeChanges(*have, b)...)
		gone, more := portChanges(observed, *have, b)
		removals, rest = append(removals, gone...), append(rest, more...)
	}
	return append(dedupe(removals), rest...)
}

func sortedBridges(s Spec) []BridgeSpec {
	out := slices.Clone(s.Bridges)
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func bridgeChanges(have Bridge, want BridgeSpec) []Change {
	var out []Change
	if a, b := datapath(have.Datapath), datapath(want.Datapath); a != b {
		out = append(out, Change{Kind: SetBridge, Bridge: want.Name, Column: "datapath_type", From: have.Datapath, To: b})
	}
	if want.HWAddr != "" && have.HWAddr != want.HWAddr {
		out = append(out, Change{Kind: SetBridge, Bridge: want.Name, Column: "other_config:hwaddr", From: have.HWAddr, To: want.HWAddr})
	}
	if differs(have.MTURequest, want.MTU) {
		out = append(out, mtuChange(want.Name, want.Name, want.Name, have.MTURequest, want.MTU))
	}
	return out
}

// differs reports whether an MTU request is not as wanted. No wish is Ethernet's default, which nobody has to ask for; a bond's member, or a card, may
// have been given it by the boot script.
func differs(have, want int) bool {
	return have != want && !(want == 0 && have == defaultMTU)
}

// defaultMTU is Ethernet's, in bytes.
const defaultMTU = 1500

// datapath gives the default its name.
func datapath(s string) string {
	if s == "" {
		return "system"
	}
	return s
}

// mtuChange sets an MTU request. Without a wish the default is asked for: Open vSwitch keeps a device at its last MTU when the request is only cleared.
func mtuChange(bridge, port, iface string, from, to int) Change {
	to = cmp.Or(to, defaultMTU)
	return Change{Kind: SetInterface, Bridge: bridge, Port: port, Interface: iface, Column: "mtu_request", From: number(from), To: number(to)}
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// portChanges gives removals apart, since a device must leave one port before it can enter another.
func portChanges(all State, have Bridge, want BridgeSpec) (removals, rest []Change) {
	kept := map[string]Port{}
	for _, p := range have.Ports {
		spec := findPort(want, p.Name)
		switch {
		case spec != nil && sameMembers(p, *spec):
			kept[p.Name] = p
		case spec != nil, !p.foreign():
			removals = append(removals, Change{Kind: RemovePort, Bridge: have.Name, Port: p.Name})
		}
	}
	ports := slices.Clone(want.Ports)
	sort.SliceStable(ports, func(i, j int) bool { return ports[i].Name < ports[j].Name })
	for _, spec := range ports {
		p, ok := kept[spec.Name]
		if !ok {
			removals = append(removals, freeMembers(all, have.Name, spec)...)
			p = blank(spec)
			rest = append(rest, Change{Kind: AddPort, Bridge: want.Name, Port: spec.Name, Members: spec.members()})
		}
		rest = append(rest, settings(want, p, spec)...)
	}
	return removals, rest
}

func findPort(b BridgeSpec, name string) *PortSpec {
	for i := range b.Ports {
		if b.Ports[i].Name == name {
			return &b.Ports[i]
		}
	}
	return nil
}

// sameMembers reports whether the port has the devices that it shall have.
func sameMembers(p Port, spec PortSpec) bool {
	want := slices.Clone(spec.members())
	sort.Strings(want)
	have := make([]string, len(p.Interfaces))
	for i, iface := range p.Interfaces {
		have[i] = iface.Name
	}
	sort.Strings(have)
	return slices.Equal(have, want)
}

// freeMembers takes devices, and the port's name, out of whatever other port has them.
func freeMembers(all State, bridge string, spec PortSpec) []Change {
	var out []Change
	for _, b := range all.Bridges {
		for _, p := range b.Ports {
			if p.Name == spec.Name && b.Name == bridge {
				continue // removed by the caller
			}
			uses := p.Name == spec.Name || slices.ContainsFunc(p.Interfaces, func(i Interface) bool { return slices.Contains(spec.members(), i.Name) })
			if uses {
				out = append(out, Change{Kind: RemovePort, Bridge: b.Name, Port: p.Name})
			}
		}
	}
	return out
}

// blank is the port as add-port makes it.
func blank(spec PortSpec) Port {
	p := Port{Name: spec.Name}
	for _, m := range spec.members() {
		p.Interfaces = append(p.Interfaces, Interface{Name: m})
	}
	return p
}

// settings gives the columns that differ.
func settings(b BridgeSpec, have Port, want PortSpec) []Change {
	var out []Change
	for _, c := range []struct{ column, from, to string }{
		{"tag", number(have.Tag), number(want.Tag)},
		{"trunks", vlans(have.Trunks), vlans(want.Trunks)},
		{"bond_mode", have.BondMode, want.BondMode},
		{"lacp", have.LACP, want.lacp()},
	} {
		if c.from != c.to {
			out = append(out, Change{Kind: SetPort, Bridge: b.Name, Port: want.Name, Column: c.column, From: c.from, To: c.to})
		}
	}
	mtu := want.MTU
	if mtu == 0 {
		mtu = b.MTU
	}
	kind := ""
	if want.Internal {
		kind = "internal"
	}
	for _, i := range have.Interfaces {
		if i.Type != kind {
			out = append(out, Change{Kind: SetInterface, Bridge: b.Name, Port: want.Name, Interface: i.Name, Column: "type", From: i.Type, To: kind})
		}
		if differs(i.MTURequest, mtu) {
			out = append(out, mtuChange(b.Name, want.Name, i.Name, i.MTURequest, mtu))
		}
	}
	return out
}

// vlans gives a set of VLANs as ovs-vsctl reads it, sorted.
func vlans(tags []int) string {
	sorted := slices.Clone(tags)
	sort.Ints(sorted)
	words := make([]string, len(sorted))
	for i, t := range sorted {
		words[i] = strconv.Itoa(t)
	}
	return strings.Join(words, ",")
}

func dedupe(changes []Change) []Change {
	var out []Change
	seen := map[string]bool{}
	for _, c := range changes {
		if key := c.Bridge + "\x00" + c.Port; !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
	}
	return out
}
