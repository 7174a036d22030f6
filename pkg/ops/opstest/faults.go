package opstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// errHalts stands for every error that halts a rollout.
var errHalts = errors.New("halts the rollout")

// is reports whether an error is what a failure is to be.
func is(err, want error) bool {
	var h interface{ Halts() bool }
	return want == nil || errors.Is(err, want) || (want == errHalts && errors.As(err, &h) && h.Halts())
}

// failure is what an op says in the face of a fault.
type failure struct {
	fault rack.Fault
	kind  plan.Kind
	err   error  // what the error wraps; nil: only its text counts
	text  string // in the error
	begun int    // how often the disk was begun to be written
	probe plan.Outcome
}

var failures = []failure{
	{rack.Unreachable, plan.BMCIdentify, nil, "does not answer", 0, plan.Unknown},
	{rack.Impostor, plan.BMCIdentify, nil, "serial number", 0, plan.Unknown},
	{rack.Unreachable, plan.PowerOff, nil, "does not answer", 0, plan.Unknown},
	{rack.RelayLost, plan.OrderArm, nil, "relay", 0, plan.Unknown},
	{rack.LostReply, plan.OrderArm, nil, "connection reset", 0, plan.Applied},
	{rack.RelayLost, plan.OrderRecall, nil, "relay", 0, plan.Unknown},
	{rack.LostReply, plan.OrderRecall, nil, "connection reset", 0, plan.Applied},
	{rack.Forgetful, plan.BootNetwork, ops.ErrUnverified, "boot of node:lab/r1/az1/a/blade-01", 0, plan.NotApplied},
	{rack.Hung, plan.PowerOn, ops.ErrSilent, "nuboctl bmc console blade-01", 0, plan.NotApplied},
	{rack.Silent, plan.InstallWait, ops.ErrSilent, "apply again", 1, plan.NotApplied},
	{rack.Refused, plan.InstallWait, nil, "refused, and wrote nothing", 0, plan.NotApplied},
	{rack.Failed, plan.InstallWait, nil, "failed: tried to fetch the image on /dev/vda: chunk has a wrong digest", 1, plan.NotApplied},
	{rack.RelayLost, plan.InstallWait, nil, "relay", 0, plan.Unknown},
	{rack.LostReply, plan.InstallWait, nil, "connection reset", 1, plan.Applied},
	{rack.HostSilent, plan.HostVerify, nil, "does not answer over SSH: connection refused", 1, plan.NotApplied},
	{rack.HostOther, plan.HostVerify, nil, "booted something else", 1, plan.NotApplied},
	{rack.HostSilent, plan.OVSEnsure, nil, "does not answer", 1, plan.Unknown},
	{rack.LostReply, plan.OVSEnsure, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.KVMEnsure, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.VMEnsure, nil, "connection reset", 1, plan.Applied},

	// Of a cluster.
	{rack.HostSilent, plan.CephCreate, nil, "does not answer", 1, plan.Unknown},
	{rack.LostReply, plan.CephCreate, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.CephMon, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.CephMgr, nil, "connection reset", 1, plan.Applied},
	{rack.HostSilent, plan.CephOSD, nil, "does not answer", 1, plan.Unknown},
	{rack.LostReply, plan.CephOSD, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.CephMDS, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.CephRGW, nil, "connection reset", 1, plan.Applied},
	{rack.LostReply, plan.CephSettle, nil, "connection reset", 1, plan.Applied},

	// Of a cluster whose daemons have all gone to another release.
	{rack.HostSilent, plan.CephRequire, nil, "does not answer", 0, plan.Unknown},
	{rack.LostReply, plan.CephRequire, nil, "connection reset", 0, plan.Applied},
	{rack.OlderOSD, plan.CephRequire, errHalts, "osd.0 is of release 16", 0, plan.NotApplied},

	// Of a node that leaves.
	{rack.LostReply, plan.CephOut, nil, "connection reset", 0, plan.Applied},
	{rack.HostSilent, plan.CephEmpty, nil, "does not answer", 0, plan.Unknown},
	{rack.LostReply, plan.CephPurge, nil, "connection reset", 0, plan.Applied},
	{rack.LostReply, plan.CephLeave, nil, "connection reset", 0, plan.Applied},
	{rack.HostSilent, plan.DiskWipe, nil, "does not answer", 0, plan.Unknown},
	{rack.LostReply, plan.DiskWipe, nil, "connection reset", 0, plan.Applied},

	// Of a rollout.
	{rack.HostSilent, plan.SlotWrite, nil, "does not answer", 0, plan.Unknown},
	{rack.LostReply, plan.SlotWrite, nil, "connection reset", 0, plan.Applied},
	{rack.Unsafe, plan.BatchCertify, errHalts, "memory is short", 0, plan.NotApplied},
	{rack.LostReply, plan.HostCordon, nil, "connection reset", 0, plan.Applied},
	{rack.Immovable, plan.HostDrain, nil, "migrate vm-01 from lab/r1/az1/a/blade-01 to lab/r1/az1/a/blade-02", 0, plan.NotApplied},
	{rack.LostReply, plan.CephNoout, nil, "connection reset", 0, plan.Applied},
	{rack.Degraded, plan.CephStop, errHalts, "below min_size", 0, plan.NotApplied},
	{rack.FallsBack, plan.SlotBoot, errHalts, "fell back", 0, plan.NotApplied},
	{rack.Unsound, plan.SlotBoot, errHalts, "libvirt does not answer; it runs", 0, plan.NotApplied},
	{rack.Unreachable, plan.HostOff, nil, "does not answer", 0, plan.Unknown},
	{rack.LostReply, plan.HostOff, nil, "connection reset", 0, plan.NotApplied}, // it shuts down, and is not off yet
	{rack.Hung, plan.SlotBoot, nil, "has not answered since its restart", 0, plan.Unknown},
	{rack.LostReply, plan.SlotBoot, nil, "connection reset", 0, plan.Unknown},     // on its way down, and nobody can tell where it comes up
	{rack.LostReply, plan.CephStart, nil, "connection reset", 0, plan.NotApplied}, // not yet: starting them again does no harm
	{rack.LostReply, plan.CephRestore, nil, "connection reset", 0, plan.Applied},
	{rack.LostReply, plan.SlotCommit, nil, "connection reset", 0, plan.Applied},
	{rack.LostReply, plan.HostUncordon, nil, "connection reset", 0, plan.Applied},
	{rack.Alarming, plan.BatchGate, errHalts, "3 placement groups degraded", 0, plan.NotApplied},
	{rack.Alarming, plan.BatchBake, errHalts, "3 placement groups degraded", 0, plan.NotApplied},
}

// faults is the part of the suite in which things fail.
func faults(t *testing.T, lab New, planFor Plan) {
	for _, f := range failures {
		t.Run(fmt.Sprintf("%s/%s", f.kind, f.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { benchFor(t, lab, planFor, f.kind).fails(f) })
		})
	}
}

func (b *bench) fails(f failure) {
	op := b.before(f.kind)
	b.lab.Break(b.node.Path, f.fault)
	ctx, cancel := b.deadline(op)
	defer cancel()
	err := b.driver.Apply(ctx, op, b.told)
	if err == nil {
		err = b.driver.Verify(ctx, op)
	}
	if err == nil || !strings.Contains(err.Error(), f.text) || !is(err, f.err) {
		b.Errorf("the error is %v, want %q", err, f.text)
	}
	b.probe(op, f.probe)
	if n := b.lab.Begun(b.node.Path); n != f.begun {
		b.Errorf("its disk was begun to be written %d times, want %d", n, f.begun)
	}
}
