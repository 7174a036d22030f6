package ops

import (
	"context"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// region is the region of a cluster, or of a node.
func (w World) region(s plan.Subject) (model.Region, error) {
	path, ok := s.Ceph()
	if !ok {
		n, err := w.node(s)
		if err != nil {
			return model.Region{}, err
		}
		path = n.Path.Region()
	}
	for _, r := range w.Desired.Regions {
		if r.Path == path && r.Ceph != nil {
			return r, nil
		}
	}
	return model.Region{}, fmt.Errorf("%s: a Ceph cluster in it: %w", s, ErrNotInInventory)
}

// loadCluster reads a region's cluster; its facts are about the region and about its nodes.
func (r *reader) loadCluster(ctx context.Context, s plan.Subject) (plan.State, error) {
	region, err := r.w.region(s)
	if err != nil {
		return nil, err
	}
	sub := plan.CephSubject(region.Path)
	if st, ok := r.seen[sub][fromCluster]; ok {
		return st, nil
	}
	c, err := r.w.Clusters.Observe(ctx, region.Path)
	if err != nil {
		return nil, err
	}
	st := facts.Project(r.w.Desired, model.Observed{Ceph: []model.ObservedCeph{c}})
	if r.seen[sub] == nil {
		r.seen[sub] = map[string]plan.State{}
	}
	r.seen[sub][fromCluster] = st
	return st, nil
}

// loadDisks is loadCluster for what is told by a node's disks: without them it is not known, which is not the same as that there is nothing.
func (r *reader) loadDisks(ctx context.Context, s plan.Subject) (plan.State, error) {
	n, err := r.w.node(s)
	if err != nil {
		return nil, err
	}
	c, err := r.w.Clusters.Observe(ctx, n.Path.Region())
	if err != nil {
		return nil, err
	}
	for _, h := range c.Hosts {
		if h.Node == n.Path && h.Error == "" {
			return facts.Project(r.w.Desired, model.Observed{Ceph: []model.ObservedCeph{c}}), nil
		}
	}
	return nil, fmt.Errorf("%s: what is on its disks is not known: its host cannot be looked at", n.Path)
}

func cephCreate(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	r, err := w.region(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Text: "make the first monitor"})
	if err := w.Clusters.Create(ctx, r.Path); err != nil {
		return err
	}
	return w.appears(ctx, op, "the first monitor to answer", report)
}

func cephDaemon(role model.Role) apply {
	return func(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
		n, err := w.node(op.Target)
		if err != nil {
			return err
		}
		report(plan.Progress{Text: "make and start it"})
		if err := w.Clusters.Ensure(ctx, n, role); err != nil {
			return err
		}
		return w.appears(ctx, op, "the cluster to count it", report)
	}
}

func cephSettle(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	r, err := w.region(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Text: "pools and keys"})
	return w.Clusters.Settle(ctx, r.Path)
}

// appears waits until what the op brings about is to be seen. A cluster that does not answer meanwhile is electing, or starting.
func (w World) appears(ctx context.Context, op plan.Op, what string, report func(plan.Progress)) error {
	return w.poll(ctx, func() (bool, error) {
		err := newReader(w).unmet(ctx, visible(op))
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return true, fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		}
		report(plan.Progress{Waiting: what + ": " + err.Error()})
		return false, err
	})
}
