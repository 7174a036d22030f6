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
	Ceph          []ObservedCeph `json:"ceph,omitempty"`
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
	BootOnce  string `json:"boot_once,omitempty"` // "network" while its BMC has been told to boot it from there
	Error     string `json:"error,omitempty"`
}

// ObservedOrder is what the state store and the relay know of the node's last install order.
type ObservedOrder struct {
	ID    string `json:"id,omitempty"`
	Spec  Digest `json:"spec,omitempty"`  // what it installs: HostSpec digest
	Phase string `json:"phase,omitempty"` // armed, started, installed, failed
	// Serial is the serial number that the node had when the order was given; empty: it had none, or nobody noted it.
	Serial string `json:"serial,omitempty"`
	// Before: an earlier install of the node came to its end, and this order is not known to have been begun. What was installed may be running.
	Before bool `json:"before,omitempty"`
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
	CPU         string   `json:"cpu,omitempty"`       // processor that guests get who take the host's own, as a word of the inventory
	Files       string   `json:"files,omitempty"`     // facts.FilesKept, or which files are not as they were laid down; empty: not known
	Disks       string   `json:"disks,omitempty"`     // Ceph pools that libvirt has a key to, "POOL,POOL"
	Migration   string   `json:"migration,omitempty"` // address at which virtual machines of other hosts are taken; empty: not prepared
	FailedUnits []string `json:"failed_units,omitempty"`
	// Cordoned is when nuboctl's mark that no virtual machine may come ends by itself, by the observer's clock; zero when there is none.
	Cordoned time.Time `json:"cordoned_until,omitzero"`
	// Drained says that the mark is an operator's drain, and not a rollout's that is under way or was broken off.
	Drained bool `json:"drained,omitempty"`
	// Noout is when the noout that nuboctl set for the host's OSDs ends by itself; zero when there is none, or nobody asked.
	Noout time.Time `json:"noout_until,omitzero"`
	// Idle is what the slot that does not run holds; nil when that is not complete, or was not looked at. Default is what boots by default.
	Idle    *ObservedSlot `json:"idle,omitempty"`
	Default *ObservedSlot `json:"default,omitempty"`
	// Packages is how the host stands to the snapshot of packages that it was asked about; nil: to none.
	Packages *ObservedPackages `json:"packages,omitempty"`
	// Ceph is what of a cluster is on the host; nil on hosts without a role in one.
	Ceph  *ObservedCephHost `json:"ceph,omitempty"`
	Error string            `json:"error,omitempty"`
}

// ObservedSlot is what one of a host's two slots was made of.
type ObservedSlot struct {
	Image  Digest `json:"image"`
	Config Digest `json:"config"`
	// Proven is set when it was booted and declared good.
	Proven bool `json:"proven,omitempty"`
}

// ObservedPackages is how a host stands to a snapshot of packages.
type ObservedPackages struct {
	Against Digest `json:"against"` // the snapshot
	// Done is the snapshot that was installed last in the slot that runs, with its services restarted; Staged the one whose files are there, complete and tried out.
	Done   Digest `json:"done,omitempty"`
	Staged Digest `json:"staged,omitempty"`
	// Installed are those of the snapshot's packages that the host has in some version.
	Installed []ObservedPackage `json:"installed,omitempty"`
	// Services are the units of these packages that run.
	Services []string `json:"services,omitempty"`
}

// ObservedPackage is an installed package beside the snapshot's.
type ObservedPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Is says what the installed version is beside the snapshot's, by the host's dpkg: "older", "same" or "newer".
	Is string `json:"is"`
}

// ObservedVM is a virtual machine as its host or its authority tells it.
type ObservedVM struct {
	Name  string `json:"name"`
	Node  Path   `json:"node"`
	State string `json:"state"` // running, paused, shutoff, …
	// Arriving is set when it is on its way here, or just about to be gone: its other place has it, too.
	Arriving  bool   `json:"arriving,omitempty"`
	VCPUs     int    `json:"vcpus,omitempty"`
	MemoryMiB int    `json:"memory_mib,omitempty"`
	Spec      Digest `json:"spec,omitempty"` // digest under which nuboctl defined it; empty: not ours
	// What decides where it can run: the CPU model and the machine type it was started with, and its networks.
	CPUModel string   `json:"cpu_model,omitempty"`
	Machine  string   `json:"machine,omitempty"`
	Networks []string `json:"networks,omitempty"`
	// NUMACells is how many cells it is pinned to, with dedicated CPUs and huge pages; 0: it floats.
	NUMACells int     `json:"numa_cells,omitempty"`
	DirtyMiBs float64 `json:"dirty_mib_s,omitempty"` // how fast it writes to its memory
	Flavor    string  `json:"flavor,omitempty"`
	// AntiAffinity names the group of machines that must not share a place; the level is host unless it ends in "@rack" or "@chassis".
	AntiAffinity string `json:"anti_affinity,omitempty"`
	// Fixed says why it cannot be migrated; OnDrain is its owner's word for that case (VM.OnDrain).
	Fixed   string `json:"fixed,omitempty"`
	OnDrain string `json:"on_drain,omitempty"`
}

// ObservedCeph is a region's cluster as Ceph itself tells it.
type ObservedCeph struct {
	Region Path     `json:"region"`
	FSID   string   `json:"fsid"`
	Health string   `json:"health"` // HEALTH_OK, HEALTH_WARN, HEALTH_ERR
	Checks []string `json:"checks,omitempty"`
	Flags  []string `json:"flags,omitempty"` // cluster-wide, such as noout
	// Require is the major release below which no OSD starts (require_osd_release), by its number; 0: not known.
	Require int              `json:"require,omitempty"`
	Mons    []ObservedDaemon `json:"mons,omitempty"` // Up: in quorum
	Mgrs    []ObservedDaemon `json:"mgrs,omitempty"` // Active: the one of them
	RGWs    []ObservedDaemon `json:"rgws,omitempty"` // Up: it serves, and has told the managers so
	MDSs    []ObservedDaemon `json:"mdss,omitempty"` // Up: in the monitors' map, and heard of; Active: it holds a rank
	OSDs    []ObservedOSD    `json:"osds,omitempty"`
	Pools   []ObservedPool   `json:"pools,omitempty"`
	Keys    []ObservedKey    `json:"keys,omitempty"`
	// Filesystems are all there are, declared or not.
	Filesystems []ObservedFilesystem `json:"filesystems,omitempty"`
	// Unsure says why the placement groups are not all known; empty when they are.
	Unsure string `json:"unsure,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not be asked
	// Absent is set when every host that should have a monitor answered, and none has anything of a cluster.
	Absent bool `json:"absent,omitempty"`
	// Settings is the digest of the declaration when pools, rules and keys are as declared; otherwise Drift says what is not.
	Settings Digest   `json:"settings,omitempty"`
	Drift    []string `json:"drift,omitempty"`
	// Hosts are the nodes with a role in the cluster.
	Hosts []ObservedCephHost `json:"hosts,omitempty"`
	// Empty are the hosts' buckets of the CRUSH tree without an OSD, by their names.
	Empty []string `json:"empty,omitempty"`
	// Foreign names pools and keys that the inventory does not: they are left alone, and told.
	Foreign []string `json:"foreign,omitempty"`
}

// ObservedCephHost is what of a cluster is on one host.
type ObservedCephHost struct {
	Node Path   `json:"node"`
	FSID string `json:"fsid,omitempty"` // of its ceph.conf
	// Stores are the daemons whose data is there ("mon.NAME", "mgr.NAME", "mds.NAME", "radosgw.rgw.NAME"); Running those that run, OSDs among them ("osd.3").
	Stores  []string `json:"stores,omitempty"`
	Running []string `json:"running,omitempty"`
	// Volumes are OSDs that its disks carry, of this cluster or another.
	Volumes []ObservedVolume `json:"volumes,omitempty"`
	// Disks are its whole disks; Signatures says what was found on each.
	Disks []Disk `json:"disks,omitempty"`
	// Declared is set when its ceph.conf is the inventory's.
	Declared bool   `json:"declared,omitempty"`
	Error    string `json:"error,omitempty"` // why it could not be looked at
}

// ObservedVolume is an OSD on a disk, by the tags that ceph-volume leaves on its logical volume.
type ObservedVolume struct {
	OSD     int    `json:"osd"`
	FSID    string `json:"fsid"`    // of the OSD
	Cluster string `json:"cluster"` // FSID of its cluster
	Device  string `json:"device"`  // the kernel's name of its disk today
	Crypt   bool   `json:"crypt,omitempty"`
}

// ObservedKey is an identity that the cluster knows. The key itself is never observed.
type ObservedKey struct {
	Entity string            `json:"entity"` // client.nubo-vms
	Caps   map[string]string `json:"caps,omitempty"`
}

// ObservedDaemon is a monitor, a manager, a metadata server or an object gateway.
type ObservedDaemon struct {
	Name    string `json:"name"`
	Node    Path   `json:"node,omitempty"`
	Up      bool   `json:"up"`
	Active  bool   `json:"active,omitempty"`
	Version string `json:"version,omitempty"`
}

// ObservedOSD is one OSD and the disk behind it.
type ObservedOSD struct {
	ID       int               `json:"id"`
	Node     Path              `json:"node,omitempty"`
	FSID     string            `json:"fsid,omitempty"`
	Up       bool              `json:"up"`
	In       bool              `json:"in"`
	Class    string            `json:"class,omitempty"`    // CRUSH device class
	Location map[string]string `json:"location,omitempty"` // CRUSH type → bucket
	Device   string            `json:"device,omitempty"`   // serial number of its disk
	Bytes    int64             `json:"bytes,omitempty"`    // its size; 0: not known
	Used     int64             `json:"used,omitempty"`     // of Bytes
	Version  string            `json:"version,omitempty"`
}

// ObservedPool is a pool with its placement groups.
type ObservedPool struct {
	Name    string `json:"name"`
	ID      int    `json:"id"`
	Size    int    `json:"size"`
	MinSize int    `json:"min_size"`
	K       int    `json:"k,omitempty"` // data chunks of an erasure-coded pool; 0: replicated
	M       int    `json:"m,omitempty"` // coding chunks
	// Domain is the CRUSH type that its rule spreads copies over, Class the device class it is limited to.
	Domain      string `json:"domain,omitempty"`
	Class       string `json:"class,omitempty"`
	Application string `json:"application,omitempty"`
	PGs         int    `json:"pgs"`
	// Acting holds Size OSD ids for each placement group, one after the other; -1 is a copy that is missing.
	Acting []int32 `json:"acting,omitempty"`
	// Unclean counts placement groups that are not active and clean.
	Unclean int `json:"unclean,omitempty"`
}
