package model

import (
	"net/netip"
	"time"
)

// Desired is what the inventory says, expanded: every list is sorted by path or name, every reference resolved, every secret still a
// reference. Places are flat; the tree is in their paths.
type Desired struct {
	Cloud     Cloud      `json:"cloud"`
	Networks  []Network  `json:"networks,omitempty"`
	Profiles  []Profile  `json:"profiles,omitempty"`
	Sites     []Place    `json:"sites,omitempty"`
	Regions   []Region   `json:"regions,omitempty"`
	Zones     []Place    `json:"zones,omitempty"`
	Racks     []Place    `json:"racks,omitempty"`
	Chassis   []Place    `json:"chassis,omitempty"`
	Nodes     []Node     `json:"nodes,omitempty"`
	VMs       []VM       `json:"vms,omitempty"`
	Workloads []Workload `json:"workloads,omitempty"`
	Rollout   Rollout    `json:"rollout"`
	Moved     []Move     `json:"moved,omitempty"`
	Gates     []Gate     `json:"gates,omitempty"`
}

// Move says that the node now at To is the one that the state store knows as From: same machine, same data, another name.
type Move struct {
	From Path `json:"from"`
	To   Path `json:"to"`
}

// Cloud is the root of the tree.
type Cloud struct {
	Name    string   `json:"name"`
	Domain  string   `json:"domain"`
	Release string   `json:"release,omitempty"` // Debian code name
	NTP     []string `json:"ntp,omitempty"`
	DNS     []string `json:"dns,omitempty"`
}

// Place is a site, zone, rack or chassis.
type Place struct {
	Path Path `json:"path"`
	// UplinkMiBs is, of a rack, what migrations may use of its uplink, MiB/s; 0: not said.
	UplinkMiBs int `json:"uplink_mib_s,omitempty"`
}

// Region is one control plane, with its Ceph cluster where it has one.
type Region struct {
	Path        Path   `json:"path"`
	Ceph        *Ceph  `json:"ceph,omitempty"`
	VMAuthority string `json:"vm_authority,omitempty"` // "libvirt" (default) or "nova"
	Exposure    string `json:"exposure,omitempty"`     // "internal" or "internet"
}

// Ceph is a region's storage cluster.
type Ceph struct {
	FSID           string `json:"fsid,omitempty"`
	FailureDomain  string `json:"failure_domain"` // CRUSH type: host, chassis, rack, zone
	Network        string `json:"network,omitempty"`
	ClusterNetwork string `json:"cluster_network,omitempty"`
	Encrypted      bool   `json:"encrypted,omitempty"` // dm-crypt OSDs
	// Adopted: somebody else made it. It is compared with what is declared, and not changed.
	Adopted bool   `json:"adopted,omitempty"`
	Pools   []Pool `json:"pools,omitempty"`
	// S3 says where the nodes with role ceph-rgw serve; nil: at their addresses on the cluster's network, on port S3Port.
	S3 *S3 `json:"s3,omitempty"`
	// Filesystem is what the nodes with role ceph-mds serve; nil: none that the inventory knows of.
	Filesystem *Filesystem `json:"filesystem,omitempty"`
}

// S3 is where a region's object gateways serve S3, over HTTP.
type S3 struct {
	Network string `json:"network,omitempty"` // empty: the cluster's
	Port    int    `json:"port,omitempty"`    // 0: S3Port
}

// S3Port is the port of a region's gateways where the inventory names none: Ceph's own default.
const S3Port = 7480

// Pool is a Ceph pool: replicated when K is 0, otherwise erasure-coded with K data and M coding chunks.
type Pool struct {
	Name        string `json:"name"`
	Size        int    `json:"size,omitempty"`
	MinSize     int    `json:"min_size"`
	K           int    `json:"k,omitempty"`
	M           int    `json:"m,omitempty"`
	PGs         int    `json:"pgs,omitempty"`
	Application string `json:"application,omitempty"` // rbd, rgw, cephfs
	// DeviceClass limits the pool to OSDs of one CRUSH device class ("ssd", "hdd", "nvme"); empty: all.
	DeviceClass string `json:"device_class,omitempty"`
	// LeastPGs is what the autoscaler keeps at least, and what the pool begins with; 0: its own rule. No inventory says it.
	LeastPGs int `json:"-"`
}

// Role is what a node does.
type Role string

// The roles.
const (
	RoleCompute    Role = "compute"
	RoleCephMon    Role = "ceph-mon"
	RoleCephMgr    Role = "ceph-mgr"
	RoleCephOSD    Role = "ceph-osd"
	RoleCephMDS    Role = "ceph-mds"
	RoleCephRGW    Role = "ceph-rgw"
	RoleGateway    Role = "gateway"
	RoleController Role = "controller"
)

// Roles lists every role.
func Roles() []Role {
	return []Role{RoleCompute, RoleCephMon, RoleCephMgr, RoleCephOSD, RoleCephMDS, RoleCephRGW, RoleGateway, RoleController}
}

// Profile says how the nodes that name it look.
type Profile struct {
	Name       string      `json:"name"`
	Image      string      `json:"image"`
	Adopted    bool        `json:"adopted,omitempty"` // see Node.Adopted
	Butane     string      `json:"butane,omitempty"`  // file, relative to the inventory
	Roles      []Role      `json:"roles"`
	RootDevice DeviceHints `json:"root_device"`
	OSDDevice  DeviceHints `json:"osd_device,omitzero"`
	SlotGiB    int         `json:"slot_gib,omitempty"` // size of each slot; 0: the default
	LUKS       bool        `json:"luks,omitempty"`
	MDRAID     bool        `json:"mdraid,omitempty"`
	Bonds      []Bond      `json:"bonds,omitempty"`
	Bridges    []Bridge    `json:"bridges,omitempty"`
	KernelArgs []string    `json:"kernel_args,omitempty"`
	// What a machine of this profile has, where the node does not say otherwise.
	Cores         int     `json:"cores,omitempty"`
	MemoryGiB     int     `json:"memory_gib,omitempty"`
	CPUModel      string  `json:"cpu_model,omitempty"`
	CPUOvercommit float64 `json:"cpu_overcommit,omitempty"` // vCPU per core; 0: 1
	OSDs          int     `json:"osds,omitempty"`
	OSDGiB        int     `json:"osd_gib,omitempty"`
	// MigrationMiBs is what migrations may use of its network card, MiB/s; 0: not said.
	MigrationMiBs int `json:"migration_mib_s,omitempty"`
	// What is set apart for pinned machines: cores and memory in huge pages, in equal parts on NUMACells cells.
	NUMACells    int `json:"numa_cells,omitempty"`
	PinnedCores  int `json:"pinned_cores,omitempty"`
	HugePagesGiB int `json:"huge_pages_gib,omitempty"`
}

// Node is a name in the inventory that a machine stands behind.
type Node struct {
	Path    Path   `json:"path"`
	Name    string `json:"name"` // short host name, unique in the cloud
	Profile string `json:"profile"`
	Roles   []Role `json:"roles"`
	Chassis Path   `json:"chassis,omitempty"`
	Slot    int    `json:"slot,omitempty"`
	Serial  string `json:"serial,omitempty"` // the machine's, where the inventory pins one
	// Adopted: somebody else laid its system down, as its profile says. It is compared with what is declared, and not changed; it has no image.
	Adopted    bool        `json:"adopted,omitempty"`
	Cores      int         `json:"cores,omitempty"`
	MemoryGiB  int         `json:"memory_gib,omitempty"`
	BMC        BMC         `json:"bmc"`
	NICs       []NIC       `json:"nics"` // in the order of the inventory: the first is the one that boots
	Ports      []Port      `json:"ports,omitempty"`
	RootDevice DeviceHints `json:"root_device"`
	OSDDevice  DeviceHints `json:"osd_device,omitzero"`
	// Image is the resolved image: its name and, once the store is known, the digest of its manifest.
	Image ImageRef `json:"image"`
	// Config is the digest of the node's rendered host configuration (Ignition JSON); empty until rendered.
	Config Digest `json:"config,omitempty"`
	// State says that the node leaves; empty: it is to be in service.
	State NodeState `json:"state,omitempty"`
	// Consent names what may be destroyed on this node, each by serial; empty: nothing that carries data.
	Consent []string `json:"consent,omitempty"`
}

// NodeState is what the inventory says of a node that is not to be in service.
type NodeState string

// The states. A retired node is emptied in order and switched off; of a lost one nothing will come back, so that nothing of it is waited for.
const (
	Retired NodeState = "retired"
	Lost    NodeState = "lost"
)

// Leaves reports whether the node is on its way out of the inventory.
func (n Node) Leaves() bool { return n.State != "" }

// Port is an address of the host on an internal port of a bridge (BridgeVLAN of the profile).
type Port struct {
	Name    string       `json:"name"`
	Network string       `json:"network"`
	Address netip.Prefix `json:"address,omitzero"` // zero: allotted
}

// ImageRef names an image and pins it.
type ImageRef struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest,omitempty"`
}

// BMC is how a machine's management controller is reached. Credentials is a reference, never a value.
type BMC struct {
	Address     string    `json:"address"` // metal3 grammar
	Credentials SecretRef `json:"credentials"`
	CA          string    `json:"ca,omitempty"`  // PEM
	Pin         string    `json:"pin,omitempty"` // "sha256:HEX" of the leaf certificate
	Insecure    bool      `json:"insecure,omitempty"`
	Firmware    string    `json:"firmware,omitempty"` // "uefi" or "bios": asked for with every boot device; empty: what the machine is set to
}

// SecretRef is the name under which a driver asks the secret store. It is all that plans and logs ever see.
type SecretRef string

// VM is a virtual machine that this inventory itself declares (VM authority libvirt).
type VM struct {
	Name         string   `json:"name"`
	Node         Path     `json:"node"` // where it starts
	VCPUs        int      `json:"vcpus"`
	MemoryMiB    int      `json:"memory_mib"`
	Image        ImageRef `json:"image,omitzero"` // kernel and ramdisk to boot; none: its first disk is booted
	Disks        []VMDisk `json:"disks,omitempty"`
	NICs         []VMNIC  `json:"nics,omitempty"`
	AntiAffinity string   `json:"anti_affinity,omitempty"`
	OnDrain      string   `json:"on_drain,omitempty"` // refuse (default), stop_start, block_migrate
}

// VMDisk is a disk of a virtual machine: an image of a pool of its region's Ceph cluster.
type VMDisk struct {
	Name    string `json:"name"`
	Pool    string `json:"pool"`
	SizeGiB int    `json:"size_gib"`
	// Source is a file with raw content that the disk begins with, relative to the inventory, and SHA256 its digest; empty: an empty disk.
	Source string `json:"source,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// VMNIC is a network card of a virtual machine, a port of an Open vSwitch bridge.
type VMNIC struct {
	Bridge  string `json:"bridge"`
	VLAN    int    `json:"vlan,omitempty"`
	MAC     string `json:"mac"`
	Address string `json:"address,omitempty"` // prefix, told to the guest
}

// Workload describes, in numbers, virtual machines that somebody else owns: what a synthetic observation generates.
type Workload struct {
	Region Path  `json:"region"`
	VMs    int   `json:"vms"`
	VCPUs  int   `json:"vcpus,omitempty"` // in all
	Seed   int64 `json:"seed,omitempty"`
	// Apart is the part of the machines that are members of anti-affinity groups of three: 0 to 1.
	Apart   float64  `json:"apart,omitempty"`
	Flavors []Flavor `json:"flavors,omitempty"`
}

// Flavor is a size of virtual machine and how often it occurs.
type Flavor struct {
	Name      string  `json:"name"`
	VCPUs     int     `json:"vcpus"`
	MemoryMiB int     `json:"memory_mib"`
	Weight    float64 `json:"weight"`
	DirtyMiBs float64 `json:"dirty_mib_s,omitempty"`
	NUMACells int     `json:"numa_cells,omitempty"` // pinned to so many cells; 0: it floats
}

// Rollout is the policy under which a cloud is changed.
type Rollout struct {
	Order          []Path `json:"order,omitempty"`
	MaxUnavailable string `json:"max_unavailable,omitempty"` // "1", "10%", "1 rack per zone"
	Survive        string `json:"survive,omitempty"`         // grades: "A", "A+C", …
	Bake           string `json:"bake,omitempty"`            // duration
	Canary         int    `json:"canary,omitempty"`
	MaxParallel    int    `json:"max_parallel,omitempty"`
	Reserve        string `json:"reserve,omitempty"` // "10%" of each host is kept free of machines that are moved
	Method         string `json:"method,omitempty"`  // slot (default), reinstall, packages
	// Snapshot is what the method packages installs.
	Snapshot Snapshot `json:"snapshot,omitzero"`
	// SignedBy are the minisign public keys of which one must have signed a plan that is applied; none: plans need no signature.
	SignedBy []string `json:"signed_by,omitempty"`
	// HealthAllow are Ceph's health checks that a gate lets pass, by their names, such as "POOL_NO_REDUNDANCY".
	HealthAllow []string `json:"health_allow,omitempty"`
}

// Snapshot is a set of Debian packages in the image store: its name and, once the store is known, the digest of its manifest and what is in it.
type Snapshot struct {
	Name     string            `json:"name"`
	Digest   Digest            `json:"digest,omitempty"`
	Packages []SnapshotPackage `json:"packages,omitempty"`
}

// SnapshotPackage is a package of a snapshot.
type SnapshotPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Needs are the names of the packages that it depends on, alternatives included.
	Needs []string `json:"needs,omitempty"`
}

// Gate is an operator's own condition for a rollout to go on. It asks exactly one of Command, HTTP and Prometheus.
type Gate struct {
	Name string `json:"name"`
	// Scope is the place whose batches it concerns; empty: all.
	Scope Path `json:"scope,omitempty"`
	// Good is how many good answers in a row open it, Deadline how long it may give bad ones; 0: the defaults of package gate.
	Good       int             `json:"good,omitempty"`
	Deadline   time.Duration   `json:"deadline,omitempty"`
	Command    *GateCommand    `json:"command,omitempty"`
	HTTP       *GateHTTP       `json:"http,omitempty"`
	Prometheus *GatePrometheus `json:"prometheus,omitempty"`
}

// GateCommand is good when it exits with 0.
type GateCommand struct {
	Run  []string `json:"run"`
	Node Path     `json:"node,omitempty"` // empty: the machine on which nuboctl runs
}

// GateHTTP is good when a page answers with Status (0: 200) and its body matches the regular expression Matches, where there is one.
type GateHTTP struct {
	URL     string `json:"url"`
	Status  int    `json:"status,omitempty"`
	Matches string `json:"matches,omitempty"`
}

// GatePrometheus is good when every value that the query gives lies between Min and Max.
type GatePrometheus struct {
	URL   string   `json:"url"`
	Query string   `json:"query"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
}
