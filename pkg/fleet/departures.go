package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Departures implements ops.Departures: nodes that leave the Ceph cluster of their region, over SSH. What is asked of the cluster goes through the host of a
// monitor that stays.
type Departures struct{ *Clusters }

// leader is a node that stays and runs a monitor.
func (d Departures) leader(ctx context.Context, n model.Node) (model.Node, error) {
	members := d.look(ctx, n.Path.Region())
	m := d.Clusters.leader(slices.DeleteFunc(members, func(m member) bool { return m.node.Path == n.Path && n.Leaves() }))
	if m.Name == "" {
		return m, fmt.Errorf("%s: no other host of %s runs a monitor, so its cluster cannot be asked", n.Path, n.Path.Region())
	}
	return m, nil
}

// Out implements ops.Departures.
func (d Departures) Out(ctx context.Context, n model.Node, osds []int) error {
	m, err := d.leader(ctx, n)
	if err != nil {
		return err
	}
	return d.wrap(m, ceph.Out(ctx, d.on(m), osds))
}

// Destroyable implements ops.Departures.
func (d Departures) Destroyable(ctx context.Context, n model.Node, osds []int) error {
	m, err := d.leader(ctx, n)
	if err != nil {
		return err
	}
	return d.wrap(m, needed(ceph.SafeToDestroy(ctx, d.Links.To(m), osds)))
}

// needed says in the words of ops that Ceph does not let something go.
func needed(err error) error {
	if errors.Is(err, ceph.ErrNeeded) {
		return fmt.Errorf("%w: %w", ops.ErrNeeded, err)
	}
	return err
}

// Purge implements ops.Departures. An OSD that runs is stopped first, with Ceph's word that it may stop.
func (d Departures) Purge(ctx context.Context, n model.Node, osds []int) error {
	m, err := d.leader(ctx, n)
	if err != nil {
		return err
	}
	admin := d.on(m)
	for _, id := range osds {
		if err := d.purge(ctx, n, admin, id); err != nil {
			return d.wrap(m, err)
		}
	}
	st, err := ceph.Stand(ctx, d.Links.To(m), n.Name)
	if err != nil || len(st.Here) > 0 {
		return d.wrap(m, err)
	}
	return d.wrap(m, ceph.RemoveBucket(ctx, admin, n.Name))
}

func (d Departures) purge(ctx context.Context, n model.Node, admin remote.Host, id int) error {
	st, err := ceph.Stand(ctx, admin, n.Name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(st.OSDs, func(o ceph.OSD) bool { return o.ID == id })
	if i < 0 {
		return nil // gone already
	}
	if err := ceph.SafeToDestroy(ctx, admin, []int{id}); err != nil {
		return needed(err)
	}
	if st.OSDs[i].Up {
		if err := ceph.OKToStop(ctx, admin, []int{id}, "", "", ""); err != nil {
			return fmt.Errorf("%w: %w", ops.ErrNeeded, err)
		}
		if err := d.wrap(n, ceph.StopOSD(ctx, d.on(n), id)); err != nil {
			return err
		}
		d.Log.Info("stopped an OSD that nothing needs", "node", string(n.Path), "osd", id)
	}
	return needed(ceph.Purge(ctx, admin, id))
}

// Leave implements ops.Departures. The manager and the metadata server are failed over and the monitor taken out of the map before they end; of a host that is lost, only that.
func (d Departures) Leave(ctx context.Context, n model.Node) error {
	m, err := d.leader(ctx, n)
	if err != nil {
		return err
	}
	admin := d.on(m)
	seen, err := ceph.Observe(ctx, admin)
	if err != nil {
		return d.wrap(m, err)
	}
	named := func(o model.ObservedDaemon) bool { return o.Name == n.Name }
	if slices.ContainsFunc(seen.Mons, named) {
		if err := ceph.OKToRemove(ctx, admin, n.Name); err != nil {
			return d.wrap(m, needed(err))
		}
		if err := ceph.RemoveMon(ctx, admin, n.Name); err != nil {
			return d.wrap(m, err)
		}
		d.Log.Info("took a monitor out of the map", "node", string(n.Path))
	}
	if i := slices.IndexFunc(seen.Mgrs, named); i >= 0 && seen.Mgrs[i].Active {
		if len(seen.Mgrs) < 2 {
			return d.wrap(m, fmt.Errorf("mgr.%s has no standby: %w", n.Name, ops.ErrNeeded))
		}
		if err := ceph.FailOver(ctx, admin, n.Name); err != nil {
			return d.wrap(m, err)
		}
	}
	if i := slices.IndexFunc(seen.MDSs, named); i >= 0 && seen.MDSs[i].Active {
		if !slices.ContainsFunc(seen.MDSs, func(o model.ObservedDaemon) bool { return o.Name != n.Name && o.Up && !o.Active }) {
			return d.wrap(m, fmt.Errorf("mds.%s has no standby: %w", n.Name, ops.ErrNeeded))
		}
		if err := ceph.FailOverMDS(ctx, admin, n.Name); err != nil {
			return d.wrap(m, err)
		}
	}
	if n.State != model.Lost {
		if err := ceph.Leave(ctx, d.on(n), n.Name); err != nil {
			return d.wrap(n, err)
		}
	}
	return d.wrap(m, errors.Join(ceph.Forget(ctx, admin, "mgr."+n.Name), ceph.Forget(ctx, admin, ceph.MDSKey(n.Name).Entity), ceph.Forget(ctx, admin, ceph.GatewayKey(n.Name).Entity)))
}

// Wipe implements ops.Departures.
func (d Departures) Wipe(ctx context.Context, n model.Node, serials []string) error {
	state, err := ceph.Look(ctx, d.Links.To(n))
	if err != nil {
		return d.wrap(n, err)
	}
	if slices.ContainsFunc(state.Running, func(s string) bool { return strings.HasPrefix(s, "osd.") }) {
		return fmt.Errorf("%s: an OSD still runs there: %s", n.Path, strings.Join(state.Running, ", "))
	}
	var errs []error
	for _, disk := range facts.ToWipe(state.ObservedCephHost, n) {
		if !slices.Contains(serials, disk.Serial) {
			continue
		}
		if err := ceph.Wipe(ctx, d.on(n), disk.Name, disk.Serial); err != nil {
			errs = append(errs, fmt.Errorf("%s: wipe disk %s (%s): %w", n.Path, disk.Serial, disk.Name, err))
			continue
		}
		d.Log.Info("wiped a disk", "node", string(n.Path), "serial", disk.Serial)
	}
	return errors.Join(errs...)
}
