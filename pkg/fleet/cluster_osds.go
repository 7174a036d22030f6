package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// osds makes the node's free disks OSDs, starts those that it has, has those that are out take data again, and puts the host into its place.
func (c *Clusters) osds(ctx context.Context, spec ceph.Spec, place ceph.Place, seen model.ObservedCeph, members []member, m member) error {
	link := c.on(m.node)
	if err := ceph.Configure(ctx, link, ceph.Conf(spec, &place)); err != nil {
		return err
	}
	if len(m.state.Volumes) > 0 {
		if err := ceph.Activate(ctx, link); err != nil {
			return err
		}
	}
	h := m.state.ObservedCephHost
	h.Node, seen.Hosts = m.node.Path, nil
	seen.Hosts = append(seen.Hosts, h)
	free := facts.FreeDisks(seen, m.node)
	if len(free) == 0 && len(m.state.Volumes) == 0 {
		return fmt.Errorf("no disk matches osd_device (%s); its disks are %s", m.node.OSDDevice, diskText(m.state.Disks))
	}
	admin := c.on(c.leader(members))
	if len(free) > 0 {
		key, err := ceph.BootstrapOSD(ctx, admin)
		if err != nil {
			return err
		}
		var errs []error
		for _, disk := range free {
			errs = append(errs, ceph.EnsureOSD(ctx, link, place, disk, key, disk.Serial != "" && slices.Contains(m.node.Consent, disk.Serial)))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	if err := ceph.In(ctx, admin, marked(seen, m)); err != nil {
		return err
	}
	return ceph.Move(ctx, admin, place)
}

// marked are the node's OSDs that somebody has marked out although their disks are there: those of a node that was to be retired, and stays.
func marked(seen model.ObservedCeph, m member) []int {
	var out []int
	for _, o := range seen.OSDs {
		if !o.In && slices.ContainsFunc(m.state.Volumes, func(v model.ObservedVolume) bool { return v.FSID == o.FSID }) {
			out = append(out, o.ID)
		}
	}
	return out
}

func diskText(disks []model.Disk) string {
	var out []string
	for _, d := range disks {
		out = append(out, fmt.Sprintf("%s (serial number %s, %d GiB)", d.Name, cmp.Or(d.Serial, "none"), d.SizeBytes>>30))
	}
	return cmp.Or(strings.Join(out, ", "), "none")
}
