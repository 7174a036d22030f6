package ovs

// State is what a host's Open vSwitch is configured to and does. Slices are sorted by name.
type State struct {
	Version  string   `json:"version,omitempty"` // of ovs-vswitchd; empty when unknown
	SystemID string   `json:"system_id,omitempty"`
	Bridges  []Bridge `json:"bridges,omitempty"`
}

// Bridge is a bridge without its local port, whose MTU is the bridge's.
type Bridge struct {
	Name       string `json:"name"`
	Datapath   string `json:"datapath,omitempty"` // system (the kernel) or netdev; empty in the database means system
	FailMode   string `json:"fail_mode,omitempty"`
	HWAddr     string `json:"hwaddr,omitempty"`      // other_config:hwaddr, what it is configured to
	MTURequest int    `json:"mtu_request,omitempty"` // of the local port, bytes; 0: not configured
	MTU        int    `json:"mtu,omitempty"`         // what it has now
	Error      string `json:"error,omitempty"`       // of the local port
	Ports      []Port `json:"ports,omitempty"`
}

// Port is a port with one interface, or a bond with several.
type Port struct {
	Name       string      `json:"name"`
	Tag        int         `json:"tag,omitempty"`    // access VLAN; 0: none
	Trunks     []int       `json:"trunks,omitempty"` // VLANs carried; none: all
	BondMode   string      `json:"bond_mode,omitempty"`
	LACP       string      `json:"lacp,omitempty"`
	Active     string      `json:"active,omitempty"` // MAC address of the bond's active member
	Interfaces []Interface `json:"interfaces"`
}

// Interface is a network device in a port.
type Interface struct {
	Name       string `json:"name"`
	Type       string `json:"type,omitempty"` // empty: a device of the kernel; internal, patch, vxlan, …
	MAC        string `json:"mac,omitempty"`
	MTURequest int    `json:"mtu_request,omitempty"`
	MTU        int    `json:"mtu,omitempty"`
	Link       string `json:"link,omitempty"`  // up, down
	Error      string `json:"error,omitempty"` // what ovs-vswitchd says is wrong with it
	// Owner is the virtual machine or controller that plugged it (external_ids: vm-id, iface-id or attached-mac). Such ports are never changed here.
	Owner string `json:"owner,omitempty"`
}

// Spec is what is wanted. Bridges that it does not name are left alone.
type Spec struct {
	Bridges []BridgeSpec `json:"bridges"`
}

// BridgeSpec is a bridge with all ports that belong to the host itself. Ports of virtual machines, patches and tunnels come and go
// beside them; other ports that are not named here are removed.
type BridgeSpec struct {
	Name     string     `json:"name"`
	Datapath string     `json:"datapath,omitempty"` // empty: system
	HWAddr   string     `json:"hwaddr,omitempty"`   // MAC address of the bridge, lower case; empty: not managed
	MTU      int        `json:"mtu,omitempty"`      // bytes, for the bridge and every port that has none of its own; 0: Ethernet's default
	Ports    []PortSpec `json:"ports,omitempty"`
}

// PortSpec is an uplink, a bond, or an internal port that carries an address of the host.
type PortSpec struct {
	Name     string   `json:"name"`
	Internal bool     `json:"internal,omitempty"`
	Tag      int      `json:"tag,omitempty"`
	Trunks   []int    `json:"trunks,omitempty"`
	MTU      int      `json:"mtu,omitempty"`
	BondMode string   `json:"bond_mode,omitempty"` // active-backup, balance-slb, balance-tcp (which needs LACP and gets it)
	Members  []string `json:"members,omitempty"`   // of a bond; none: the port is the interface of the same name
}

// Uplinks gives the ports of devices of the kernel that nobody else plugged: network cards and bonds.
func (b Bridge) Uplinks() []Port {
	var out []Port
	for _, p := range b.Ports {
		if len(p.Interfaces) > 0 && p.Interfaces[0].Type == "" && !p.foreign() {
			out = append(out, p)
		}
	}
	return out
}

// foreign reports whether the port belongs to something else than the host's configuration.
func (p Port) foreign() bool {
	for _, i := range p.Interfaces {
		if i.Owner != "" || (i.Type != "" && i.Type != "internal") {
			return true
		}
	}
	return false
}

// members gives the names of the interfaces.
func (p PortSpec) members() []string {
	if len(p.Members) == 0 {
		return []string{p.Name}
	}
	return p.Members
}

// lacp gives what LACP has to be: balance-tcp does not work without it (ovs-vswitchd.conf.db(5), bond_mode).
func (p PortSpec) lacp() string {
	if p.BondMode == "balance-tcp" {
		return "active"
	}
	return ""
}

// find gives the element of that name, nil when there is none.
func (s State) find(name string) *Bridge {
	for i := range s.Bridges {
		if s.Bridges[i].Name == name {
			return &s.Bridges[i]
		}
	}
	return nil
}
