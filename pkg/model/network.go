package model

import "net/netip"

// DHCPMode says how the relay behaves on a network.
type DHCPMode string

// The modes: Authoritative answers known machines with addresses; Proxy adds boot information beside another server's addresses;
// an empty mode means that nothing is served there.
const (
	DHCPAuthoritative DHCPMode = "authoritative"
	DHCPProxy         DHCPMode = "proxy"
)

// Network is a layer-2 network with its addressing.
type Network struct {
	Name    string       `json:"name"`
	CIDR    netip.Prefix `json:"cidr"`
	CIDR6   netip.Prefix `json:"cidr6,omitzero"`
	VLAN    int          `json:"vlan,omitempty"` // 0: untagged
	MTU     int          `json:"mtu,omitempty"`  // bytes; 0: 1500
	Gateway netip.Addr   `json:"gateway,omitzero"`
	DNS     []netip.Addr `json:"dns,omitempty"`
	NTP     []string     `json:"ntp,omitempty"`
	DHCP    DHCPMode     `json:"dhcp,omitempty"`
	Relay   *Relay       `json:"relay,omitempty"` // who serves boot on it
	// Planes are the kinds of traffic that hosts let in from this network; see Plane.
	Planes  []Plane        `json:"planes,omitempty"`
	Reserve []netip.Prefix `json:"reserve,omitempty"`
}

// Plane is a kind of traffic that hosts take part in, as far as their firewall tells kinds apart.
type Plane string

// The planes. Where no network of a cloud names any, hosts have no firewall.
const (
	PlaneManagement Plane = "management" // ssh, which is how nuboctl itself comes in
	PlaneStorage    Plane = "storage"    // Ceph: monitors, managers, OSDs, MDS
	PlaneMigration  Plane = "migration"  // libvirt and QEMU of other hosts
	PlanePublic     Plane = "public"     // what hosts offer to everybody: S3
)

// Planes lists every plane.
func Planes() []Plane { return []Plane{PlaneManagement, PlaneStorage, PlaneMigration, PlanePublic} }

// Relay says where boot service for a network comes from: in-process on the workstation, or on a host reached over SSH.
type Relay struct {
	Via       string     `json:"via,omitempty"`      // "": in-process; else ssh target "user@host[:port]"
	HostKey   string     `json:"host_key,omitempty"` // authorized_keys form of the jump host's public key
	Address   netip.Addr `json:"address"`            // the relay's own address on the network
	Interface string     `json:"interface,omitempty"`
}

// NIC is a network card of a node. Name is the one the host gives it, by MAC address.
type NIC struct {
	Name    string       `json:"name"`
	MAC     string       `json:"mac"` // lower case, colons
	Network string       `json:"network,omitempty"`
	Address netip.Prefix `json:"address,omitzero"` // static address with prefix length; zero: allotted
	// Switch and Port are where it is to be connected; empty: not said. Cabling is "refuse" when a machine connected otherwise is not installed.
	Switch  string `json:"switch,omitempty"`
	Port    string `json:"port,omitempty"`
	Cabling string `json:"cabling,omitempty"`
}

// Bond joins cards.
type Bond struct {
	Name    string   `json:"name"`
	Mode    string   `json:"mode"` // active-backup, balance-slb, balance-tcp (LACP)
	Members []string `json:"members"`
	LACP    string   `json:"lacp,omitempty"` // as observed: active, passive; in an inventory it follows from the mode
}

// Bridge is an Open vSwitch bridge.
type Bridge struct {
	Name      string `json:"name"`
	Uplink    string `json:"uplink,omitempty"`  // NIC or bond
	Network   string `json:"network,omitempty"` // the network the uplink is untagged on; its address moves to the bridge
	MTU       int    `json:"mtu,omitempty"`
	UplinkMTU int    `json:"uplink_mtu,omitempty"` // as observed: the least of its cards; in an inventory it follows from the networks
	// Bond is the uplink's, where it is one. In an inventory it is looked up by the uplink's name; in an observation it stands here.
	Bond *Bond `json:"bond,omitempty"`
	// VLANs are internal ports for the host itself on tagged networks.
	VLANs []BridgeVLAN `json:"vlans,omitempty"`
}

// BridgeVLAN is an internal port of a bridge, tagged with the VLAN of its network, that carries a host address.
type BridgeVLAN struct {
	Port    string `json:"port"`
	Network string `json:"network,omitempty"`
	Tag     int    `json:"tag,omitempty"` // as observed; in an inventory it is the network's
	MTU     int    `json:"mtu,omitempty"` // as observed; in an inventory it is the network's
}
