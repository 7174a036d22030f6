package inventory

import (
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

var digits = regexp.MustCompile(`^[0-9]+$`)

var interfacePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]*$`)

func (b *builder) node(o *object, in inherited, chassis model.Path) {
	if !b.place(o) {
		return
	}
	if first, dup := b.byName[o.name]; dup {
		b.errorf(o.where("name"), "node names are host names: make it unique in the cloud", "two nodes are called %q: %s and %s", o.name, first, o.path)
	} else {
		b.byName[o.name] = o.path
	}
	b.nodes[o.path] = o
	n := model.Node{Path: o.path, Name: o.name, Chassis: chassis, Slot: o.num("slot"), Serial: o.str("serial"), Cores: o.num("cores"), MemoryGiB: o.num("memory_gib"),
		Roles: b.roles(o), Consent: o.strs("consent"), RootDevice: b.device(o.first("root_device")), OSDDevice: b.device(o.first("osd_device"))}
	if chassis == "" && o.written("slot") {
		b.errorf(o.where("slot"), "put the node into a chassis, or remove slot", "node %s has a slot but is in no chassis", o.path)
	}
	if n.Slot == 0 && o.has("slot") {
		b.errorf(o.where("slot"), "count the bays of a chassis from 1", "node %s is in bay 0", o.path)
	}
	if digits.MatchString(o.name) {
		b.errorf(o.where("name"), "put a letter into it, as in node-"+o.name, "%q is no host name: programs take a number for an address", o.name)
	}
	if b.oneOf(o, "state", string(model.Retired), string(model.Lost)); o.has("state") {
		n.State = model.NodeState(o.str("state"))
	}
	b.ownSerial(o)
	profile := b.nodeProfile(o, in)
	if profile != nil {
		inheritProfile(&n, profile)
	}
	if !n.Adopted || o.first("bmc") != nil { // nothing is installed on an adopted host, so it may be without
		n.BMC = b.bmc(o, in)
	}
	for i, c := range o.all("nic") {
		b.nic(c, &n, i == 0)
	}
	if len(n.NICs) == 0 {
		b.errorf(o.at(), `add: nic "eth0" { mac = "…" }`, "node %s has no network card", o.path)
	}
	if profile != nil {
		b.ports(o, &n, profile)
		b.checkNodeProfile(o, &n, profile)
	}
	b.d.Nodes = append(b.d.Nodes, n)
}

// nodeProfile finds the node's profile: its own, else that of the nearest place above.
func (b *builder) nodeProfile(o *object, in inherited) *model.Profile {
	from := o
	if !o.written("profile") {
		if in.profile == nil {
			b.errorf(o.at(), `add: profile = "NAME", here or in a place above`, "node %s has no profile", o.path)
			return nil
		}
		return b.profiles[in.profile.str("profile")]
	}
	if !refer(b, from, "profile", "profile", b.profiles) {
		return nil
	}
	return b.profiles[from.str("profile")]
}

func inheritProfile(n *model.Node, p *model.Profile) {
	n.Profile, n.Image, n.Adopted = p.Name, model.ImageRef{Name: p.Image}, p.Adopted
	if len(n.Roles) == 0 {
		n.Roles = p.Roles
	}
	if n.Cores == 0 {
		n.Cores = p.Cores
	}
	if n.MemoryGiB == 0 {
		n.MemoryGiB = p.MemoryGiB
	}
	if n.RootDevice.IsZero() {
		n.RootDevice = p.RootDevice
	}
	if n.OSDDevice.IsZero() {
		n.OSDDevice = p.OSDDevice
	}
}

func (b *builder) nic(o *object, n *model.Node, first bool) {
	b.checkInterfaceName(o)
	if !b.note(string(n.Path)+"/nic/"+o.name, o) {
		return
	}
	card := model.NIC{Name: o.name, MAC: b.mac(o, "node "+string(n.Path)+" "+o.name), Network: o.str("network"),
		Switch: o.str("switch"), Port: o.str("port")}
	b.oneOf(o, "cabling", "note", "refuse")
	if o.str("cabling") == "refuse" {
		card.Cabling = "refuse"
	}
	if card.Switch == "" && (o.has("port") || o.has("cabling")) {
		b.errorf(o.at(), `add: switch = "…", as it tells its name by LLDP`, "card %s has a port or cabling to compare, and no switch", o.name)
	}
	switch {
	case o.written("network"):
		refer(b, o, "network", "network", b.nets)
	case o.has("address"):
		card.Network = b.networkOf(o)
	case first && !n.Adopted:
		card.Network = b.bootNetwork(o)
	}
	if net := b.nets[card.Network]; o.has("address") && net != nil {
		card.Address = b.hostAddress(o, net, "node "+string(n.Path)+" "+o.name)
	}
	n.NICs = append(n.NICs, card)
}

// bootNetwork is the network of a first card that does not say: the only one with dhcp.
func (b *builder) bootNetwork(o *object) string {
	switch len(b.dhcpNets) {
	case 1:
		return b.dhcpNets[0]
	case 0:
		b.errorf(o.at(), "give it a network, or one network a dhcp block", "card %s is on no network and no network has dhcp", o.name)
	default:
		b.errorf(o.at(), "add: network = \"…\"", "card %s may be on any of the networks with dhcp: %s", o.name, strings.Join(b.dhcpNets, ", "))
	}
	return ""
}

// networkOf is the network that holds a card's address.
func (b *builder) networkOf(o *object) string {
	p, err := hostPrefix(o.str("address"), netip.Prefix{})
	if err != nil {
		b.errorf(o.where("address"), "write an address like 10.77.0.11", "%v", err)
		return ""
	}
	for _, n := range b.d.Networks {
		if n.CIDR.Contains(p.Addr()) || n.CIDR6.Contains(p.Addr()) {
			return n.Name
		}
	}
	b.errorf(o.where("address"), "add a network that holds it, or correct the address", "no network holds the address %s", p.Addr())
	return ""
}

// hostAddress reads an address attribute and checks it against its network.
func (b *builder) hostAddress(o *object, n *model.Network, what string) netip.Prefix {
	p, err := hostPrefix(o.str("address"), n.CIDR)
	if err != nil {
		b.errorf(o.where("address"), "write an address like 10.77.0.11", "%v", err)
		return netip.Prefix{}
	}
	cidr := n.CIDR
	if !p.Addr().Is4() {
		cidr = n.CIDR6
	}
	switch {
	case !cidr.IsValid():
		return netip.Prefix{}
	case !cidr.Contains(p.Addr()):
		b.errorf(o.where("address"), "use an address of "+cidr.String()+", or another network", "address %s is not in network %s", p.Addr(), n.Name)
		return netip.Prefix{}
	case p.Bits() != cidr.Bits():
		b.errorf(o.where("address"), "leave the length out, or write /"+strings.Split(cidr.String(), "/")[1], "address %s has another prefix length than network %s", p, n.Name)
	case p.Addr() == cidr.Addr() && cidr.Bits() < 31, p.Addr().Is4() && cidr.Bits() < 31 && p.Addr() == lastAddr(cidr):
		b.errorf(o.where("address"), "use an address between", "%s is the first or last address of network %s, which no host can have", p.Addr(), n.Name)
	}
	b.own(o, "address", p.Addr(), what)
	return p
}

// mac reads a MAC address: unicast, and nobody else's.
func (b *builder) mac(o *object, what string) string {
	if !o.has("mac") {
		return ""
	}
	hw, err := net.ParseMAC(o.str("mac"))
	switch {
	case err != nil || len(hw) != 6:
		b.errorf(o.where("mac"), "write six bytes like 52:54:00:77:00:01", "%q is no MAC address", o.str("mac"))
		return ""
	case hw[0]&1 == 1:
		b.errorf(o.where("mac"), "write the card's own address", "%s is a multicast address, which no card has", hw)
		return ""
	case hw.String() == "00:00:00:00:00:00":
		b.errorf(o.where("mac"), "write the card's own address", "%s is no card's address", hw)
		return ""
	}
	b.ownMAC(o, hw.String(), what)
	return hw.String()
}

func (b *builder) ownMAC(o *object, mac, what string) {
	if first, taken := b.macs[mac]; taken {
		b.errorf(o.where("mac"), "correct one; every card has its own", "MAC address %s occurs twice: %s, and %s at %s", mac, what, first.what, first.at)
		return
	}
	b.macs[mac] = owner{what, o.where("mac")}
}

// ownSerial reports a second node behind one machine.
func (b *builder) ownSerial(o *object) {
	s := strings.ToUpper(strings.TrimSpace(o.str("serial"))) // as the BMC's answer is compared
	if s == "" {
		return
	}
	if first, taken := b.macs["serial "+s]; taken {
		b.errorf(o.where("serial"), "correct one; every machine has its own", "serial number %s occurs twice: node %s, and %s at %s", s, o.path, first.what, first.at)
		return
	}
	b.macs["serial "+s] = owner{"node " + string(o.path), o.where("serial")}
}

// ports gives the node an address slot for every vlan port of its profile, static where the node says so.
func (b *builder) ports(o *object, n *model.Node, p *model.Profile) {
	static := map[string]*object{}
	for _, c := range o.all("port") {
		static[c.name] = c
	}
	for _, br := range p.Bridges {
		for _, v := range br.VLANs {
			port := model.Port{Name: v.Port, Network: v.Network}
			if c := static[v.Port]; c != nil {
				if net := b.nets[v.Network]; net != nil && c.has("address") {
					port.Address = b.hostAddress(c, net, "node "+string(n.Path)+" "+v.Port)
				}
				delete(static, v.Port)
			}
			n.Ports = append(n.Ports, port)
		}
	}
	for _, name := range keysOf(static) {
		b.errorf(static[name].at(), "name a vlan of the profile's bridge", "profile %s has no port %q", p.Name, name)
	}
}
