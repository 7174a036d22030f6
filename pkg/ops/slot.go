package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if err := w.sound(ctx, n, report); err != nil {
		return err // its trial ends by itself
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
		return w.decide(ctx, n, before, report)
	}
	if err := w.idle(ctx, n); err != nil {
		return err
	}
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	if err := w.spared(ctx, n, report); err != nil {
		return err
	}
	if err := w.vacant(ctx, n); err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the host to go down"})
	if err := w.Slots.BootOnce(ctx, n); err != nil {
		return err
	}
	h, err := w.returns(ctx, n, before.BootID, bootPatience, report)
	if errors.Is(err, errSilentBoot) && w.Machines != nil {
		report(plan.Progress{Text: err.Error() + "; powering it off and on"})
		back := func(h model.ObservedHost) bool { return h.Reachable && h.BootID != before.BootID }
		if err = w.powerCycle(ctx, n, back); err == nil {
			h, err = w.returns(ctx, n, before.BootID, bootPatience, report)
		}
	}
	if err != nil {
		return err
	}
	if got := facts.HostSpec(h.Image, h.Config); got != want {
		return &HaltedError{What: fmt.Sprintf("boot %s from its other slot", n.Path),
			Why: []string{fmt.Sprintf("it did not come up with %s, and fell back to %s; look at its console (nuboctl bmc console %s)", want.Short(), got.Short(), n.Name)}}
	}
	if err := w.decide(ctx, n, h, report); err != nil {
		return err
	}
	report(plan.Progress{Text: fmt.Sprintf("%s, kernel %s, slot %s", h.Release, h.Kernel, h.Slot)})
	return nil
}

// soundPatience is how long the services of a host that has just booted may take to answer.
const soundPatience = 5 * time.Minute

// decide tells whether a host on trial may stay. It is asked before the host's Ceph daemons are started, which may leave no way back. One that may not is
// restarted into the slot it came from.
func (w World) decide(ctx context.Context, n model.Node, trial model.ObservedHost, report func(plan.Progress)) error {
	err := w.sound(ctx, n, report)
	var bad *HaltedError
	if !errors.As(err, &bad) {
		return err
	}
	report(plan.Progress{Text: err.Error() + "; back to the other slot"})
	if err := w.Slots.Abandon(ctx, n); err != nil {
		return errors.Join(bad, fmt.Errorf("restart it into the slot before: %w; it does that by itself when its trial ends", err))
	}
	h, err := w.returns(ctx, n, trial.BootID, bootPatience, report)
	if err != nil {
		return errors.Join(bad, err)
	}
	bad.Why = append(bad.Why, fmt.Sprintf("it runs %s again, from slot %s", facts.HostSpec(h.Image, h.Config).Short(), h.Slot))
	return bad
}

// sound waits until a host's services work: its bridges are there, and libvirt answers where virtual machines are to run. The error is a *HaltedError when
// they do not come to.
func (w World) sound(ctx context.Context, n model.Node, report func(plan.Progress)) error {
	until := w.Clock.Now().Add(soundPatience)
	return w.poll(ctx, func() (bool, error) {
		h, err := w.Hosts.Observe(ctx, n)
		if err != nil {
			return true, err
		}
		why := w.unsound(n, h)
		if why == nil {
			return true, nil
		}
		report(plan.Progress{Waiting: strings.Join(why, ", ")})
		if !w.Clock.Now().Before(until) {
			return true, &HaltedError{What: fmt.Sprintf("declare %s good with %s", n.Path, facts.HostSpec(h.Image, h.Config).Short()), Why: why}
		}
		return false, fmt.Errorf("%s: %s", n.Path, strings.Join(why, ", "))
	})
}

// unsound lists what keeps a host from being good.
func (w World) unsound(n model.Node, h model.ObservedHost) (why []string) {
	if !h.Reachable {
		return []string{"it does not answer over SSH"}
	}
	for _, want := range facts.Bridges(w.Desired, n) {
		if !slices.ContainsFunc(h.OVS, func(b model.Bridge) bool { return b.Name == want.Name }) {
			why = append(why, "Open vSwitch has no bridge "+want.Name)
		}
	}
	if slices.Contains(n.Roles, model.RoleCompute) && h.Libvirt == "" {
		why = append(why, "libvirt does not answer")
	}
	return why
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

// onWithin bounds the tries to switch a machine on that was switched off, when the run is stopped in between.
const onWithin = 5 * time.Minute

// errBack says that a host which was to be switched off since it did not answer does so now.
var errBack = errors.New("it answers")

// powerCycle switches a machine off and on, unless its host is back after all: that is looked at once more when the BMC is ready, right before the power is
// cut. It may have been the way to the host that was cut, and somebody may use it by now. It is not left off when the run is stopped in between.
func (w World) powerCycle(ctx context.Context, n model.Node, back func(model.ObservedHost) bool) error {
	err := w.withMachine(ctx, n, func(m Machine) error {
		if h, err := w.Hosts.Observe(ctx, n); err == nil && back(h) {
			return errBack
		}
		return m.SetPower(ctx, model.PowerOff)
	})
	if errors.Is(err, errBack) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = w.withMachine(ctx, n, func(m Machine) error { return m.SetPower(ctx, model.PowerOn) }); err == nil || ctx.Err() == nil {
		return err
	}
	on, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := w.Clock.AfterFunc(onWithin, cancel)
	defer func() { stop(); cancel() }()
	return w.withMachine(on, n, func(m Machine) error { return m.SetPower(on, model.PowerOn) })
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
