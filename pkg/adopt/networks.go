package adopt

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// network is a network that hosts have addresses on.
type network struct {
	model.Network
	uses    int  // addresses on it
	reached bool // hosts were reached over it
	tags    tally[int]
	mtus    tally[int] // as Open vSwitch was told for what is on it, or as cards have it
	routers tally[string]
}

// networks makes networks of the addresses of all hosts, and takes those addresses back that cannot be written down.
func (x *describer) networks() {
	found := map[netip.Prefix]*network{}
	for _, h := range x.hosts {
		for _, c := range h.claims() {
			p := c.address.Masked()
			n := found[p]
			if n == nil {
				n = &network{Network: model.Network{CIDR: p}, tags: tally[int]{}, mtus: tally[int]{}, routers: tally[string]{}}
				found[p] = n
			}
			n.uses++
			n.reached = n.reached || c.address.Addr() == h.Reached
			n.tags.add(c.tag)
			n.mtus.add(h.told(c))
			if h.Gateway.IsValid() && p.Contains(h.Gateway) {
				n.routers.add(h.Gateway.String())
			}
		}
	}
	x.keepApart(found)
	x.takeBack()
	for _, n := range x.nets {
		n.VLAN = x.tag(n)
		n.MTU, _ = n.mtus.most()
		if n.MTU == 1500 || n.MTU < 576 || n.MTU > 9216 {
			n.MTU = 0
		}
		x.router(n)
	}
	x.nameNetworks()
	for _, h := range x.hosts {
		x.cardsAndPorts(h)
	}
}

func (h *host) claims() []claim {
	var out []claim
	for _, c := range h.cards {
		if c.claim.address.IsValid() {
			out = append(out, c.claim)
		}
	}
	for _, p := range h.ports {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b claim) int { return cmp.Compare(a.on, b.on) })
	return out
}

// told is the MTU of what carries an address: what Open vSwitch was asked for where it is a bridge or a port of one, since that is compared; else what it has.
func (h *host) told(c claim) int {
	if b := h.bridgeNamed(c.on); b != nil {
		return cmp.Or(b.MTURequest, 1500)
	}
	if h.OVS != nil {
		for _, b := range h.OVS.Bridges {
			for _, p := range b.Ports {
				if p.Name == c.on && len(p.Interfaces) == 1 {
					return cmp.Or(p.Interfaces[0].MTURequest, 1500)
				}
			}
		}
	}
	return cmp.Or(c.mtu, 1500)
}

// keepApart takes the networks that do not overlap one that more hosts use.
func (x *describer) keepApart(found map[netip.Prefix]*network) {
	var all []*network
	for _, n := range found {
		all = append(all, n)
	}
	rank := map[bool]int{true: 1}
	slices.SortFunc(all, func(a, b *network) int {
		return cmp.Or(cmp.Compare(rank[b.reached], rank[a.reached]), cmp.Compare(b.uses, a.uses), cmp.Compare(a.CIDR.String(), b.CIDR.String()))
	})
	for _, n := range all {
		i := slices.IndexFunc(x.nets, func(k *network) bool { return k.CIDR.Overlaps(n.CIDR) })
		if i < 0 {
			x.nets = append(x.nets, n)
			continue
		}
		x.remark("network "+n.CIDR.String(), "it overlaps %s, and so it and the addresses on it (%d) are left out", x.nets[i].CIDR, n.uses)
	}
}

// takeBack takes back addresses on networks that are left out, and those that two hosts have.
func (x *describer) takeBack() {
	owner := map[netip.Addr]string{}
	keep := func(h *host, c claim) bool {
		at := c.address.Addr()
		n := x.networkOf(c.address)
		if n == nil {
			return false
		}
		if first, taken := owner[at]; taken {
			x.remark("address "+c.address.String()+" of "+h.Name, "%s has it too: a service address that moves, or a mistake", first)
			return false
		}
		if at == n.CIDR.Addr() || at == last(n.CIDR) {
			x.remark("address "+c.address.String()+" of "+h.Name, "it is the first or last one of its network")
			return false
		}
		owner[at] = h.Name
		return true
	}
	for _, h := range x.hosts {
		for _, c := range h.cards {
			if c.claim.address.IsValid() && !keep(h, c.claim) {
				c.claim.address = netip.Prefix{}
			}
		}
		for _, name := range sortedKeys(h.ports) {
			if !keep(h, h.ports[name]) {
				delete(h.ports, name)
			}
		}
	}
}

// last is the broadcast address of an IPv4 prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}

// networkOf is the network that an address is on, with its size; nil when there is none.
func (x *describer) networkOf(a netip.Prefix) *network {
	for _, n := range x.nets {
		if a.IsValid() && n.CIDR == a.Masked() {
			return n
		}
	}
	return nil
}

// tag is a network's VLAN: that of tagged ports on it where there are any, since these need one.
func (x *describer) tag(n *network) int {
	tagged := tally[int]{}
	for t, votes := range n.tags {
		if t > 0 {
			tagged[t] = votes
		}
	}
	t, _ := tagged.most()
	if len(tagged) > 1 {
		x.remark("network "+n.CIDR.String(), "hosts have it with different VLANs; it is written with %d", t)
	}
	return t
}

// router is a network's gateway, unless it is one of the hosts.
func (x *describer) router(n *network) {
	best, ok := n.routers.most()
	if !ok {
		return
	}
	gateway := netip.MustParseAddr(best) // it was one
	for _, h := range x.hosts {
		if h.holds(gateway) {
			x.remark("network "+n.CIDR.String(), "its gateway %s is %s itself, and is left out", gateway, h.Name)
			return
		}
	}
	n.Gateway = gateway
}

// nameNetworks gives networks names by what they are for.
func (x *describer) nameNetworks() {
	taken := map[string]bool{}
	name := func(n *network, wish string) {
		out := wish
		for i := 2; taken[out]; i++ {
			out = fmt.Sprintf("%s-%d", wish, i)
		}
		taken[out], n.Name = true, out
	}
	for _, n := range x.nets {
		if n.reached {
			name(n, "management")
		}
	}
	for _, c := range x.survey.Clusters {
		for _, role := range []struct {
			list []netip.Addr
			name string
		}{{c.Mons, "storage"}, {c.Back, "storage-cluster"}} {
			if n := x.holding(role.list); n != nil && n.Name == "" {
				name(n, role.name)
			}
		}
	}
	for _, n := range x.nets {
		switch {
		case n.Name != "":
		case n.VLAN > 0:
			name(n, fmt.Sprintf("vlan-%d", n.VLAN))
		default:
			name(n, "net-"+strings.ReplaceAll(n.CIDR.Addr().String(), ".", "-"))
		}
	}
}

// holding is the network on which most of these addresses are.
func (x *describer) holding(list []netip.Addr) *network {
	votes := tally[string]{}
	for _, a := range list {
		for _, n := range x.nets {
			if n.CIDR.Contains(a) {
				votes.add(n.CIDR.String())
			}
		}
	}
	best, _ := votes.most()
	for _, n := range x.nets {
		if n.CIDR.String() == best {
			return n
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
