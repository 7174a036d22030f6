package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Driver carries out ops of every kind in one world.
type Driver struct{ world World }

// New makes a driver for a world.
func New(w World) *Driver {
	if w.Clock == nil {
		w.Clock = SystemClock{}
	}
	w.nodes = make(map[model.Path]model.Node, len(w.Desired.Nodes))
	for _, n := range w.Desired.Nodes {
		w.nodes[n.Path] = n
	}
	return &Driver{world: w}
}

// Knows reports whether ops of a kind can be carried out in the driver's world.
func (d *Driver) Knows(k plan.Kind) bool {
	w := d.world
	switch k {
	case plan.SlotWrite, plan.SlotCommit:
		return w.Slots != nil
	case plan.PackagesFetch:
		return w.Packages != nil
	case plan.PackagesInstall:
		return w.Packages != nil && w.Hosts != nil && w.Guests != nil && w.Batches != nil
	case plan.SlotBoot:
		return w.Slots != nil && w.Hosts != nil && w.Guests != nil && w.Batches != nil
	case plan.HostOff:
		return w.Machines != nil && w.Hosts != nil && w.Guests != nil && w.Batches != nil
	case plan.HostCordon:
		return w.Cordons != nil
	case plan.CephCreate, plan.CephMon, plan.CephMgr, plan.CephOSD, plan.CephMDS, plan.CephRGW, plan.CephSettle, plan.CephRequire:
		return w.Clusters != nil
	case plan.CephOut, plan.CephEmpty, plan.CephPurge, plan.CephLeave, plan.DiskWipe:
		return w.Clusters != nil && w.Departures != nil
	case plan.HostUncordon:
		return w.Cordons != nil && w.Guests != nil
	case plan.HostDrain:
		return w.Guests != nil && w.Batches != nil
	case plan.CephNoout, plan.CephStop, plan.CephStart, plan.CephRestore:
		return w.Storage != nil
	case plan.BatchCertify, plan.BatchGate, plan.BatchBake:
		return w.Batches != nil
	}
	return applies[k] != nil
}

// apply is what a kind of op does.
type apply func(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error

// applies is the one table of what ops do.
var applies = map[plan.Kind]apply{
	plan.BMCIdentify: identify,
	plan.OrderArm:    arm,
	plan.OrderRecall: recall,
	plan.PowerOff:    powerOff,
	plan.BootNetwork: bootNetwork,
	plan.PowerOn:     powerOn,
	plan.InstallWait: installWait,
	plan.HostStart:   hostStart,
	plan.HostVerify:  hostVerify,
	plan.OVSEnsure:   ovsEnsure,
	plan.KVMEnsure:   kvmEnsure,
	plan.HostConfig:  hostConfig,
	plan.KVMStorage:  kvmStorage,
	plan.KVMMigrate:  kvmMigrate,
	plan.VMEnsure:    vmEnsure,

	plan.CephCreate: cephCreate,
	plan.CephMon:    cephDaemon(model.RoleCephMon),
	plan.CephMgr:    cephDaemon(model.RoleCephMgr),
	plan.CephOSD:    cephDaemon(model.RoleCephOSD),
	plan.CephMDS:    cephDaemon(model.RoleCephMDS),
	plan.CephRGW:    cephDaemon(model.RoleCephRGW),
	plan.CephSettle: cephSettle,

	plan.CephRequire: cephRequire,

	plan.CephOut:   cephOut,
	plan.CephEmpty: cephEmpty,
	plan.CephPurge: cephPurge,
	plan.CephLeave: cephLeave,
	plan.DiskWipe:  diskWipe,

	plan.PackagesFetch:   packagesFetch,
	plan.PackagesInstall: packagesInstall,

	plan.SlotWrite:    slotWrite,
	plan.BatchCertify: certify,
	plan.HostCordon:   cordon,
	plan.HostDrain:    drain,
	plan.CephNoout:    noout,
	plan.CephStop:     cephStop,
	plan.SlotBoot:     slotBoot,
	plan.HostOff:      hostOff,
	plan.CephStart:    cephStart,
	plan.CephRestore:  cephRestore,
	plan.SlotCommit:   slotCommit,
	plan.HostUncordon: uncordon,
	plan.BatchGate:    gate,
	plan.BatchBake:    bake,
}

// Check reads the op's conditions from the world: nil when it may begin, a *HeldError when there is nothing left to do, a *StaleError when a
// precondition does not hold, another error when that cannot be found out.
func (d *Driver) Check(ctx context.Context, op plan.Op) error {
	if _, ok := applies[op.Kind]; !ok {
		return fmt.Errorf("%s: this program cannot carry out ops of kind %q", op.ID, op.Kind)
	}
	r := newReader(d.at(ctx, op))
	before := r.unmet(ctx, required(op))
	if before != nil && asMismatch(before) == nil {
		return before
	}
	if m := asMismatch(before); m != nil && ofBatch(op.Target) {
		return &StaleError{m}
	}
	if op.Kind == plan.BMCIdentify || ofBatch(op.Target) {
		return nil // it asks: its effect is there all the time, or nowhere
	}
	after := r.unmet(ctx, visible(op))
	if after == nil {
		return &HeldError{Op: op.ID}
	}
	if m := asMismatch(before); m != nil {
		return &StaleError{m}
	}
	if asMismatch(after) == nil {
		return after
	}
	return nil
}

// Apply carries the op out and reports on the way. It does not repeat what it finds done.
func (d *Driver) Apply(ctx context.Context, op plan.Op, report func(plan.Progress)) error {
	w := d.at(ctx, op)
	w.tell = report
	return applies[op.Kind](ctx, w, op, report)
}

// Verify reads the op's postconditions from the world. The error wraps ErrUnverified when one does not hold.
func (d *Driver) Verify(ctx context.Context, op plan.Op) error {
	err := newReader(d.at(ctx, op)).unmet(ctx, visible(op))
	if m := asMismatch(err); m != nil {
		return fmt.Errorf("%s: %w: %w", op.ID, ErrUnverified, m)
	}
	return err
}

// Probe tells what became of an op whose intent is on record without an outcome.
func (d *Driver) Probe(ctx context.Context, op plan.Op) (plan.Outcome, error) {
	if ofBatch(op.Target) {
		return plan.NotApplied, nil // it asked and waited, and left nothing
	}
	r := newReader(d.at(ctx, op))
	after := r.unmet(ctx, visible(op))
	if after == nil {
		return plan.Applied, nil
	}
	if m := asMismatch(after); m != nil && op.Kind == plan.SlotBoot && answered(m) {
		return plan.NotApplied, nil
	}
	if asMismatch(after) != nil && leavesNothing[op.Kind] {
		return plan.NotApplied, nil
	}
	if asMismatch(after) != nil && seenElsewhere[op.Kind] {
		return plan.NotApplied, nil
	}
	before := r.unmet(ctx, op.Pre)
	if before == nil && asMismatch(after) != nil {
		return plan.NotApplied, nil
	}
	return plan.Unknown, errors.Join(after, before)
}

// seenElsewhere are the kinds whose effect is read from the BMC or the order book, which answer or fail, but are not silent: when they answer and
// the effect is not there, the op has not had it, whatever else has changed. A host's silence, in contrast, tells nothing of what was done to it.
var seenElsewhere = map[plan.Kind]bool{
	plan.BMCIdentify: true, plan.OrderArm: true, plan.OrderRecall: true, plan.PowerOff: true, plan.BootNetwork: true, plan.PowerOn: true, plan.InstallWait: true,
	plan.HostStart: true, plan.HostOff: true,
	// It looks, and what it may do to the machine of a host that never answered is on record elsewhere.
	plan.HostVerify: true,
	// Slots, cordons, guests and storage answer or fail.
	plan.SlotWrite: true, plan.HostCordon: true, plan.HostDrain: true, plan.CephNoout: true, plan.CephStop: true, plan.CephStart: true,
	plan.CephRestore: true, plan.SlotCommit: true, plan.HostUncordon: true,
	// Packages are read from the host, which answers or fails; an installation that goes on by itself is joined.
	plan.PackagesFetch: true, plan.PackagesInstall: true,
	// So does a cluster, and a host that is asked for its disks.
	plan.CephOut: true, plan.CephEmpty: true, plan.CephPurge: true, plan.CephLeave: true, plan.DiskWipe: true, plan.CephRequire: true,
}

// answered reports whether a host that does not run what it should runs something else: only a host that is silent leaves the question open.
func answered(m *Mismatch) bool {
	i := slices.IndexFunc(m.Want, func(f plan.Fact) bool { return f.Attr == plan.AttrHost })
	return i < 0 || m.Found[i] != ""
}

// leavesNothing are the kinds of which an effect that is seen not to be there settles the matter, although the world may have moved on. They
// wait and change nothing, but that a host which has never answered may be started cold, once; powering on for an install only lets an order begin, whose nonce guards the disk wherever the machine is by now.
// Whether such an op may begin again is for Check to say.
var leavesNothing = map[plan.Kind]bool{plan.BMCIdentify: true, plan.PowerOn: true, plan.InstallWait: true, plan.HostVerify: true}

// visible are the postconditions that can be read back. What a boot consumes is gone at the controller's leisure, and what an op makes absent
// (an unreachable host, a stopped machine) is not to be seen through the thing that is gone. That an order is not there, or has not begun, can be seen, and so can
// a flag that is not set, and that no OSD is lost. What an op of a batch found out is nowhere in the world.
func visible(op plan.Op) []plan.Fact {
	return slices.DeleteFunc(slices.Clone(op.Post), func(f plan.Fact) bool {
		gone := f.Value == "" && f.Attr != plan.AttrOrder && f.Attr != plan.AttrInstall && f.Attr != plan.AttrCordon && f.Attr != plan.AttrNoout && f.Attr != plan.AttrLost
		return gone || ofBatch(f.Subject)
	})
}

// required are the preconditions that the world must show before the op begins. That a batch was certified, or its gate open, is shown by the
// order of the ops; and what the op restores by itself need not hold yet.
func required(op plan.Op) []plan.Fact {
	return slices.DeleteFunc(slices.Clone(op.Pre), func(f plan.Fact) bool { return ofBatch(f.Subject) || restorable(op, f) })
}

func ofBatch(s plan.Subject) bool {
	_, ok := s.Batch()
	return ok
}
