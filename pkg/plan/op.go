package plan

import (
	"fmt"
	"slices"
	"time"
)

// Kind names what an op does.
type Kind string

// The kinds of ops.
const (
	BMCIdentify Kind = "bmc.identify" // ask the BMC who it is and compare
	OrderArm    Kind = "order.arm"    // sign an install order and hand it to the relay
	OrderRecall Kind = "order.recall" // take an install order back that was not begun
	PowerOff    Kind = "power.off"
	BootNetwork Kind = "boot.network" // the next boot, once, from the network
	PowerOn     Kind = "power.on"     // and see the machine ask the relay for its boot
	InstallWait Kind = "install.wait" // until the nonce comes back
	HostStart   Kind = "host.start"   // power on, boot from its own disk
	HostVerify  Kind = "host.verify"  // over SSH with the reported key: boot id, release, digests
	OVSEnsure   Kind = "ovs.ensure"
	KVMEnsure   Kind = "kvm.ensure"
	HostConfig  Kind = "host.config"   // files of the host that somebody changed, put back
	KVMStorage  Kind = "kvm.storage"   // libvirt's key to the pools of the region's Ceph cluster
	KVMMigrate  Kind = "kvm.migration" // certificates, addresses and ports for moves of virtual machines
	VMEnsure    Kind = "vm.ensure"     // define and start
)

// The kinds that make a Ceph cluster.
const (
	CephCreate Kind = "ceph.create" // a new cluster with its first monitor
	CephMon    Kind = "ceph.mon"    // a monitor, until it is in quorum
	CephMgr    Kind = "ceph.mgr"
	CephOSD    Kind = "ceph.osd"    // empty disks become OSDs; never a disk with data
	CephMDS    Kind = "ceph.mds"    // a metadata server with its key, until it serves or stands by
	CephRGW    Kind = "ceph.rgw"    // an object gateway with its key and its pools, until it serves
	CephSettle Kind = "ceph.settle" // rules, pools, keys and the file system
)

// CephRequire ends the rise of a cluster to another major release, once every OSD runs it: from then on none of an older one starts. It stands in a stage of its own, behind
// the last batch of its region.
const CephRequire Kind = "ceph.require"

// The kinds that take a node out of service for good, in the order in which they come. CephPurge also removes what is left in a cluster of disks that are gone.
const (
	CephOut   Kind = "ceph.out"   // its OSDs: their data goes elsewhere
	CephEmpty Kind = "ceph.empty" // until no placement group needs them
	CephPurge Kind = "ceph.purge" // OSDs, their keys, and the host's bucket once nothing is in it
	CephLeave Kind = "ceph.leave" // its monitor, its manager, its metadata server and its object gateway
	DiskWipe  Kind = "disk.wipe"  // disks that the node consents to, but never that of its system
)

// The kinds of a rollout. Those of a host come in the order in which they stand here, each waiting for the one before; those of a batch have the
// subject of BatchSubject: BatchCertify comes before the first of a host but SlotWrite, BatchGate after the last of every host, BatchBake after it.
//
// A host of a batch needs SlotWrite (in the batch's stage or an earlier one), SlotBoot and SlotCommit; one that can run virtual machines HostCordon,
// HostDrain and HostUncordon; one with AttrCeph in the initial state CephStop and CephStart; one with OSDs, which has AttrCeph, CephNoout and
// CephRestore. HostVerify, HostConfig, OVSEnsure, KVMEnsure and KVMMigrate may stand between SlotBoot and SlotCommit. BatchBake is needed when the policy bakes.
//
// Under the method reinstall a host needs no slot of its own making. Where SlotBoot would be stand OrderArm, for a host on which nothing runs any more, HostOff, BootNetwork,
// PowerOn, InstallWait and HostVerify; and there is no SlotCommit: what is laid down is what boots.
//
// Under the method packages PackagesFetch stands where SlotWrite does, and PackagesInstall in the place of SlotBoot; there is no SlotCommit. Virtual machines stay unless the
// policy says otherwise (Policy.Stays), so that there is no HostDrain; Ceph's daemons stop when their own packages change, or when the host is emptied.
const (
	SlotWrite       Kind = "slot.write"       // the image onto the idle slot, while virtual machines run
	PackagesFetch   Kind = "packages.fetch"   // a snapshot's files onto the host, while everything runs; the installation is tried out
	PackagesInstall Kind = "packages.install" // install them, and restart the services that come with them

	BatchCertify Kind = "batch.certify" // solve the batch's placements again from a fresh observation, and verify them
	HostCordon   Kind = "host.cordon"   // nothing new is placed on it
	HostDrain    Kind = "host.drain"    // migrate its virtual machines to where the certificate says
	CephNoout    Kind = "ceph.noout"    // for the host's bucket, with an expiry that the host itself keeps
	CephStop     Kind = "ceph.stop"     // its daemons, after our own check and Ceph's
	SlotBoot     Kind = "slot.boot"     // restart into the idle slot, once, until it is proven good
	HostOff      Kind = "host.off"      // shut an emptied host down, to be laid down anew
	CephStart    Kind = "ceph.start"    // its daemons, until they are up and in
	CephRestore  Kind = "ceph.restore"  // noout unset again
	SlotCommit   Kind = "slot.commit"   // the slot that runs becomes the default
	HostUncordon Kind = "host.uncordon" // it may be used again
	BatchGate    Kind = "batch.gate"    // until the region is healthy, and stays so for a while
	BatchBake    Kind = "batch.bake"    // wait, and stop the rollout when a gate closes meanwhile
)

// KindInfo is what is true of every op of a kind.
type KindInfo struct {
	// Verb says in the imperative what the op does to its target.
	Verb string
	// Reversible tells whether what the op did can be undone by another op. What cannot is one-way, and a plan says so.
	Reversible bool
	// Destructive tells that data can be lost: such an op runs at most once per approval.
	Destructive bool
	// Waits tells that the op only looks and waits: it changes nothing, and may be interrupted at any moment.
	Waits bool
	// Passes are attributes of its target that its own act changes on the way: one that was begun and did not come to its end may find them anyhow, and goes on
	// from there.
	Passes []Attr
	// Timeout bounds one run of the op, retries included.
	Timeout time.Duration
	// Patience is for how long a BMC that the op asks may be busy or silent at a stretch before the op gives up; zero for kinds that ask none as a matter of course.
	Patience time.Duration
}

// kinds is the one table of op kinds.
var kinds = map[Kind]KindInfo{
	BMCIdentify: {Verb: "check who answers at the BMC", Reversible: true, Timeout: 25 * time.Minute, Patience: 10 * time.Minute},
	OrderArm:    {Verb: "sign an install order and arm the relay", Reversible: true, Timeout: 15 * time.Minute},
	OrderRecall: {Verb: "take back its install order, which was not begun", Reversible: true, Timeout: 5 * time.Minute},
	PowerOff:    {Verb: "power off", Reversible: true, Timeout: 30 * time.Minute, Patience: 10 * time.Minute},
	BootNetwork: {Verb: "boot once from the network", Reversible: true, Timeout: 25 * time.Minute, Patience: 10 * time.Minute},
	PowerOn:     {Verb: "power on, until the relay sees it boot", Reversible: false, Destructive: true, Passes: []Attr{AttrPower, AttrBoot}, Timeout: 50 * time.Minute, Patience: 10 * time.Minute},
	InstallWait: {Verb: "install, until the nonce comes back", Reversible: false, Destructive: true, Timeout: 90 * time.Minute, Patience: 10 * time.Minute},
	HostStart:   {Verb: "power on, from its own disk", Reversible: true, Timeout: 30 * time.Minute, Patience: 10 * time.Minute},
	HostVerify:  {Verb: "verify the host over SSH", Reversible: true, Timeout: time.Hour, Patience: 10 * time.Minute},
	OVSEnsure:   {Verb: "bring Open vSwitch to its bridges", Reversible: true, Timeout: 5 * time.Minute},
	KVMEnsure:   {Verb: "make the hypervisor ready", Reversible: true, Timeout: 5 * time.Minute},
	HostConfig:  {Verb: "put changed files of the host back", Reversible: true, Timeout: 5 * time.Minute},
	KVMStorage:  {Verb: "give the hypervisor its key to the Ceph pools", Reversible: true, Timeout: 5 * time.Minute},
	KVMMigrate:  {Verb: "prepare for live migration", Reversible: true, Timeout: 5 * time.Minute},
	VMEnsure:    {Verb: "define and start the virtual machine", Reversible: true, Timeout: 10 * time.Minute},

	CephCreate: {Verb: "create the cluster with its first monitor", Reversible: false, Timeout: 30 * time.Minute},
	CephMon:    {Verb: "run a monitor, until it is in quorum", Reversible: true, Timeout: 30 * time.Minute},
	CephMgr:    {Verb: "run a manager", Reversible: true, Timeout: 30 * time.Minute},
	CephOSD:    {Verb: "make its empty disks OSDs, until they are in service", Reversible: true, Timeout: 60 * time.Minute},
	CephMDS:    {Verb: "run a metadata server, until it serves or stands by", Reversible: true, Timeout: 30 * time.Minute},
	CephRGW:    {Verb: "run an object gateway, until it serves S3", Reversible: true, Timeout: 30 * time.Minute},
	CephSettle: {Verb: "bring pools and keys to what is declared", Reversible: true, Timeout: 20 * time.Minute},

	CephRequire: {Verb: "let no OSD of an older release start any more", Reversible: false, Timeout: 30 * time.Minute},

	CephOut:   {Verb: "mark its OSDs out", Reversible: true, Timeout: 5 * time.Minute},
	CephEmpty: {Verb: "wait until no placement group needs its OSDs", Reversible: true, Waits: true, Timeout: 14 * 24 * time.Hour},
	CephPurge: {Verb: "remove OSDs from the cluster, each when Ceph says that nothing needs it", Reversible: false, Timeout: 24 * time.Hour},
	CephLeave: {Verb: "take its monitor, its manager, its metadata server and its object gateway out of the cluster", Reversible: true, Timeout: 30 * time.Minute},
	DiskWipe:  {Verb: "wipe disks", Reversible: false, Destructive: true, Timeout: time.Hour},

	SlotWrite:       {Verb: "write the image to the idle slot", Reversible: true, Timeout: 60 * time.Minute},
	PackagesFetch:   {Verb: "bring the snapshot's packages and try their installation out", Reversible: true, Timeout: 60 * time.Minute},
	PackagesInstall: {Verb: "install the packages and restart their services", Reversible: false, Timeout: 60 * time.Minute},

	BatchCertify: {Verb: "certify the batch against what is there now", Reversible: true, Waits: true, Timeout: 10 * time.Minute},
	HostCordon:   {Verb: "cordon", Reversible: true, Timeout: 2 * time.Minute},
	HostDrain:    {Verb: "migrate its virtual machines away", Reversible: true, Timeout: 4 * time.Hour},
	CephNoout:    {Verb: "set noout for its OSDs, with an expiry", Reversible: true, Timeout: 2 * time.Minute},
	CephStop:     {Verb: "stop its Ceph daemons, when both checks allow it", Reversible: true, Timeout: 45 * time.Minute},
	SlotBoot:     {Verb: "boot the other slot once, until it is proven good", Reversible: true, Timeout: 2 * time.Hour, Patience: 10 * time.Minute},
	HostOff:      {Verb: "shut the emptied host down", Reversible: true, Timeout: 2 * time.Hour, Patience: 10 * time.Minute},
	CephStart:    {Verb: "start its Ceph daemons, until they are up", Reversible: true, Timeout: 15 * time.Minute},
	CephRestore:  {Verb: "unset noout", Reversible: true, Timeout: 2 * time.Minute},
	SlotCommit:   {Verb: "make the running slot the default", Reversible: true, Timeout: 2 * time.Minute},
	HostUncordon: {Verb: "uncordon", Reversible: true, Timeout: 2 * time.Minute},
	BatchGate:    {Verb: "wait until the region is healthy", Reversible: true, Waits: true, Timeout: 4 * time.Hour},
	BatchBake:    {Verb: "bake", Reversible: true, Waits: true, Timeout: 24 * time.Hour},
}

// Info returns the table's row, and whether the kind is known.
func (k Kind) Info() (KindInfo, bool) {
	i, ok := kinds[k]
	return i, ok
}

// Kinds lists every kind, in no order.
func Kinds() []Kind {
	out := make([]Kind, 0, len(kinds))
	for k := range kinds {
		out = append(out, k)
	}
	return out
}

// OpID identifies an op within a plan and between plans for the same change: "KIND SUBJECT".
type OpID string

// ID is the identity of an op of this kind on this subject.
func ID(k Kind, s Subject) OpID { return OpID(string(k) + " " + string(s)) }

// Op is one step on one target, as plain data.
type Op struct {
	// Args are the op's parameters, by name; digests and names, never secrets.
	Args map[string]string `json:"args,omitempty"`
	ID   OpID              `json:"id"`
	Kind Kind              `json:"kind"`
	// Needs are ops of the same stage that must be done before.
	Needs []OpID `json:"needs,omitempty"`
	// Post are the facts that hold when the op is done.
	Post []Fact `json:"post,omitempty"`
	// Pre are the facts without which the op is not begun.
	Pre []Fact `json:"pre,omitempty"`
	// Target is what the op acts on.
	Target Subject `json:"target"`
	// Uses names what the op takes a share of while it runs ("bmc:…", "relay:…", "rack:…"); the engine limits each.
	Uses []string `json:"uses,omitempty"`
}

// Again is the op as it is begun once more, after a try that did not come to its end: what it passes through is no precondition then.
func (o Op) Again() Op {
	info, _ := o.Kind.Info()
	o.Pre = slices.DeleteFunc(slices.Clone(o.Pre), func(f Fact) bool { return f.Subject == o.Target && slices.Contains(info.Passes, f.Attr) })
	return o
}

// Outcome is what a probe can tell of an op whose intent is on record without an outcome.
type Outcome string

// The outcomes. Unknown stops the target and counts against every budget.
const (
	Applied    Outcome = "applied"
	NotApplied Outcome = "not applied"
	Unknown    Outcome = "unknown"
)

// Progress is what a running op says of itself. Done and Total are bytes where bytes move, else zero. Waiting says what is waited for.
type Progress struct {
	Text    string `json:"text,omitempty"`
	Waiting string `json:"waiting,omitempty"`
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
}

// String explains the op in one line for people.
func (o Op) String() string {
	info, ok := o.Kind.Info()
	if !ok {
		return fmt.Sprintf("%s %s", o.Kind, o.Target)
	}
	return fmt.Sprintf("%s: %s", o.Target, info.Verb)
}
