package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// bootPatience is how long a host may be silent after its restart before its BMC is told to power it off and on: longer than firmware, boot and
// the hardware watchdog together, which brings most hosts back by itself.
const bootPatience = 12 * time.Minute

// errSilentBoot says that a host did not answer within bootPatience.
var errSilentBoot = errors.New("the host has not answered since its restart")

func slotWrite(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the image to be written"})
	return w.Slots.Write(ctx, n, wanted(op, plan.AttrIdle), report)
}

func slotCommit(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the boot loader's default to change"})
	return w.Slots.Commit(ctx, n)
}

// slotBoot restarts a drained host into its idle slot. A host that comes back with the slot it ran before has fallen back; one that does not come
// back is powered off and on through its BMC, which boots the default slot.
func slotBoot(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	want := wanted(op, plan.AttrHost)
	before, err := w.Hosts.Observe(ctx, n)
	if err != nil {
		return err
	}
	if before.Reachable && facts.HostSpec(before.Image, before.Config) == want {
		return nil
	}
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	if err := w.spared(ctx, n, report); err != nil {
		return err
	}
	guests, err := w.Guests.List(ctx, n)
	if err != nil {
		return err
	}
	if left := running(guests); len(left) > 0 {
		return fmt.Errorf("restart %s: %d virtual machines run on it, %s among them, so it is not restarted; apply again to drain it", n.Path, len(left), left[0].Name)
	}
	report(plan.Progress{Waiting: "the host to go down"})
	if err := w.Slots.BootOnce(ctx, n); err != nil {
		return err
	}
	h, err := w.returns(ctx, n, before.BootID, bootPatience, report)
	if errors.Is(err, errSilentBoot) && w.Machines != nil {
		report(plan.Progress{Text: err.Error() + "; powering it off and on"})
		if err = w.powerCycle(ctx, n); err == nil {
			h, err = w.returns(ctx, n, before.BootID, bootPatience, report)
		}
	}
	if err != nil {
		return err
	}
	if got := facts.HostSpec(h.Image, h.Config); got != want {
		return fmt.Errorf("%s did not come up from slot with %s, and fell back to %s; look at its console (nuboctl bmc console %s)", n.Path, want.Short(), got.Short(), n.Name)
	}
	report(plan.Progress{Text: fmt.Sprintf("%s, kernel %s, slot %s", h.Release, h.Kernel, h.Slot)})
	return nil
}

// spared waits until the services that live on several hosts can do without this one.
func (w World) spared(ctx context.Context, n model.Node, report func(plan.Progress)) error {
	until := w.Clock.Now().Add(okPatience)
	return w.poll(ctx, func() (bool, error) {
		why := w.Batches.Stoppable(ctx, n)
		if why == nil || ctx.Err() != nil {
			return true, ctx.Err()
		}
		report(plan.Progress{Waiting: why.Error()})
		if !w.Clock.Now().Before(until) {
			return true, &HaltedError{What: "take " + string(n.Path) + " out of service", Why: []string{why.Error()}}
		}
		return false, why
	})
}

// returns waits for a host that answers with another boot id.
func (w World) returns(ctx context.Context, n model.Node, bootID string, patience time.Duration, report func(plan.Progress)) (h model.ObservedHost, err error) {
	until := w.Clock.Now().Add(patience)
	err = w.poll(ctx, func() (bool, error) {
		if h, err = w.Hosts.Observe(ctx, n); err != nil {
			return true, err
		}
		if h.Reachable && h.BootID != bootID {
			return true, nil
		}
		report(plan.Progress{Waiting: "the host to answer over SSH"})
		return !w.Clock.Now().Before(until), fmt.Errorf("%s: %w", n.Path, errSilentBoot)
	})
	return h, err
}

// onWithin bounds the tries to switch a machine on that was switched off.
const onWithin = 5 * time.Minute

// powerCycle switches a machine off and on. It is not left off when the run is stopped in between.
func (w World) powerCycle(ctx context.Context, n model.Node) error {
	err := w.withMachine(ctx, n, func(m Machine) error { return m.SetPower(ctx, model.PowerOff) })
	if err != nil {
		return err
	}
	on, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := w.Clock.AfterFunc(onWithin, cancel)
	defer func() { stop(); cancel() }()
	return w.poll(on, func() (bool, error) { // a BMC may have a bad moment
		err := w.withMachine(on, n, func(m Machine) error { return m.SetPower(on, model.PowerOn) })
		return err == nil, err
	})
}

// wanted is the digest that an op brings about.
func wanted(op plan.Op, a plan.Attr) model.Digest {
	for _, f := range op.Post {
		if f.Attr == a {
			return model.Digest(f.Value)
		}
	}
	return ""
}
