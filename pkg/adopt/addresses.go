package adopt

import (
	"cmp"
	"net"
	"net/netip"
	"regexp"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// card is a network card of a host, with the address that the inventory gives it.
type card struct {
	Link
	claim claim
}

// claim is an address of a host, and how it was found.
type claim struct {
	address netip.Prefix
	on      string // the device that carries it
	tag     int    // VLAN of that device; 0: untagged
	port    bool   // the device is an internal port of a bridge
	mtu     int    // of the device
}

var interfaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]{0,14}$`)

// addresses finds a host's cards, and gives every address to the card or the bridge's port to which the inventory would write it.
func (x *describer) addresses(h *host) {
	about := "host " + h.Name
	for _, l := range h.Links {
		if !h.isCard(l) {
			continue
		}
		if mac, err := net.ParseMAC(l.MAC); err != nil || len(mac) != 6 || mac[0]&1 == 1 || !interfaceName.MatchString(l.Name) {
			x.remark(about, "card %s with address %q cannot be written down", l.Name, l.MAC)
			continue
		}
		if x.macTaken(l.MAC) {
			x.remark(about, "card %s has MAC address %s, which another card has too", l.Name, l.MAC)
			continue
		}
		h.cards = append(h.cards, &card{Link: l})
	}
	slices.SortFunc(h.cards, func(a, b *card) int { return cmp.Compare(a.Name, b.Name) })
	for _, reached := range []bool{true, false} { // the address by which it is reached goes first
		for _, l := range h.Links {
			for _, a := range l.Addresses {
				if (a.Addr() == h.Reached) == reached {
					x.claim(h, l, a)
				}
			}
		}
	}
	if !h.holds(h.Reached) {
		x.remark(about, "it was reached by %s, which is no address of a card or a bridge's port that could be described, so nuboctl will not find it", h.Reached)
	}
}

func (h *host) holds(a netip.Addr) bool {
	for _, p := range h.ports {
		if p.address.Addr() == a {
			return true
		}
	}
	return slices.ContainsFunc(h.cards, func(c *card) bool { return c.claim.address.Addr() == a })
}

func (x *describer) macTaken(mac string) bool {
	for _, o := range x.hosts {
		if slices.ContainsFunc(o.cards, func(c *card) bool { return c.MAC == mac }) {
			return true
		}
	}
	return false
}

// isCard reports whether a device is what the host itself uses as a card. The end of a cable into a container is not, unless the host has an address on it or
// gave it to a bridge.
func (h *host) isCard(l Link) bool {
	if l.Kind == "veth" {
		_, up := h.uplinkOf(l.Name)
		return up || len(l.Addresses) > 0
	}
	return l.Kind == ""
}

// uplinkOf finds the bridge and the port of which a device is an uplink.
func (h *host) uplinkOf(device string) (ovs.Bridge, bool) {
	if h.OVS == nil {
		return ovs.Bridge{}, false
	}
	for _, b := range h.OVS.Bridges {
		for _, p := range b.Uplinks() {
			if slices.ContainsFunc(p.Interfaces, func(i ovs.Interface) bool { return i.Name == device }) {
				return b, true
			}
		}
	}
	return ovs.Bridge{}, false
}

// claim gives an address its place.
func (x *describer) claim(h *host, l Link, a netip.Prefix) {
	about := "address " + a.String() + " of " + h.Name
	c := claim{address: a, on: l.Name, mtu: l.MTU}
	if !a.Addr().Is4() || a.Bits() > 30 {
		x.remark(about, "a network of its size is not described")
		return
	}
	if tag, ok := h.internalPort(l.Name); ok {
		c.tag, c.port = tag, true
		switch _, twice := h.ports[l.Name]; {
		case twice:
			x.remark(about, "port %s has another address already, and the inventory knows one", l.Name)
		case tag == 0:
			x.remark(about, "it is on %s, an untagged internal port, for which the inventory has no word", l.Name)
		default:
			h.ports[l.Name] = c
		}
		return
	}
	on, tag := h.carrier(l, map[string]bool{})
	switch {
	case on == nil && (a.Addr() == h.Reached || h.bridgeNamed(l.Name) != nil):
		x.remark(about, "it is on %s, and no card was found below that", l.Name)
	case on == nil: // of a network inside the host, such as libvirt's own
	case on.claim.address.IsValid():
		x.remark(about, "card %s has %s already, and the inventory knows one address for each card", on.Name, on.claim.address)
	default:
		c.tag = tag
		on.claim = c
		if l.Name != on.Name && h.bridgeNamed(l.Name) == nil {
			h.note("%s is on %s, a %s of the kernel's above %s, which nuboctl does not compare", a, l.Name, l.Kind, on.Name)
		}
	}
}

// internalPort finds the tag of an internal port of a bridge; a bridge's own port is none.
func (h *host) internalPort(name string) (tag int, ok bool) {
	if h.OVS == nil || h.bridgeNamed(name) != nil {
		return 0, false
	}
	for _, b := range h.OVS.Bridges {
		for _, p := range b.Ports {
			if p.Name == name && len(p.Interfaces) == 1 && p.Interfaces[0].Type == "internal" {
				return p.Tag, true
			}
		}
	}
	return 0, false
}

func (h *host) bridgeNamed(name string) *ovs.Bridge {
	if h.OVS != nil {
		for i := range h.OVS.Bridges {
			if h.OVS.Bridges[i].Name == name {
				return &h.OVS.Bridges[i]
			}
		}
	}
	return nil
}

// carrier is the card to which the inventory writes the address of a device: the card itself, or the first one below a bridge, a bond or a VLAN, with the tag
// that was met on the way. What was passed is not passed again.
func (h *host) carrier(l Link, passed map[string]bool) (*card, int) {
	if passed[l.Name] {
		return nil, 0
	}
	passed[l.Name] = true
	if i := slices.IndexFunc(h.cards, func(c *card) bool { return c.Name == l.Name }); i >= 0 {
		return h.cards[i], 0
	}
	if b := h.bridgeNamed(l.Name); b != nil {
		for _, p := range b.Uplinks() {
			for _, i := range p.Interfaces {
				if below, ok := h.link(i.Name); ok {
					if c, tag := h.carrier(below, passed); c != nil {
						return c, cmp.Or(p.Tag, tag)
					}
				}
			}
		}
		return nil, 0
	}
	for _, below := range h.Links {
		if (l.Below != "" && below.Name == l.Below) || (below.Master == l.Name && (l.Kind == "bond" || l.Kind == "bridge")) {
			if c, tag := h.carrier(below, passed); c != nil {
				return c, cmp.Or(l.VLAN, tag)
			}
		}
	}
	return nil, 0
}

func (h *host) link(name string) (Link, bool) {
	i := slices.IndexFunc(h.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return Link{}, false
	}
	return h.Links[i], true
}

// cardsAndPorts writes a host's cards and addresses into its node. The card by which it is reached goes first.
func (x *describer) cardsAndPorts(h *host) {
	for _, c := range h.cards {
		nic := model.NIC{Name: c.Name, MAC: c.MAC}
		if n := x.networkOf(c.claim.address); n != nil {
			nic.Network, nic.Address = n.Name, c.claim.address
		}
		h.node.NICs = append(h.node.NICs, nic)
	}
	slices.SortStableFunc(h.node.NICs, func(a, b model.NIC) int {
		rank := func(n model.NIC) int {
			switch {
			case n.Address.IsValid() && n.Address.Addr() == h.Reached:
				return 0
			case n.Address.IsValid():
				return 1
			}
			return 2
		}
		return cmp.Compare(rank(a), rank(b))
	})
	if first := h.node.NICs; len(first) > 0 && first[0].Address.IsValid() && first[0].Address.Addr() != h.Reached && h.holds(h.Reached) {
		x.remark("host "+h.Name, "it was reached by %s, a port of a bridge; nuboctl goes by the first card that has an address, and that is %s", h.Reached, first[0].Address.Addr())
	}
}
