package opstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// failure is what an op says in the face of a fault.
type failure struct {
	fault Fault
	kind  plan.Kind
	err   error  // what the error wraps; nil: only its text counts
	text  string // in the error
	begun int    // how often the disk was begun to be written
	probe plan.Outcome
}

var failures = []failure{
	{Unreachable, plan.BMCIdentify, nil, "does not answer", 0, plan.Unknown},
	{Impostor, plan.BMCIdentify, nil, "serial number", 0, plan.Unknown},
	{Unreachable, plan.PowerOff, nil, "does not answer", 0, plan.Unknown},
	{RelayLost, plan.OrderArm, nil, "relay", 0, plan.Unknown},
	{LostReply, plan.OrderArm, nil, "connection reset", 0, plan.Applied},
	{LostReply, plan.PowerOff, nil, "connection reset", 0, plan.Applied},
	{Forgetful, plan.BootNetwork, ops.ErrUnverified, "boot of node:lab/r1/az1/a/blade-01", 0, plan.NotApplied},
	{LostReply, plan.BootNetwork, nil, "connection reset", 0, plan.Applied},
	{Hung, plan.PowerOn, ops.ErrSilent, "nuboctl bmc console blade-01", 0, plan.NotApplied},
	{LostReply, plan.PowerOn, nil, "connection reset", 0, plan.NotApplied}, // on, and nobody has seen it boot yet
	{Silent, plan.InstallWait, ops.ErrSilent, "apply again", 1, plan.NotApplied},
	{Refused, plan.InstallWait, nil, "refused, and wrote nothing", 0, plan.NotApplied},
	{Failed, plan.InstallWait, nil, "failed: tried to fetch the image on /dev/vda: chunk has a wrong digest", 1, plan.NotApplied},
	{RelayLost, plan.InstallWait, nil, "relay", 0, plan.Unknown},
	{LostReply, plan.InstallWait, nil, "connection reset", 1, plan.Applied},
	{HostSilent, plan.HostVerify, nil, "does not answer over SSH: connection refused", 1, plan.NotApplied},
	{HostOther, plan.HostVerify, nil, "booted something else", 1, plan.NotApplied},
	{HostSilent, plan.OVSEnsure, nil, "does not answer", 1, plan.Unknown},
	{LostReply, plan.OVSEnsure, nil, "connection reset", 1, plan.Applied},
	{LostReply, plan.KVMEnsure, nil, "connection reset", 1, plan.Applied},
	{LostReply, plan.VMEnsure, nil, "connection reset", 1, plan.Applied},
}

// faults is the part of the suite in which things fail.
func faults(t *testing.T, lab New, planFor Plan) {
	for _, f := range failures {
		t.Run(fmt.Sprintf("%s/%s", f.kind, f.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newBench(t, lab, planFor).fails(f) })
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
	if err == nil || !strings.Contains(err.Error(), f.text) || (f.err != nil && !errors.Is(err, f.err)) {
		b.Errorf("the error is %v, want %q", err, f.text)
	}
	b.probe(op, f.probe)
	if n := b.lab.Begun(b.node.Path); n != f.begun {
		b.Errorf("its disk was begun to be written %d times, want %d", n, f.begun)
	}
}
