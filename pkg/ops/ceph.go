package ops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// okPatience is how long placement groups may take to recover until the daemons of a host can stop.
const okPatience = 25 * time.Minute

func noout(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	hold, err := holdTime(op, "noout", nooutFor)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "noout to be set"})
	return w.Storage.SetNoout(ctx, n, w.Clock.Now().Add(hold))
}

func cephRestore(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "noout to be unset"})
	return w.Storage.SetNoout(ctx, n, time.Time{})
}

// cephStop stops a host's daemons when both say that no placement group falls below min_size: our own computation from the acting sets, and Ceph. It
// asks right before the stop, and waits for recovery while the answer is no. Monitors and managers are asked about too.
func cephStop(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	return stopDaemons(ctx, w, op, report)
}

func stopDaemons(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	until := w.Clock.Now().Add(okPatience)
	err = w.poll(ctx, func() (bool, error) {
		c, err := w.Storage.Observe(ctx, n)
		if err != nil || c.Daemons == plan.Stopped {
			return true, err
		}
		why := c.stoppable()
		if why == nil {
			why = w.Storage.OKToStop(ctx, n)
		}
		if why == nil && w.Batches != nil {
			why = w.Batches.Stoppable(ctx, n)
		}
		if why == nil {
			return true, nil
		}
		report(plan.Progress{Waiting: why.Error()})
		if !w.Clock.Now().Before(until) {
			return true, &HaltedError{What: "stop the Ceph daemons of " + string(n.Path), Why: []string{why.Error()}}
		}
		return false, why
	})
	if err != nil {
		return err
	}
	// The flag may be older than the wait. A host without OSDs has none, and nobody would unset it.
	if slices.Contains(op.Pre, plan.Fact{Subject: op.Target, Attr: plan.AttrNoout, Value: plan.Set}) {
		if err := noout(ctx, w, op, report); err != nil {
			return err
		}
	}
	report(plan.Progress{Waiting: "its Ceph daemons to stop"})
	return w.Storage.SetDaemons(ctx, n, false)
}

func cephStart(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	if err := w.idle(ctx, n); err != nil { // also when they are given back after an abort, their own packages may be half unpacked
		return err
	}
	if wanted(plan.Op{Post: op.Pre}, plan.AttrHost) != "" { // on a slot that is on trial: also when this process did not boot it
		if err := w.sound(ctx, n, report); err != nil {
			return err
		}
	}
	if err := w.Storage.SetDaemons(ctx, n, true); err != nil {
		return err
	}
	return w.poll(ctx, func() (bool, error) {
		c, err := w.Storage.Observe(ctx, n)
		if err != nil || c.Daemons == plan.Up {
			return true, err
		}
		report(plan.Progress{Waiting: "its Ceph daemons to be in service"})
		return false, fmt.Errorf("the Ceph daemons of %s are not in service", n.Path)
	})
}

// stoppable is our own computation: nil when every placement group keeps min_size copies without the node's OSDs.
func (c Ceph) stoppable() error {
	if c.Unsure != "" {
		return fmt.Errorf("placement groups are not all known: %s", c.Unsure)
	}
	here := make(map[int32]bool, len(c.OSDs))
	for _, id := range c.OSDs {
		here[id] = true
	}
	for _, p := range c.Pools {
		below := 0
		for i := 0; i+p.Size <= len(p.Acting); i += p.Size {
			left, hit := 0, false
			for _, id := range p.Acting[i : i+p.Size] {
				hit = hit || (id >= 0 && here[id])
				if id >= 0 && !here[id] {
					left++
				}
			}
			if hit && left < p.MinSize {
				below++
			}
		}
		if below > 0 {
			return fmt.Errorf("%d acting sets of pool %s would fall below min_size %d", below, p.Name, p.MinSize)
		}
	}
	return nil
}
