package lab

import (
	"fmt"
	"net/netip"
)

// networkPlan lists the ip(8) commands, without the leading "ip", that build the rack's namespaces, bridges, cables and
// taps from nothing. Every device is made inside one of the rack's namespaces.
func networkPlan(r *Rack) [][]string {
	var plan [][]string
	add := func(args ...string) { plan = append(plan, args) }
	sw := r.Namespace(switchName)
	in := func(ns string, args ...string) { add(append([]string{"-n", ns}, args...)...) }

	add("netns", "add", sw)
	in(sw, "link", "set", "lo", "up")
	for _, n := range r.Networks {
		// With the spanning tree off and no delay a port forwards at once: firmware asks DHCP as soon as its link is up.
		in(sw, "link", "add", n.Name, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
		in(sw, "link", "set", n.Name, "up")
		if n.Time != "" {
			in(sw, "addr", "add", netip.PrefixFrom(netip.MustParseAddr(n.Time), netip.MustParsePrefix(n.CIDR).Bits()).String(), "dev", n.Name)
		}
	}
	for _, s := range r.Stations {
		ns := r.Namespace(s.Name)
		add("netns", "add", ns)
		in(ns, "link", "set", "lo", "up")
		for _, network := range sortedKeys(s.Addresses) {
			cable := s.Name + "." + network
			in(sw, "link", "add", cable, "type", "veth", "peer", "name", network, "netns", ns)
			in(sw, "link", "set", cable, "master", network, "up")
			in(ns, "addr", "add", s.Addresses[network], "dev", network)
			in(ns, "link", "set", network, "up")
		}
	}
	for _, b := range r.Blades {
		for i, n := range b.NICs {
			in(sw, "tuntap", "add", "dev", tapName(b, i), "mode", "tap")
			in(sw, "link", "set", tapName(b, i), "master", n.Network, "up")
		}
		addr, network := bmcAddress(r, b)
		in(sw, "addr", "add", addr.String(), "dev", network)
	}
	return plan
}

// tapName is the switch's end of a blade's network card.
func tapName(b Blade, nic int) string { return fmt.Sprintf("%s.%d", b.Name, nic) }

// bmcAddress gives a BMC's address, with the prefix length of its network, and that network. The rack has been checked.
func bmcAddress(r *Rack, b Blade) (netip.Prefix, string) {
	addr := netip.MustParseAddrPort(b.BMC.Address).Addr()
	for _, n := range r.Networks {
		if cidr := netip.MustParsePrefix(n.CIDR); cidr.Contains(addr) {
			return netip.PrefixFrom(addr, cidr.Bits()), n.Name
		}
	}
	return netip.Prefix{}, ""
}

// namespaces lists the rack's namespaces, the switch's first.
func namespaces(r *Rack) []string {
	names := []string{r.Namespace(switchName)}
	for _, s := range r.Stations {
		names = append(names, r.Namespace(s.Name))
	}
	return names
}
