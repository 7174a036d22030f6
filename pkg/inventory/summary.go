package inventory

import (
	"net/netip"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// SummaryVersion is the format version of Summary's JSON.
const SummaryVersion = 1

// Expanded is what `nuboctl inventory --json` prints.
type Expanded struct {
	FormatVersion int           `json:"format_version"`
	Cloud         string        `json:"cloud"`
	Digest        model.Digest  `json:"digest,omitempty"`
	Totals        Totals        `json:"totals"`
	Nodes         []NodeSummary `json:"nodes"`
}

// Totals are sums over the cloud. Cores and MemoryGiB are those of nodes with the role compute, on which virtual machines run; the
// machines of pure storage nodes are counted apart, in the Other fields. GiB are binary, 2^30 bytes.
type Totals struct {
	Sites          int `json:"sites"`
	Regions        int `json:"regions"`
	Zones          int `json:"zones"`
	Racks          int `json:"racks"`
	Chassis        int `json:"chassis"`
	Nodes          int `json:"nodes"`
	ComputeNodes   int `json:"compute_nodes"`
	Cores          int `json:"cores"`
	MemoryGiB      int `json:"memory_gib"`
	OtherCores     int `json:"other_cores"`
	OtherMemoryGiB int `json:"other_memory_gib"`
	VMs            int `json:"vms"`
	VCPUs          int `json:"vcpus"`
	// WorkloadVMs and WorkloadVCPUs are those of workload blocks: somebody else's.
	WorkloadVMs   int `json:"workload_vms"`
	WorkloadVCPUs int `json:"workload_vcpus"`
	OSDs          int `json:"osds"`
	OSDRawGiB     int `json:"osd_raw_gib"`
}

// NodeSummary is one node, expanded. Addresses are absent until allotted (WithAddresses).
type NodeSummary struct {
	Path      model.Path   `json:"path"`
	Name      string       `json:"name"`
	Roles     []model.Role `json:"roles"`
	Profile   string       `json:"profile"`
	Image     string       `json:"image"`
	Chassis   model.Path   `json:"chassis,omitempty"`
	Slot      int          `json:"slot,omitempty"`
	Serial    string       `json:"serial,omitempty"`
	Cores     int          `json:"cores"`
	MemoryGiB int          `json:"memory_gib"`
	BMC       string       `json:"bmc"`
	Address   netip.Addr   `json:"address,omitzero"` // of the first card
	NICs      []model.NIC  `json:"nics"`
	Ports     []model.Port `json:"ports,omitempty"`
}

// Summary expands a description for people and scripts.
func Summary(d model.Desired) Expanded {
	out := Expanded{FormatVersion: SummaryVersion, Cloud: d.Cloud.Name, Nodes: []NodeSummary{}}
	t := &out.Totals
	t.Sites, t.Regions, t.Zones, t.Racks, t.Chassis, t.Nodes = len(d.Sites), len(d.Regions), len(d.Zones), len(d.Racks), len(d.Chassis), len(d.Nodes)
	profiles := map[string]model.Profile{}
	for _, p := range d.Profiles {
		profiles[p.Name] = p
	}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		out.Nodes = append(out.Nodes, summarize(n))
		t.addNode(n, profiles[n.Profile])
	}
	t.VMs = len(d.VMs)
	for _, vm := range d.VMs {
		t.VCPUs += vm.VCPUs
	}
	for _, w := range d.Workloads {
		t.WorkloadVMs += w.VMs
		t.WorkloadVCPUs += w.VCPUs
	}
	return out
}

func (t *Totals) addNode(n *model.Node, p model.Profile) {
	if hasRole(n, model.RoleCompute) {
		t.ComputeNodes++
		t.Cores += n.Cores
		t.MemoryGiB += n.MemoryGiB
	} else {
		t.OtherCores += n.Cores
		t.OtherMemoryGiB += n.MemoryGiB
	}
	if hasRole(n, model.RoleCephOSD) {
		t.OSDs += p.OSDs
		t.OSDRawGiB += p.OSDs * p.OSDGiB
	}
}

func summarize(n *model.Node) NodeSummary {
	s := NodeSummary{Path: n.Path, Name: n.Name, Roles: n.Roles, Profile: n.Profile, Image: n.Image.Name, Chassis: n.Chassis, Slot: n.Slot, Serial: n.Serial,
		Cores: n.Cores, MemoryGiB: n.MemoryGiB, BMC: n.BMC.Address, NICs: n.NICs, Ports: n.Ports}
	if len(n.NICs) > 0 {
		s.Address = n.NICs[0].Address.Addr()
	}
	return s
}
