package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Driver carries out ops of every kind in one world.
type Driver struct{ world World }

// New makes a driver for a world.
func New(w World) *Driver { return &Driver{world: w} }

// apply is what a kind of op does.
type apply func(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error

// applies is the one table of what ops do.
var applies = map[plan.Kind]apply{
	plan.BMCIdentify: identify,
	plan.OrderArm:    arm,
	plan.PowerOff:    powerOff,
	plan.BootNetwork: bootNetwork,
	plan.PowerOn:     powerOn,
	plan.InstallWait: installWait,
	plan.HostStart:   hostStart,
	plan.HostVerify:  hostVerify,
	plan.OVSEnsure:   ovsEnsure,
	plan.KVMEnsure:   kvmEnsure,
	plan.VMEnsure:    vmEnsure,
}

// Check reads the op's preconditions from the world. The error wraps ErrStale when one does not hold.
func (d *Driver) Check(ctx context.Context, op plan.Op) error {
	if _, ok := applies[op.Kind]; !ok {
		return fmt.Errorf("%s: this program cannot carry out ops of kind %q", op.ID, op.Kind)
	}
	return newReader(d.world).unmet(ctx, ErrStale, op.Pre)
}

// Apply carries the op out and reports on the way. It does not repeat what it finds done.
func (d *Driver) Apply(ctx context.Context, op plan.Op, report func(plan.Progress)) error {
	return applies[op.Kind](ctx, d.world, op, report)
}

// Verify reads the op's postconditions from the world. The error wraps ErrUnverified when one does not hold.
func (d *Driver) Verify(ctx context.Context, op plan.Op) error {
	return newReader(d.world).unmet(ctx, ErrUnverified, visible(op))
}

// Probe tells what became of an op whose intent is on record without an outcome.
func (d *Driver) Probe(ctx context.Context, op plan.Op) (plan.Outcome, error) {
	r := newReader(d.world)
	after := r.unmet(ctx, ErrUnverified, visible(op))
	if after == nil {
		return plan.Applied, nil
	}
	before := r.unmet(ctx, ErrStale, op.Pre)
	if before == nil && errors.Is(after, ErrUnverified) {
		return plan.NotApplied, nil
	}
	return plan.Unknown, errors.Join(after, before)
}

// visible are the postconditions that can be read back. What a boot consumes is gone at the controller's leisure, and what an op makes absent
// (an unreachable host, a stopped machine) is not to be seen through the thing that is gone.
func visible(op plan.Op) []plan.Fact {
	return slices.DeleteFunc(slices.Clone(op.Post), func(f plan.Fact) bool { return f.Value == "" })
}
