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

// While data moves, a cluster is looked at every emptyEvery. One that does not answer, or that says HEALTH_ERR, for so long as emptyPatience is for a person.
const (
	emptyEvery    = 30 * time.Second
	emptyPatience = 15 * time.Minute
)

// osdsOf are the OSDs of a node, as its cluster counts them.
func (w World) osdsOf(ctx context.Context, n model.Node) (model.ObservedCeph, []model.ObservedOSD, error) {
	c, err := w.Clusters.Observe(ctx, n.Path.Region())
	if err != nil {
		return c, nil, err
	}
	if c.FSID == "" {
		return c, nil, fmt.Errorf("%s: there is no cluster in %s", n.Path, n.Path.Region())
	}
	return c, own(n)(c), nil
}

// own are the OSDs of a node among those of its cluster.
func own(n model.Node) func(model.ObservedCeph) []model.ObservedOSD {
	return func(c model.ObservedCeph) []model.ObservedOSD {
		return slices.DeleteFunc(slices.Clone(c.OSDs), func(o model.ObservedOSD) bool { return o.Node != n.Path })
	}
}

func numbers(list []model.ObservedOSD) []int {
	out := make([]int, len(list))
	for i, o := range list {
		out[i] = o.ID
	}
	return out
}

func cephOut(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	_, osds, err := w.osdsOf(ctx, n)
	if err != nil {
		return err
	}
	report(plan.Progress{Text: fmt.Sprintf("mark %d OSDs out", len(osds))})
	return w.Departures.Out(ctx, n, numbers(osds))
}

func cephEmpty(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	return w.emptied(ctx, n, own(n), report)
}

// emptied waits until both our own count and Ceph say that OSDs of a node are not needed. That this cannot be told, or that the cluster is in error, is borne for
// a while.
func (w World) emptied(ctx context.Context, n model.Node, which func(model.ObservedCeph) []model.ObservedOSD, report func(plan.Progress)) error {
	well := w.Clock.Now()
	for {
		why, err := w.needed(ctx, n, which)
		switch {
		case err == nil && why == "":
			return ctx.Err()
		case err == nil:
			well = w.Clock.Now()
			report(plan.Progress{Waiting: why})
		case ctx.Err() != nil || w.Clock.Now().Sub(well) >= emptyPatience:
			return err
		default:
			report(plan.Progress{Waiting: err.Error()})
		}
		if err := w.Clock.Sleep(ctx, emptyEvery); err != nil {
			return err
		}
	}
}

// needed says why OSDs may not go now; empty: they may.
func (w World) needed(ctx context.Context, n model.Node, which func(model.ObservedCeph) []model.ObservedOSD) (why string, err error) {
	c, _, err := w.osdsOf(ctx, n)
	if err != nil {
		return "", err
	}
	if c.Health == "HEALTH_ERR" {
		return "", &HaltedError{What: "empty the OSDs of " + string(n.Path), Why: append([]string{c.Health}, c.Checks...)}
	}
	if why = facts.Needed(c, which(c)); why == "" {
		err = w.Departures.Destroyable(ctx, n, numbers(which(c)))
	}
	if errors.Is(err, ErrNeeded) {
		return err.Error(), nil
	}
	return why, err
}

// cephPurge removes a leaving node's OSDs, or the lost ones that the op names, once nothing needs them. What Ceph needs after all is waited for again.
func cephPurge(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	which := own(n)
	if names := op.Args["osds"]; names != "" {
		if which, err = w.lost(ctx, n, names); err != nil {
			return err
		}
	}
	for {
		if err := w.emptied(ctx, n, which, report); err != nil {
			return err
		}
		if names := op.Args["osds"]; names != "" { // that took hours, perhaps, in which somebody may have brought a disk back
			if which, err = w.lost(ctx, n, names); err != nil {
				return err
			}
		}
		c, _, err := w.osdsOf(ctx, n)
		if err != nil {
			return err
		}
		osds := which(c)
		report(plan.Progress{Text: "remove " + facts.OSDNames(osds)})
		err = w.Departures.Purge(ctx, n, numbers(osds))
		if !errors.Is(err, ErrNeeded) {
			return err
		}
		report(plan.Progress{Waiting: err.Error()})
		if err := w.Clock.Sleep(ctx, emptyEvery); err != nil {
			return err
		}
	}
}

// lost are the OSDs that an op names, as far as there still are, after they were marked out. One whose disk is back is an error.
func (w World) lost(ctx context.Context, n model.Node, names string) (func(model.ObservedCeph) []model.ObservedOSD, error) {
	list, err := facts.ParseOSDs(names)
	if err != nil {
		return nil, err
	}
	named := func(c model.ObservedCeph) []model.ObservedOSD {
		return slices.DeleteFunc(slices.Clone(c.OSDs), func(o model.ObservedOSD) bool { return !slices.Contains(list, o.ID) })
	}
	c, _, err := w.osdsOf(ctx, n)
	if err != nil {
		return nil, err
	}
	gone := numbers(facts.LostOSDs(c, n))
	for _, o := range named(c) {
		if !slices.Contains(gone, o.ID) {
			return nil, fmt.Errorf("%s: osd.%d is not lost: it is up, on another host, or its disk is back; plan again", n.Path, o.ID)
		}
	}
	return named, w.Departures.Out(ctx, n, numbers(named(c)))
}

func cephLeave(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Text: "take out " + op.Args["now"]})
	until := w.Clock.Now().Add(okPatience)
	err = w.poll(ctx, func() (bool, error) {
		err := w.Departures.Leave(ctx, n)
		if errors.Is(err, ErrNeeded) && !w.Clock.Now().Before(until) {
			err = &HaltedError{What: "take the monitor and the manager of " + string(n.Path) + " out of their cluster", Why: []string{err.Error()}}
		}
		if errors.Is(err, ErrNeeded) {
			report(plan.Progress{Waiting: err.Error()})
			return false, err
		}
		return true, err
	})
	if err != nil {
		return err
	}
	return w.appears(ctx, op, "the cluster to miss it", report)
}

func diskWipe(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	serials := strings.Split(op.Args["disks"], ",")
	report(plan.Progress{Text: "wipe " + strings.Join(serials, ", ")})
	return w.Departures.Wipe(ctx, n, serials)
}
