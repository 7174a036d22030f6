package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// offPatience is how long a host may take to shut itself down, before its power is cut: nothing runs on it any more that a person would miss, and what its
// services wrote is on its disks by then.
const offPatience = 5 * time.Minute

// hostOff shuts a host down that is emptied, in order, so that its state partition is clean when the installer looks at it. A host that does not come to an end is
// switched off.
func hostOff(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	if seen, err := w.observeBMC(ctx, n); err != nil || seen.Power == model.PowerOff {
		return err
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
	if slices.Contains(op.Pre, plan.Fact{Subject: op.Target, Attr: plan.AttrNoout, Value: plan.Set}) {
		if err := noout(ctx, w, op, report); err != nil { // the install is to end before it does
			return err
		}
	}
	report(plan.Progress{Waiting: "the host to shut itself down"})
	if err := w.Hosts.Shutdown(ctx, n); err != nil {
		return err
	}
	return w.isOff(ctx, n, report)
}

// vacant refuses a host on which virtual machines run.
func (w World) vacant(ctx context.Context, n model.Node) error {
	guests, err := w.Guests.List(ctx, n)
	if err != nil {
		return err
	}
	if left := running(guests); len(left) > 0 {
		return fmt.Errorf("take %s down: %d virtual machines run on it, %s among them, so it goes on; apply again to drain it", n.Path, len(left), left[0].Name)
	}
	return nil
}

// isOff waits until a machine is off, and switches it off when it does not come to that by itself.
func (w World) isOff(ctx context.Context, n model.Node, report func(plan.Progress)) error {
	until := w.Clock.Now().Add(offPatience)
	err := w.poll(ctx, func() (bool, error) {
		seen, err := w.observeBMC(ctx, n)
		if err != nil || seen.Power == model.PowerOff {
			return true, err
		}
		return !w.Clock.Now().Before(until), errStillOn
	})
	if !errors.Is(err, errStillOn) || ctx.Err() != nil {
		return err
	}
	report(plan.Progress{Text: fmt.Sprintf("it has not shut down within %s; switching it off", offPatience)})
	return w.withMachine(ctx, n, func(m Machine) error {
		// Its libvirt may not answer any more; what it tells while it does is heard.
		if guests, err := w.Guests.List(ctx, n); err == nil && len(running(guests)) > 0 {
			return fmt.Errorf("switch %s off: it has not shut down within %s, and %d virtual machines run on it, %s among them, so it goes on; apply again to drain it",
				n.Path, offPatience, len(running(guests)), running(guests)[0].Name)
		}
		return m.SetPower(ctx, model.PowerOff)
	})
}

// errStillOn says that a host which was told to shut down has not.
var errStillOn = errors.New("it was told to shut down, and is still on")
