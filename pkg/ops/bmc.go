package ops

import (
	"context"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// identify needs no more than to open the session: the driver compares the serial number there.
func identify(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the BMC to answer"})
	return w.machine(ctx, op, func(Machine) error { return nil })
}

// powerOff looks once more, right before, whether virtual machines are there, when the op expects that there are none: behind the cordon, which it sets again
// where somebody has taken it away.
func powerOff(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	if i := slices.IndexFunc(op.Pre, func(f plan.Fact) bool { return f.Attr == plan.AttrGuests }); i >= 0 {
		err := newReader(w).unmet(ctx, op.Pre[i:i+1])
		if m := asMismatch(err); m != nil {
			return &StaleError{m}
		}
		if err != nil {
			return err
		}
	}
	report(plan.Progress{Waiting: "the machine to be off"})
	return w.machine(ctx, op, func(m Machine) error { return m.SetPower(ctx, model.PowerOff) })
}

func bootNetwork(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the BMC to keep the boot override"})
	return w.machine(ctx, op, func(m Machine) error { return m.SetBoot(ctx, facts.NetBoot) })
}

// hostStart powers on a machine that is to boot its own disk.
func hostStart(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the machine to be on"})
	return w.machine(ctx, op, func(m Machine) error { return m.SetPower(ctx, model.PowerOn) })
}

// powerOn returns when the relay has seen the machine boot from the network: what a BMC says of its boot override is no proof. An order that was
// begun before is not enough either: the machine must have been heard since it was powered on.
func powerOn(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	was, _, err := w.Installs.Watch(ctx, n, 0)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the machine to be on"})
	if err := w.machine(ctx, op, func(m Machine) error { return m.SetPower(ctx, model.PowerOn) }); err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the machine to ask the relay for its boot"})
	_, err = w.attempts(ctx, n, op, was, report, func(s order.Status) bool {
		return s.Phase == order.PhaseBooted || s.Phase == order.PhaseConsumed || s.Phase == order.PhaseInstalled
	})
	if err != nil {
		return err
	}
	return w.machine(ctx, op, func(m Machine) error { return bootAsSet(ctx, m) })
}

// bootAsSet removes a boot override that is still there once it has done its work: some BMCs know none for once, and would boot the installer's network for ever.
func bootAsSet(ctx context.Context, m Machine) error {
	if from, err := m.Boot(ctx); err != nil || from == "" {
		return err
	}
	return m.SetBoot(ctx, "")
}

func (w World) machine(ctx context.Context, op plan.Op, use func(Machine) error) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	return w.withMachine(ctx, n, use)
}
