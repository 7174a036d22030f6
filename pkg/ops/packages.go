package ops

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func packagesFetch(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the packages to be brought"})
	return w.Packages.Stage(ctx, n, wanted(op, plan.AttrStaged), report)
}

// idle refuses to give a host or its daemons back, or to restart it, while packages are being installed on it by a run that is gone: that may be about to restart its Open vSwitch, and
// what the daemons run, or what is booted when its trial fails, may be half of the old and half of the new.
func (w World) idle(ctx context.Context, n model.Node) error {
	if w.Packages == nil {
		return nil
	}
	busy, err := w.Packages.Busy(ctx, n)
	if err == nil && busy {
		err = fmt.Errorf("%s: packages are being installed there, which goes on by itself; wait for its end (systemctl status nubo-packages there), and give the same command again", n.Path)
	}
	return err
}

// packagesInstall installs what was brought, on a host from which everything is gone that the packages would stop: that is looked at right before. A host whose services
// do not come to work afterwards halts the rollout, and stays cordoned.
func packagesInstall(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	if slices.Contains(op.Pre, plan.Fact{Attr: plan.AttrGuests, Subject: op.Target, Value: plan.None}) {
		if err := w.spared(ctx, n, report); err != nil {
			return err
		}
		if err := w.vacant(ctx, n); err != nil {
			return err
		}
	}
	report(plan.Progress{Waiting: "the packages to be installed"})
	if err := w.Packages.Install(ctx, n, wanted(op, plan.AttrPackages), report); err != nil {
		return fmt.Errorf("%w; the host stays cordoned: see what its dpkg says, then apply the same plan again, which goes on where it ended", err)
	}
	return w.sound(ctx, n, report)
}
