package model

import "time"

// Power is the state of a machine's main supply as its BMC tells it.
type Power string

// The power states. Unknown is what an unreachable BMC leaves us with.
const (
	PowerOn      Power = "on"
	PowerOff     Power = "off"
	PowerUnknown Power = "unknown"
)

// Observed is what is really there. Taken is provenance and has no effect on a plan.
type Observed struct {
	FormatVersion int            `json:"format_version"`
	Taken         time.Time      `json:"taken,omitzero"`
	Nodes         []ObservedNode `json:"nodes,omitempty"`
	VMs           []ObservedVM   `json:"vms,omitempty"`
}

// ObservedNode is one node's machine, its order and its host.
type ObservedNode struct {
	Path  Path          `json:"path"`
	BMC   ObservedBMC   `json:"bmc"`
	Order ObservedOrder `json:"order,omitzero"`
	Host  ObservedHost  `json:"host,omitzero"`
}

// ObservedBMC is what the management controller said; Error says why it did not.
type ObservedBMC struct {
	Reachable bool   `json:"reachable"`
	Serial    string `json:"serial,omitempty"`
	Model     string `json:"model,omitempty"`
	Power     Power  `json:"power,omitempty"`
	BootOnce  string `json:"boot_once,omitempty"` // "network" when the next boot, and only that, is from the network
	Error     string `json:"error,omitempty"`
}

// ObservedOrder is what the state store and the relay know of the node's last install order.
type ObservedOrder struct {
	ID    string `json:"id,omitempty"`
	Spec  Digest `json:"spec,omitempty"`  // what it installs: HostSpec digest
	Phase string `json:"phase,omitempty"` // armed, started, installed, failed
}

// ObservedHost is what a running host said over SSH.
type ObservedHost struct {
	Reachable   bool     `json:"reachable"`
	BootID      string   `json:"boot_id,omitempty"`
	Release     string   `json:"release,omitempty"` // VERSION_CODENAME
	Kernel      string   `json:"kernel,omitempty"`
	Slot        string   `json:"slot,omitempty"` // a or b
	Image       Digest   `json:"image,omitempty"`
	Config      Digest   `json:"config,omitempty"`
	OVS         []Bridge `json:"ovs,omitempty"`
	OVSVersion  string   `json:"ovs_version,omitempty"`
	Libvirt     string   `json:"libvirt,omitempty"` // version, empty when it does not answer
	QEMU        string   `json:"qemu,omitempty"`
	FailedUnits []string `json:"failed_units,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// ObservedVM is a virtual machine as its host or its authority tells it.
type ObservedVM struct {
	Name      string `json:"name"`
	Node      Path   `json:"node"`
	State     string `json:"state"` // running, paused, shutoff, …
	VCPUs     int    `json:"vcpus,omitempty"`
	MemoryMiB int    `json:"memory_mib,omitempty"`
	Spec      Digest `json:"spec,omitempty"` // digest under which nuboctl defined it; empty: not ours
}
