package adopt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// bridgesOf describes a host's bridges. What the inventory would say of one is compared with what is there, in the planner's own way: a bridge that it cannot say
// truly is left out, and told.
func (x *describer) bridgesOf(h *host) {
	if h.OVS == nil {
		return
	}
	all := slices.Clone(h.OVS.Bridges)
	slices.SortFunc(all, func(a, b ovs.Bridge) int { return cmp.Compare(a.Name, b.Name) })
	for _, b := range all {
		about := "bridge " + b.Name + " of " + h.Name
		bridge, bond, err := x.bridge(h, b)
		if err != nil {
			x.remark(about, "it is left out, and nuboctl leaves it alone: %v", err)
			continue
		}
		for _, part := range silent(b) {
			x.remark(about, "the inventory has no word for its %s: it is described without, and that is not compared", part)
		}
		h.bridges = append(h.bridges, bridge)
		if bond != nil {
			h.bonds = append(h.bonds, *bond)
		}
		for _, v := range bridge.VLANs {
			h.node.Ports = append(h.node.Ports, model.Port{Name: v.Port, Network: v.Network, Address: h.ports[v.Port].address})
		}
	}
	slices.SortFunc(h.bonds, func(a, b model.Bond) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range sortedKeys(h.ports) {
		if !slices.ContainsFunc(h.node.Ports, func(p model.Port) bool { return p.Name == name }) {
			x.remark("address "+h.ports[name].address.String()+" of "+h.Name, "its port %s is on a bridge that is left out", name)
		}
	}
}

// bridge is one bridge in the inventory's words.
func (x *describer) bridge(h *host, b ovs.Bridge) (model.Bridge, *model.Bond, error) {
	out := model.Bridge{Name: b.Name}
	if !interfaceName.MatchString(b.Name) {
		return out, nil, fmt.Errorf("%q is no name that the inventory takes", b.Name)
	}
	var bond *model.Bond
	switch up := b.Uplinks(); len(up) {
	case 0:
	case 1:
		out.Uplink = up[0].Name
		var err error
		if bond, err = h.uplink(up[0]); err != nil {
			return out, nil, err
		}
	default:
		return out, nil, fmt.Errorf("it has %d uplinks (%s), and the inventory knows one", len(up), names(up))
	}
	for _, p := range b.Ports {
		if len(p.Interfaces) != 1 || p.Interfaces[0].Type != "internal" || p.Interfaces[0].Owner != "" {
			continue
		}
		n := x.networkOf(h.ports[p.Name].address)
		switch {
		case p.Tag == 0:
			return out, nil, fmt.Errorf("its internal port %s has no tag", p.Name)
		case n == nil:
			return out, nil, fmt.Errorf("its internal port %s has no address, so nobody knows its network", p.Name)
		case n.VLAN != p.Tag || !interfaceName.MatchString(p.Name):
			return out, nil, fmt.Errorf("its internal port %s has tag %d, and its network %s has VLAN %d", p.Name, p.Tag, n.Name, n.VLAN)
		}
		out.VLANs = append(out.VLANs, model.BridgeVLAN{Port: p.Name, Network: n.Name})
	}
	slices.SortFunc(out.VLANs, func(a, b model.BridgeVLAN) int { return cmp.Compare(a.Port, b.Port) })
	return x.settled(h, b, out, bond)
}

// settled sets the uplink's MTU where it does not follow from the networks, and compares.
func (x *describer) settled(h *host, b ovs.Bridge, out model.Bridge, bond *model.Bond) (model.Bridge, *model.Bond, error) {
	have := fleet.BridgesOf(ovs.State{Bridges: []ovs.Bridge{b}})
	wish := func() []model.Bridge {
		d := model.Desired{Profiles: []model.Profile{{Name: "p", Bridges: []model.Bridge{out}}}}
		if bond != nil {
			d.Profiles[0].Bonds = []model.Bond{*bond}
		}
		for _, n := range x.nets {
			d.Networks = append(d.Networks, n.Network)
		}
		n := h.node
		n.Profile = "p"
		return facts.Bridges(d, n)
	}
	if at := have[0].UplinkMTU; out.Uplink != "" && cmp.Or(wish()[0].UplinkMTU, 1500) != at {
		out.MTU = at
	}
	if diff := facts.BridgesDiffer(wish(), have); len(diff) > 0 {
		return out, nil, fmt.Errorf("the inventory would say it otherwise: %s", strings.Join(diff, "; "))
	}
	return out, bond, nil
}

// uplink checks that an uplink is a card or a bond of cards, and gives the bond.
func (h *host) uplink(p ovs.Port) (*model.Bond, error) {
	var bond *model.Bond
	if len(p.Interfaces) > 1 {
		bond = &model.Bond{Name: p.Name, Mode: cmp.Or(p.BondMode, "active-backup")}
		if !interfaceName.MatchString(p.Name) || !slices.Contains([]string{"active-backup", "balance-slb", "balance-tcp"}, bond.Mode) {
			return nil, fmt.Errorf("the inventory has no word for its bond %s in mode %s", p.Name, bond.Mode)
		}
	}
	for k, i := range p.Interfaces {
		at := slices.IndexFunc(h.cards, func(c *card) bool { return c.Name == i.Name })
		switch {
		case at < 0:
			return nil, fmt.Errorf("its uplink %s is no card", i.Name)
		case k > 0 && h.cards[at].claim.address.IsValid():
			return nil, fmt.Errorf("card %s in its bond has an address of its own", i.Name)
		case bond != nil:
			bond.Members = append(bond.Members, i.Name)
		}
	}
	return bond, nil
}

// silent names what is set on a bridge and neither said by an inventory nor compared.
func silent(b ovs.Bridge) []string {
	var out []string
	if b.Datapath != "" && b.Datapath != "system" {
		out = append(out, "datapath "+b.Datapath)
	}
	if b.FailMode != "" {
		out = append(out, "fail mode "+b.FailMode)
	}
	for _, p := range b.Uplinks() {
		if p.Tag != 0 || len(p.Trunks) > 0 {
			out = append(out, fmt.Sprintf("limit to VLANs on %s (tag %d, trunks %v)", p.Name, p.Tag, p.Trunks))
		}
	}
	return out
}

func names(ports []ovs.Port) string {
	var out []string
	for _, p := range ports {
		out = append(out, p.Name)
	}
	return strings.Join(out, ", ")
}
