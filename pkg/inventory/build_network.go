package inventory

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/model"
)

func (b *builder) network(o *object) {
	b.checkLabel(o)
	if !b.note("network/"+o.name, o) {
		return
	}
	n := model.Network{Name: o.name, CIDR: b.prefix(o, "cidr"), CIDR6: b.prefix(o, "cidr6"), VLAN: o.num("vlan"), MTU: o.num("mtu"), NTP: o.strs("ntp")}
	if n.CIDR.IsValid() && !n.CIDR.Addr().Is4() {
		b.errorf(o.where("cidr"), "write the IPv6 prefix as cidr6", "cidr %s is not IPv4", n.CIDR)
		n.CIDR = netip.Prefix{}
	}
	if n.CIDR6.IsValid() && n.CIDR6.Addr().Is4() {
		b.errorf(o.where("cidr6"), "write the IPv4 prefix as cidr", "cidr6 %s is not IPv6", n.CIDR6)
		n.CIDR6 = netip.Prefix{}
	}
	if n.CIDR.IsValid() && unusable(n.CIDR) {
		b.errorf(o.where("cidr"), "write a prefix that hosts can have, such as 10.20.0.0/24", "no host has an address in %s", n.CIDR)
		n.CIDR = netip.Prefix{}
	}
	if o.has("vlan") && (n.VLAN < 1 || n.VLAN > 4094) {
		b.errorf(o.where("vlan"), "use 1 to 4094, or leave it out for an untagged network", "vlan %d does not exist", n.VLAN)
	}
	if o.has("mtu") && (n.MTU < 576 || n.MTU > 9216) {
		b.errorf(o.where("mtu"), "use 576 to 9216, usually 1500 or 9000", "mtu %d is out of range", n.MTU)
	}
	n.Gateway = b.addressIn(o, "gateway", n)
	b.own(o, "gateway", n.Gateway, "the gateway of network "+n.Name)
	for i, s := range o.strs("dns") {
		if a, err := netip.ParseAddr(s); err != nil {
			b.errorf(o.whereElement("dns", i), "write an IP address", "name server %q is no address", s)
		} else {
			n.DNS = append(n.DNS, a)
		}
	}
	b.planes(o, &n)
	b.reserve(o, &n)
	b.bootService(o, &n)
	b.d.Networks = append(b.d.Networks, n)
	b.nets[n.Name] = &n
}

// unusable are prefixes in which no host has an address: this host's own, multicast, everything.
func unusable(p netip.Prefix) bool {
	for _, reserved := range []string{"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"} {
		if p.Overlaps(netip.MustParsePrefix(reserved)) {
			return true
		}
	}
	return false
}

// planes reads which kinds of traffic a network carries.
func (b *builder) planes(o *object, n *model.Network) {
	known := map[string]bool{}
	for _, p := range model.Planes() {
		known[string(p)] = true
	}
	for i, s := range o.strs("planes") {
		switch p := model.Plane(s); {
		case !known[s]:
			b.errorf(o.whereElement("planes", i), didYouMean(s, keysOf(known), "name management, storage, migration or public"), "there is no plane %q", s)
		case slices.Contains(n.Planes, p):
			b.errorf(o.whereElement("planes", i), "name each once", "network %s names plane %s twice", n.Name, s)
		default:
			n.Planes = append(n.Planes, p)
		}
	}
}

// prefix reads an attribute that is a prefix.
func (b *builder) prefix(o *object, attr string) netip.Prefix {
	if !o.has(attr) {
		return netip.Prefix{}
	}
	p, err := parsePrefix(o.str(attr))
	if err != nil {
		b.errorf(o.where(attr), "write the network's first address and its length", "%v", err)
	}
	return p
}

// addressIn reads an attribute that is an address of the network.
func (b *builder) addressIn(o *object, attr string, n model.Network) netip.Addr {
	if !o.has(attr) {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(o.str(attr))
	switch {
	case err != nil:
		b.errorf(o.where(attr), "write an address like 10.77.0.1", "%s %q is no address", attr, o.str(attr))
	case n.CIDR.IsValid() && !n.CIDR.Contains(a) && (!n.CIDR6.IsValid() || !n.CIDR6.Contains(a)):
		b.errorf(o.where(attr), "use an address of "+n.CIDR.String(), "%s %s is not in network %s", attr, a, n.Name)
	case n.CIDR.IsValid() && n.CIDR.Bits() < 31 && (a == n.CIDR.Addr() || a == lastAddr(n.CIDR)):
		b.errorf(o.where(attr), "use an address between", "%s %s is the first or last address of network %s, which no host can have", attr, a, n.Name)
	default:
		return a
	}
	return netip.Addr{}
}

func (b *builder) reserve(o *object, n *model.Network) {
	for i, s := range o.strs("reserve") {
		p, err := hostPrefix(s, netip.Prefix{})
		switch {
		case err != nil || p != p.Masked():
			b.errorf(o.whereElement("reserve", i), "write addresses or prefixes like 10.77.0.64/26", "%q is neither an address nor a prefix", s)
		case n.CIDR.IsValid() && !n.CIDR.Overlaps(p):
			b.errorf(o.whereElement("reserve", i), "use part of "+n.CIDR.String(), "%s is not in network %s", s, n.Name)
		default:
			n.Reserve = append(n.Reserve, p)
		}
	}
}

// bootService reads dhcp and relay.
func (b *builder) bootService(o *object, n *model.Network) {
	if dhcp := o.first("dhcp"); dhcp != nil {
		b.oneOf(dhcp, "mode", string(model.DHCPAuthoritative), string(model.DHCPProxy))
		n.DHCP = model.DHCPAuthoritative
		if dhcp.str("mode") == string(model.DHCPProxy) {
			n.DHCP = model.DHCPProxy
		}
		b.dhcpNets = append(b.dhcpNets, n.Name)
	}
	r := o.first("relay")
	if r == nil {
		return
	}
	if n.DHCP == "" {
		b.errorf(r.at(), "add: dhcp {}", "network %s has a relay but no dhcp block, so nothing would be served", n.Name)
	}
	n.Relay = &model.Relay{Via: r.str("via"), HostKey: strings.TrimSpace(r.str("host_key")), Address: b.addressIn(r, "address", *n), Interface: r.str("interface")}
	b.own(r, "address", n.Relay.Address, "the relay of network "+n.Name)
	switch {
	case n.Relay.Via != "" && n.Relay.HostKey == "":
		b.errorf(r.where("via"), "add: host_key = \"ssh-ed25519 AAAA…\", from /etc/ssh/ssh_host_ed25519_key.pub of that host", "the relay's host would be trusted blindly")
	case n.Relay.HostKey != "":
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(n.Relay.HostKey)); err != nil {
			b.errorf(r.where("host_key"), "write it as in /etc/ssh/ssh_host_ed25519_key.pub: ssh-ed25519 AAAA…", "host_key is no public key: %v", err)
		}
	}
}

// own registers an address and reports the second who claims it.
func (b *builder) own(o *object, attr string, a netip.Addr, what string) {
	if !a.IsValid() {
		return
	}
	if first, taken := b.addrs[a]; taken {
		b.errorf(o.where(attr), "use another address", "address %s is used twice: %s, and %s at %s", a, what, first.what, first.at)
		return
	}
	b.addrs[a] = owner{what, o.where(attr)}
}
