// Package ops holds what each kind of op does to the world. An op is data (package plan); here is, per kind, how its precondition is checked, how
// it is applied, how its postcondition is verified, and how a probe tells after a crash whether it took effect. The world is reached through the
// ports declared here, and only through them.
package ops

import (
	"context"
	"errors"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Machines opens management controllers.
type Machines interface {
	// Open reaches the node's BMC, proves who it is, logs in, and compares the machine's serial number with the node's. What the BMC is told to do later is looked at
	// before it is done: a state that holds already is not written again. An error that may pass by itself (a BMC that is busy or does not answer, a reply that is lost)
	// has a method Transient() bool that says so, and may have Brief() string: what is the matter, to be read behind the machine's name.
	Open(ctx context.Context, n model.Node) (Machine, error)
}

// Machine is one machine behind its BMC. Every write is read back by the driver.
type Machine interface {
	Power(ctx context.Context) (model.Power, error)
	SetPower(ctx context.Context, want model.Power) error
	// Boot is facts.NetBoot while the next boot is from the network because its BMC was told so, otherwise empty.
	Boot(ctx context.Context) (string, error)
	// SetBoot makes the next boot, and where the BMC can do that only the next, one from there: facts.NetBoot, or empty for what the firmware is set to.
	SetBoot(ctx context.Context, from string) error
	Close(ctx context.Context) error
}

// Installs gives install orders and follows them.
type Installs interface {
	// Arm signs an order for the node and hands it to the relay of its network, with all it refers to.
	Arm(ctx context.Context, n model.Node, goal order.Goal, spec model.Digest, report func(text string, done, total int64)) error
	// Recall takes the node's last order back, so that no boot of its machine is answered with it. One that is over, or is not there, is no error; one that was begun is.
	Recall(ctx context.Context, n model.Node) error
	// Order is what is known of the node's last order; the zero value when there is none.
	Order(ctx context.Context, n model.Node) (model.ObservedOrder, error)
	// Watch returns the order's status once it is newer than version after, or after a while without news; the version goes into the next call.
	Watch(ctx context.Context, n model.Node, after int) (order.Status, int, error)
	// Keep stores what a finished install reported, host keys above all.
	Keep(ctx context.Context, n model.Node, result order.Installed) error
}

// FirstBoots keeps what became of the first boot of a host that was laid down.
type FirstBoots interface {
	// Answered records that the node's host has answered since it was laid down: from then on it may carry load.
	Answered(ctx context.Context, n model.Node) error
	// Cold reports whether the node's host was laid down a short time ago and has not answered since, so that it may be switched off and on; and
	// records that it was. It is true once for each install.
	Cold(ctx context.Context, n model.Node) (bool, error)
}

// Hosts are running hosts, reached over SSH with host keys that are known before.
type Hosts interface {
	// Observe reports an unreachable host in the value (Reachable, Error), not as an error, except when ctx ends.
	Observe(ctx context.Context, n model.Node) (model.ObservedHost, error)
	// EnsureFiles puts back files that are not as they were laid down, and lets the services concerned read them.
	EnsureFiles(ctx context.Context, n model.Node) error
	// EnsureBridges brings Open vSwitch to the bridges; a change that could cut the host off rolls back by itself unless it is confirmed.
	EnsureBridges(ctx context.Context, n model.Node) error
	// EnsureHypervisor makes libvirt ready to run machines.
	EnsureHypervisor(ctx context.Context, n model.Node) error
	// Shutdown has the host shut itself down in order, and switch its machine off. It returns when that is ordered.
	Shutdown(ctx context.Context, n model.Node) error
}

// Hypervisors are the parts of running hosts that virtual machines need beyond their own host.
type Hypervisors interface {
	// EnsureStorage gives libvirt its key to the pools in which virtual machines of the region have disks.
	EnsureStorage(ctx context.Context, n model.Node) error
	// EnsureMigration prepares the host to take virtual machines from others, and to give them its own.
	EnsureMigration(ctx context.Context, n model.Node) error
}

// VMs are virtual machines whose authority is libvirt.
type VMs interface {
	// Observe returns the zero value when the node has no such machine.
	Observe(ctx context.Context, vm model.VM) (model.ObservedVM, error)
	// Ensure defines the machine under the digest spec and starts it.
	Ensure(ctx context.Context, vm model.VM, spec model.Digest) error
}

// Guests is the VM authority: who may place, move, stop and start virtual machines. Virtual machines are named by their names.
type Guests interface {
	// List are the virtual machines on a node, running or held; an error when that cannot be told for certain.
	List(ctx context.Context, n model.Node) ([]Guest, error)
	// Migrate moves a running machine live. It returns when the machine runs at its destination and is gone from its source; after an error it still
	// runs at its source. The error wraps ErrNoRoom when the destination does not take it.
	Migrate(ctx context.Context, vm string, from, to model.Node, report func(plan.Progress)) error
	// Hold stops a machine whose owner consents, and marks it so that Release finds it.
	Hold(ctx context.Context, vm string, n model.Node) error
	// Release starts a held machine on its node again.
	Release(ctx context.Context, vm string, n model.Node) error
}

// Guest is a virtual machine on a node.
type Guest struct {
	Name      string
	DirtyMiBs float64 // how fast it writes to its memory
	Fixed     bool    // it cannot be migrated
	Consent   bool    // its owner allows it to be stopped and started again
	Held      bool    // stopped by Hold
	Marked    bool    // it runs, and bears the mark of Hold: its release was cut short, and Release ends it
}

// Slots are the two root file systems of running hosts. Every method fails on a host that does not answer.
type Slots interface {
	State(ctx context.Context, n model.Node) (SlotState, error)
	// Write lays the node's image and configuration down in the idle slot; spec is their digest. A slot counts only when it is complete.
	Write(ctx context.Context, n model.Node, spec model.Digest, report func(plan.Progress)) error
	// BootOnce restarts the host into its idle slot, once: whatever happens then, the boot after it is from the default slot. It returns when the
	// restart is ordered.
	BootOnce(ctx context.Context, n model.Node) error
	// Abandon restarts a host that runs a slot on trial into its default slot. It returns when the restart is ordered.
	Abandon(ctx context.Context, n model.Node) error
	// Commit makes the running slot the default.
	Commit(ctx context.Context, n model.Node) error
}

// SlotState is what the slots hold, each by the digest of facts.HostSpec; empty when it holds nothing complete.
type SlotState struct {
	Idle    model.Digest
	Default model.Digest
}

// Packages are those of running hosts, beside the snapshot that the inventory names. Every method fails on a host that does not answer.
type Packages interface {
	State(ctx context.Context, n model.Node) (PackageState, error)
	// Stage brings the files of the packages to the host, compares each with its digest, and tries their installation out: what would remove a package, or install one that the
	// snapshot does not hold, is an error. Nothing that runs notices.
	Stage(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error
	// Install installs what was staged, and restarts the services that come with it; Ceph's daemons are left alone. The host goes on by itself when nobody follows any more, and an
	// installation that was cut off is brought to its end.
	Install(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error
	// Busy reports whether an installation goes on there, whoever has begun it.
	Busy(ctx context.Context, n model.Node) (bool, error)
}

// PackageState tells which snapshots a host has, by their digests: the one whose files are there and can be installed, and the one that is installed.
type PackageState struct{ Staged, Installed model.Digest }

// Cordons keep new virtual machines away from nodes. What is seen and changed is nuboctl's own mark; somebody else's stays as it is.
type Cordons interface {
	// Cordon is the mark; the zero value when there is none.
	Cordon(ctx context.Context, n model.Node) (Mark, error)
	// SetCordon sets the mark in the place of the one there is, or removes it when Until is zero.
	SetCordon(ctx context.Context, n model.Node, m Mark) error
}

// Mark is a cordon.
type Mark struct {
	Until time.Time // when it ends by itself
	// Drained says that an operator wants the host empty, whatever rollouts do meanwhile.
	Drained bool
}

// Is reports whether there is a mark at a time.
func (m Mark) Is(now time.Time) bool { return m.Until.After(now) }

// Clusters makes Ceph clusters out of hosts.
type Clusters interface {
	// Observe tells what there is of a region's cluster. That it cannot be told is an error.
	Observe(ctx context.Context, region model.Path) (model.ObservedCeph, error)
	// Create makes the region's cluster with its first monitor, provided that no host of the region has anything of one.
	Create(ctx context.Context, region model.Path) error
	// Ensure makes and starts a node's daemons of a role. A disk that holds anything is never made an OSD without the node's consent.
	Ensure(ctx context.Context, n model.Node, role model.Role) error
	// Settle brings rules, pools and keys to what is declared.
	Settle(ctx context.Context, region model.Path) error
	// Require has the cluster start no OSD of a major release below this one any more. It cannot be taken back.
	Require(ctx context.Context, region model.Path, release int) error
}

// Departures take OSDs and daemons of a node out of its region's Ceph cluster for good, and wipe its disks. What the cluster still has of the node is told by
// Clusters. An error wraps ErrNeeded when Ceph does not let something go yet; nothing was removed then that it needs.
type Departures interface {
	// Out marks OSDs out: their data goes elsewhere while they serve it.
	Out(ctx context.Context, n model.Node, osds []int) error
	// Destroyable is Ceph's own answer to whether OSDs may go for good: nil, or why not.
	Destroyable(ctx context.Context, n model.Node, osds []int) error
	// Purge stops OSDs, as far as they run, and removes them from the cluster, each after Ceph was asked once more; and the host's bucket once it is empty.
	Purge(ctx context.Context, n model.Node, osds []int) error
	// Leave takes the node's monitor, manager, metadata server and object gateway out of the cluster, provided that a quorum holds without.
	Leave(ctx context.Context, n model.Node) error
	// Wipe removes what is on disks of the node's host, by their serial numbers: of those that the node consents to, and never that of its system.
	Wipe(ctx context.Context, n model.Node, serials []string) error
}

// Storage is the Ceph cluster that a node belongs to.
type Storage interface {
	// Observe tells of the node's daemons, and of every placement group that has a copy there.
	Observe(ctx context.Context, n model.Node) (Ceph, error)
	// SetNoout sets noout for the node's bucket, or unsets it when until is zero. The cluster's side keeps the expiry: it needs nobody to come back.
	SetNoout(ctx context.Context, n model.Node, until time.Time) error
	// OKToStop is Ceph's own answer to whether the node's daemons may stop now: nil, or why not.
	OKToStop(ctx context.Context, n model.Node) error
	// SetDaemons has the node's daemons start, and returns when that is ordered; or it stops them, and returns when they have stopped.
	SetDaemons(ctx context.Context, n model.Node, run bool) error
}

// Ceph is a cluster as seen from one node.
type Ceph struct {
	// Daemons is plan.Up when all of the node's are in service, plan.Stopped when none is running, empty in between.
	Daemons string
	Noout   time.Time // when it ends; zero when it is not set for the node
	OSDs    []int32   // the node's
	// Data tells the node's OSDs with the identity of their data, in the words of facts.OSDData; empty when there are none, or one is not known.
	Data string
	// Pools hold the placement groups that have a copy on the node.
	Pools []CephPool
	// Unsure says why the placement groups are not all known; empty when they are.
	Unsure string
}

// CephPool is a pool with the acting sets of its placement groups.
type CephPool struct {
	Name    string
	MinSize int
	Size    int
	Acting  []int32 // Size OSDs for each placement group, one after the other; -1 is a copy that is missing or not complete
}

// Batches knows the certificate of the plan that is being run, and the health of the places that its batches lie in.
type Batches interface {
	// Certify solves the batch's placements again for what is there now, and has them verified. The error is a *HaltedError when none is safe.
	Certify(ctx context.Context, batch int) error
	// Destination says where the certified placement puts a virtual machine of a node; "" when it has no place for it. It certifies the node's batch
	// when this process has not yet, or when again is true. The caller moves it there, and then calls over with what came of that: until then the
	// machine counts where it goes, whoever has the batch certified.
	Destination(ctx context.Context, n model.Node, vm string, again bool) (to model.Path, over func(error), err error)
	// Stoppable tells whether the services that live on several hosts can do without the node now: every quorum keeps its majority and every service
	// with standbys one member. Nil, or why not.
	Stoppable(ctx context.Context, n model.Node) error
	// Health lists what is wrong in the batch's region; nothing when it is healthy.
	Health(ctx context.Context, batch int) ([]string, error)
}

// Clock is the time in which ops wait.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with the context's error when that ends before.
	Sleep(ctx context.Context, d time.Duration) error
	// AfterFunc calls f after d, beside its caller, unless stopped before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// World is all that ops reach. A port that is nil cannot be reached: ops that need it are not known.
type World struct {
	Desired  model.Desired
	Clock    Clock // SystemClock unless set
	Machines Machines
	Installs Installs
	// FirstBoots may be nil: then no host is switched off because it does not answer.
	FirstBoots FirstBoots
	Hosts      Hosts
	// Hypervisors may be the same as Hosts.
	Hypervisors Hypervisors
	VMs         VMs
	Guests      Guests
	Slots       Slots
	Packages    Packages
	Cordons     Cordons
	Storage     Storage
	Clusters    Clusters
	Departures  Departures
	Batches     Batches

	// Patience is for how long a BMC may be busy or silent at a stretch; zero: as the kinds of ops say.
	Patience time.Duration

	nodes    map[model.Path]model.Node
	patience time.Duration       // with BMCs
	tell     func(plan.Progress) // of that; may be nil
}

// The ways in which an op fails that its caller tells apart.
var (
	// ErrUnverified says that an op was carried out and its effect cannot be seen.
	ErrUnverified = errors.New("the effect is not there")
	// ErrNoRoom says that a host does not take a virtual machine now.
	ErrNoRoom = errors.New("no room")
	// ErrNeeded says that a cluster cannot do without something yet.
	ErrNeeded = errors.New("the cluster needs it")
	// ErrNotInInventory says that a plan names something that the inventory does not have.
	ErrNotInInventory = errors.New("not in the inventory")
)
