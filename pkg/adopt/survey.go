// Package adopt describes a site that nuboctl did not build: it looks at running hosts over SSH, changes nothing there, and writes what it saw in the words of
// an inventory, so that a plan made from it has nothing to do. What the inventory has no words for is said, with the reason.
package adopt

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// FormatVersion is the version of a recorded survey.
const FormatVersion = 1

// Survey is what was seen of a site.
type Survey struct {
	FormatVersion int                `json:"format_version"`
	Taken         time.Time          `json:"taken,omitzero"`
	Hosts         []Host             `json:"hosts"`
	VMs           []model.ObservedVM `json:"vms,omitempty"` // Node is the name of the host
	Clusters      []Cluster          `json:"clusters,omitempty"`
}

// Host is one host.
type Host struct {
	Name     string       `json:"name"`    // its short host name
	Reached  netip.Addr   `json:"reached"` // by which address
	HostKeys []string     `json:"host_keys,omitempty"`
	Domain   string       `json:"domain,omitempty"`
	Serial   string       `json:"serial,omitempty"`
	Product  string       `json:"product,omitempty"`
	Cores    int          `json:"cores,omitempty"`
	Memory   int          `json:"memory_gib,omitempty"`
	Links    []Link       `json:"links,omitempty"`
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	DNS      []netip.Addr `json:"dns,omitempty"`
	// Roots are the whole disks below the root file system, by the kernel's names.
	Roots []string `json:"roots,omitempty"`
	BMC   string   `json:"bmc,omitempty"` // in metal3's grammar; empty: nobody knows
	// Cephadm are the fsids of clusters whose daemons run in containers.
	Cephadm []string           `json:"cephadm,omitempty"`
	Seen    model.ObservedHost `json:"seen"`
	OVS     *ovs.State         `json:"ovs,omitempty"`
	Ceph    *ceph.HostState    `json:"ceph,omitempty"`
	Trouble []string           `json:"trouble,omitempty"` // what of it could not be seen
	Error   string             `json:"error,omitempty"`   // why it could not be looked at
}

// Link is a network device that carries Ethernet, as ip-link(8) tells it.
type Link struct {
	Name      string         `json:"name"`
	MAC       string         `json:"mac"`            // the card's own, also where a bond gave it another
	Kind      string         `json:"kind,omitempty"` // empty: a card; bond, vlan, bridge, veth, openvswitch, …
	Master    string         `json:"master,omitempty"`
	Below     string         `json:"below,omitempty"` // of a vlan: the device that it is on
	VLAN      int            `json:"vlan,omitempty"`
	MTU       int            `json:"mtu,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // IPv4, of global scope
}

// Cluster is a Ceph cluster; nodes are host names.
type Cluster struct {
	Ceph  model.ObservedCeph `json:"ceph"`
	Mons  []netip.Addr       `json:"mons,omitempty"`
	Front []netip.Addr       `json:"front,omitempty"` // of OSDs, for clients
	Back  []netip.Addr       `json:"back,omitempty"`  // of OSDs, for each other
}

// Decode reads a recorded survey.
func Decode(text []byte) (Survey, error) {
	var s Survey
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("this is no survey of nuboctl adopt: %w", err)
	}
	if s.FormatVersion != FormatVersion || len(s.Hosts) == 0 {
		return s, fmt.Errorf("this is no survey of nuboctl adopt that this program knows: format_version %d, %d hosts", s.FormatVersion, len(s.Hosts))
	}
	return s, nil
}
