package plan

import "github.com/nuboctl/nuboctl/pkg/model"

// Certificate is the evidence that a rollout keeps its invariants: the fleet it reasons from, the policy it obeys, and for every batch the set
// that is down with a witness placement for each virtual machine that has to leave it. Package verify checks it with nothing but the plan file.
//
// Hosts, shapes, virtual machines, clusters and groups are named by their index in the fleet, so that half a million virtual machines fit a file.
//
// What is checked of a batch concerns its region: the region's cluster and every group with a member there, whether the batch touches them or not.
// Down is the batch together with every host that is lost (Host.Down):
//   - I1: more than half of each quorum group is up, and at most one of its members is in the batch. I2: each placement group keeps min_size copies
//     outside of down.
//   - I3: every virtual machine on a host of the batch is moved or stopped, and no other is. It goes to a host outside of down, in its zone, whose
//     class at that time has its CPU model, machine type and networks. There arrivals count at once and nothing leaves; with them
//     100 × used ≤ (100 − ReservePercent) × capacity for VCPUs and MemoryMiB, and used ≤ capacity in each NUMA cell. A host that gets none is not asked.
//   - I4: the place a virtual machine goes to holds no other member of its group, neither before nor after the batch; and of one group at most one
//     member is stopped by a batch, those on lost hosts counted.
//   - I5, I9: of a standby or key group that the batch touches, one member is in down, and one at least is not.
//   - I6: the batch lies in one zone, and those of its hosts that have OSDs in one place of Cluster.FailureDomain.
//   - I7: no virtual machine moves to a class of a lower version, and none stays where its CPU model or networks are no longer to be had. No host with OSDs
//     goes to a release of Ceph that a monitor of its cluster does not have yet, more than two ahead, back, or below what its cluster requires; and a cluster
//     whose release rises has three monitors, all of them up, and no file system of more than one rank or with servers that follow another's journal. CephRequire comes in a stage behind the batches of its region, and asks for no release that a
//     host with OSDs of it does not have by then.
//
// Virtual machines stay where a batch has moved them. Hosts of a batch have ClassAfter once it is over.
type Certificate struct {
	Batches []Batch `json:"batches"`
	Bound   Bound   `json:"bound"`
	Fleet   Fleet   `json:"fleet"`
	// Grade is what every batch reaches; empty when there is none.
	Grade  Grade  `json:"grade"`
	Policy Policy `json:"policy"`
}

// Fleet is the projection of an observation that a rollout's safety depends on.
type Fleet struct {
	// Apart are the anti-affinity groups.
	Apart    []Apart   `json:"apart,omitempty"`
	Classes  []Class   `json:"classes"`
	Clusters []Cluster `json:"clusters,omitempty"`
	// Groups are services of several members that must not go down together.
	Groups []Group `json:"groups,omitempty"`
	// Hosts are all nodes of the plan's initial state, sorted by path.
	Hosts  []Host  `json:"hosts"`
	Links  []Link  `json:"links,omitempty"`
	Shapes []Shape `json:"shapes,omitempty"`
	VMs    VMs     `json:"vms"`
}

// Host is a node as a place for virtual machines, and as something to be changed.
type Host struct {
	// Cells are its NUMA cells' dedicated CPUs and huge pages; they are apart from VCPUs and MemoryMiB.
	Cells []Cell `json:"cells,omitempty"`
	// Ceph and CephAfter are the major releases of Ceph that it has, before and after it is changed, where it has a part in a cluster; 0: not known.
	Ceph      int        `json:"ceph,omitempty"`
	CephAfter int        `json:"ceph_after,omitempty"`
	Change    bool       `json:"change,omitempty"`  // this rollout takes it out of service, once; never one that is Down
	Chassis   model.Path `json:"chassis,omitempty"` // empty: it is a chassis of its own
	// Class and ClassAfter say what it can run, before and after it is changed; indexes into Classes, -1: no virtual machines.
	Class      int32 `json:"class"`
	ClassAfter int32 `json:"class_after"`
	// Down says that it failed or is not known: it counts as lost in every batch.
	Down bool `json:"down,omitempty"`
	// MemoryMiB and VCPUs are what virtual machines may use in all, overcommit and the host's own share counted.
	MemoryMiB int64      `json:"memory_mib"`
	MiBs      int64      `json:"mib_s,omitempty"` // speed of its network card for migrations, MiB/s
	Path      model.Path `json:"path"`
	VCPUs     int64      `json:"vcpus"`
}

// Cell is one NUMA cell: dedicated CPUs, and memory in huge pages.
type Cell struct {
	CPUs    int64 `json:"cpus"`
	HugeMiB int64 `json:"huge_mib"`
}

// Class is a kind of hypervisor. No virtual machine moves to a class of a lower Version.
type Class struct {
	CPUs     []string `json:"cpus"`     // the CPU models it can give a guest
	Machines []string `json:"machines"` // the machine types it knows
	Networks []string `json:"networks,omitempty"`
	Version  int      `json:"version"`
}

// Shape is what many virtual machines have in common.
type Shape struct {
	Cells     int      `json:"cells,omitempty"` // NUMA cells it is pinned to, evenly; 0: it floats over the host's VCPUs and memory
	CPU       string   `json:"cpu"`             // the CPU model it was started with
	DirtyMiBs float64  `json:"dirty_mib_s,omitempty"`
	Machine   string   `json:"machine"` // its machine type
	MemoryMiB int64    `json:"memory_mib"`
	Name      string   `json:"name"`
	Networks  []string `json:"networks,omitempty"`
	VCPUs     int64    `json:"vcpus"`
}

// VMs are the virtual machines in columns of one length, sorted by name. A virtual machine stays in its zone.
type VMs struct {
	// Cells are the bit masks of the NUMA cells that the pinned have now, as many as their shape says, 0 for the others; empty when none is pinned.
	// Of each cell, a pinned one takes an even share of its VCPUs and memory, rounded up; it takes nothing of the host's VCPUs and MemoryMiB.
	Cells Ints `json:"cells,omitempty"`
	// Consent are those whose owner allows them to be stopped and started again, ascending: those of Fixed always are, the others where they find no place.
	Consent Ints `json:"consent,omitempty"`
	// Fixed are those that cannot be migrated (their own policy, a passed-through device, a local disk), by index, ascending.
	Fixed Ints     `json:"fixed,omitempty"`
	Host  Ints     `json:"host"`
	Names []string `json:"names"`
	Shape Ints     `json:"shape"`
}

// Apart is a group of virtual machines no two of which may share a place of the level.
type Apart struct {
	Level string `json:"level"` // host, chassis or rack
	Name  string `json:"name"`
	VMs   Ints   `json:"vms"`
}

// The levels of Apart and of Cluster.FailureDomain.
const (
	LevelHost    = "host"
	LevelChassis = "chassis"
	LevelRack    = "rack"
	LevelZone    = "zone"
)

// Cluster is a region's storage, as far as taking hosts down matters to it. Every region of a host has one; a region without Ceph one without pools.
type Cluster struct {
	// FailureDomain is the level whose places are lost as a whole: CRUSH's, and the one that grades B and C are about.
	FailureDomain string `json:"failure_domain"`
	// Filesystems are all there are, by their names.
	Filesystems []Filesystem `json:"filesystems,omitempty"`
	// Mons and Mgrs are the hosts with a monitor and with a manager, ascending.
	Mgrs     Ints       `json:"mgrs,omitempty"`
	Mons     Ints       `json:"mons,omitempty"`
	OSDHosts Ints       `json:"osd_hosts,omitempty"` // ascending
	Pools    []Pool     `json:"pools,omitempty"`
	Region   model.Path `json:"region"`
	// Require is the major release of Ceph below which none of its OSDs starts; 0: not known.
	Require int `json:"require,omitempty"`
}

// Filesystem is a CephFS, as far as it matters to a rise of Ceph's release.
type Filesystem struct {
	Name string `json:"name"`
	// Ranks is how many metadata servers share it, or are to.
	Ranks int `json:"ranks"`
	// StandbyReplay: others follow their journals.
	StandbyReplay bool `json:"standby_replay,omitempty"`
}

// Pool is a Ceph pool with its placement groups seen as sets of hosts.
type Pool struct {
	// Acting holds Size different hosts with OSDs for each distinct acting set, one after the other; -1 is a copy that is missing now.
	Acting Ints `json:"acting"`
	// Count is how many placement groups have the acting set.
	Count   Ints   `json:"count"`
	Data    int    `json:"data"` // copies or chunks without which nothing can be read: 1, or k of an erasure-coded pool
	MinSize int    `json:"min_size"`
	Name    string `json:"name"`
	Size    int    `json:"size"` // copies, or k+m
}

// Group is a service of several members, each on a host of its own.
type Group struct {
	Hosts Ints      `json:"hosts"`
	Kind  GroupKind `json:"kind"`
	Name  string    `json:"name"`
}

// GroupKind says how much of a group must be up.
type GroupKind string

// The kinds of groups.
const (
	Quorum  GroupKind = "quorum"  // more than half: monitors, databases, etcd
	Standby GroupKind = "standby" // at least one of those there are: mgr, MDS, RGW, gateway, API; and they go one at a time
	// Key is for what hosts, or the rollout itself, need while it goes on: name servers, time servers, a relay. As Standby, so that the host of one that
	// is alone is in no batch.
	Key GroupKind = "key"
)

// Link is a shared piece of network that migrations cross when exactly one of source and destination is among Hosts.
type Link struct {
	Hosts Ints   `json:"hosts"`
	MiBs  int64  `json:"mib_s"`
	Name  string `json:"name"`
}

// Batch is a set of hosts that are out of service together. Its ops are those of one stage.
type Batch struct {
	Counts Counts `json:"counts"`
	// Grade is what is survived while the batch is down: A by I1 to I5; B and C also when any one place of the region's failure domain is lost
	// beside it, whole: with B each placement group keeps min_size, each quorum group its majority, each other group one member; with C each
	// placement group keeps Data copies, each quorum group one member. Short says, for each of B and C that is not reached, what breaks it.
	Grade Grade `json:"grade"`
	Hosts Ints  `json:"hosts"` // ascending
	Moves Moves `json:"moves"`
	// Seconds are predicted: draining, the longest host, recovery, bake. It is no part of the evidence.
	Seconds int64    `json:"seconds"`
	Short   []string `json:"short,omitempty"`
	// Stage is an index into Plan.Stages, ascending from batch to batch. Stages without a batch prepare: they hold ops of kind SlotWrite or PackagesFetch only. One
	// behind all batches of its region may hold CephRequire.
	Stage int `json:"stage"`
	// Stops are the virtual machines that are stopped with their owner's consent and started again on their host.
	Stops Ints       `json:"stops,omitempty"`
	Zone  model.Path `json:"zone"`
}

// Moves are migrations in columns: VM goes to host To. Cells is the bit mask of NUMA cells for the pinned, 0 for the others; empty when none is.
type Moves struct {
	Cells Ints `json:"cells,omitempty"`
	To    Ints `json:"to"`
	VM    Ints `json:"vm"`
}

// Counts are what a reader asks of a batch first. Verify recomputes them.
type Counts struct {
	Displaced int `json:"displaced"`  // virtual machines that leave
	PGsAtMin  int `json:"pgs_at_min"` // placement groups of PGsDown left with exactly min_size copies
	PGsDown   int `json:"pgs_down"`   // placement groups that lose a copy to the batch
	// QuorumSpare is the least number of further members that a quorum group touched by the batch could lose; -1 when it touches none.
	QuorumSpare int `json:"quorum_spare"`
}

// Grade is a set of the letters A, B and C, written "A+C"; empty: nothing is promised.
type Grade string

// Bound is what no rollout under the policy can do better than, and what makes it so.
type Bound struct {
	Binding string      `json:"binding"` // of the zone with the most rounds: "memory in north/north-int/az2"
	Rounds  int         `json:"rounds"`  // batches that any plan needs
	Seconds int64       `json:"seconds"`
	Zones   []ZoneBound `json:"zones"`
}

// ZoneBound is the bound of one zone beside what the plan has.
type ZoneBound struct {
	Binding      string     `json:"binding"`
	Bound        int        `json:"bound"`
	BoundSeconds int64      `json:"bound_seconds"`
	Rounds       int        `json:"rounds"`
	Seconds      int64      `json:"seconds"`
	Zone         model.Path `json:"zone"`
}

// Policy is the rollout block resolved: what a certificate is checked against. Its digest is the plan's Provenance.Policy.
type Policy struct {
	BakeSeconds int64 `json:"bake_seconds"`
	// Canary is how many hosts the first batch of each site has at most; 0: no canary.
	Canary int `json:"canary"`
	// MaxParallel is how many hosts may be in a batch, the lost ones of its zone counted; 0: no limit.
	MaxParallel    int            `json:"max_parallel,omitempty"`
	MaxUnavailable MaxUnavailable `json:"max_unavailable"`
	// Method is MethodSlot, MethodReinstall, MethodPackages, or MethodDrain.
	Method string `json:"method"`
	// Order are the places one after the other; what none of them contains comes last, by path of its zone. The batches of a zone, and those
	// of a region and of a site within one of the places, follow each other without another's between.
	Order []model.Path `json:"order,omitempty"`
	// ReservePercent of each host's capacity is kept free of virtual machines that are moved.
	ReservePercent int `json:"reserve_percent,omitempty"`
	// Stays says that virtual machines stay on the hosts of a batch and run on: under MethodPackages, when no package is a SwitchPackage. Storage and services of the batch
	// count as down all the same, since what a package brings may fail them.
	Stays   bool  `json:"stays,omitempty"`
	Survive Grade `json:"survive"` // the least grade accepted
	Times   Times `json:"times"`
}

// MethodSlot restarts hosts into their other slot; MethodReinstall installs them again over the network, onto the disk of their system only.
const (
	MethodSlot      = "slot"
	MethodReinstall = "reinstall"
)

// MethodDrain is the Policy.Method of a drain: virtual machines leave the hosts of a batch and do not come back, and everything else on them runs on.
// So no storage and no service counts as down with the batch, grade A may be missing where it is missing already, and its hosts are no destination
// for later batches.
const MethodDrain = "drain"

// Drains reports whether hosts are drained and not changed.
func (p Policy) Drains() bool { return p.Method == MethodDrain }

// Reinstalls reports whether hosts are laid down anew.
func (p Policy) Reinstalls() bool { return p.Method == MethodReinstall }

// MaxUnavailable bounds how much of each place of level Per that a batch touches is down at once, lost hosts included: Count places of level Unit,
// each of which counts when any host of it is down, or Percent of its hosts, rounded down.
// Both zero: no bound.
type MaxUnavailable struct {
	Count   int    `json:"count,omitempty"`
	Per     string `json:"per,omitempty"` // zone, region, site, or empty for the cloud
	Percent int    `json:"percent,omitempty"`
	Unit    string `json:"unit,omitempty"` // host, chassis or rack
}

// Times are what predictions assume, in seconds.
type Times struct {
	Host     int64 `json:"host"`     // from the drained host's restart until it is verified
	Recovery int64 `json:"recovery"` // until placement groups are clean after OSDs come back
	Settle   int64 `json:"settle"`   // what a migration takes beside copying memory
}
