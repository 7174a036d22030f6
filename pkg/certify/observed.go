package certify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Observed is a Region whose state is observed anew for every question.
type Observed struct {
	Desired model.Desired
	Plan    plan.Plan // with a certificate
	// QEMU gives the versions that observed images bring, beside those of the hosts that run them; nil: none is known.
	QEMU func(model.Observed) map[model.Digest]string
	// Ceph gives the major releases of Ceph that observed images bring; nil: none is known.
	Ceph func(model.Observed) map[model.Digest]int
	// Look observes the hosts and the Ceph cluster of a place; "" is everything. BMCs and install orders are not asked for.
	Look func(ctx context.Context, place model.Path) (model.Observed, error)
	// Gates asks the operator's own gates of a place; see package gate. It may be nil.
	Gates func(ctx context.Context, place model.Path) (wrong, late []string)
}

var _ Region = (*Observed)(nil)

// Fleet implements Region.
func (o *Observed) Fleet(ctx context.Context, leaving map[model.Path]bool) (plan.Fleet, error) {
	seen, err := o.Look(ctx, "")
	if err != nil {
		return plan.Fleet{}, fmt.Errorf("observe what there is now: %w", err)
	}
	changes := o.changes(seen)
	changes.Leaving = leaving
	f, err := facts.FleetFor(o.Desired, seen, changes)
	if err != nil {
		return plan.Fleet{}, fmt.Errorf("what is observed now is not enough to certify from: %w", err)
	}
	return f, nil
}

// changes are what the plan still makes of the hosts, as they are observed.
func (o *Observed) changes(seen model.Observed) facts.Changes {
	st, final, batched := facts.Project(o.Desired, seen), o.Plan.Final(), map[model.Path]bool{}
	for _, b := range o.Plan.Certificate.Batches {
		for _, h := range b.Hosts {
			batched[o.Plan.Certificate.Fleet.Hosts[h].Path] = true
		}
	}
	drains, is := o.Plan.Certificate.Policy.Drains(), o.is()
	c := facts.Changes{Drain: drains, InPlace: is == plan.AttrPackages, Back: o.Plan.Goal == plan.GoalRollback, Nodes: func(n model.Node) bool {
		sub := plan.NodeSubject(n.Path)
		if drains {
			return batched[n.Path] && (st.Get(sub, plan.AttrCordon) != plan.Drained || st.Get(sub, plan.AttrGuests) != plan.None)
		}
		// A host that is laid down anew as it was shows nothing of whether that is over: it is reckoned as still to go, which is never too little.
		return batched[n.Path] && (o.Plan.Goal == plan.GoalReinstall || st.Get(sub, is) != final.Get(sub, is))
	}}
	if o.QEMU != nil {
		c.QEMU = o.QEMU(seen)
	}
	if c.InPlace {
		c.Brings = facts.BringsQEMU(o.Desired.Rollout.Snapshot)
	}
	if o.Ceph != nil {
		c.Ceph = o.Ceph(seen)
	}
	if c.Back {
		images := map[model.Path]model.Digest{}
		for _, n := range seen.Nodes {
			want := final.Get(plan.NodeSubject(n.Path), plan.AttrHost)
			if n.Host.Idle != nil && string(facts.HostSpec(n.Host.Idle.Image, n.Host.Idle.Config)) == want {
				images[n.Path] = n.Host.Idle.Image
			}
		}
		c.Image = func(n model.Node) model.Digest { return images[n.Path] }
	}
	return c
}

// is the attribute that tells whether a host is changed.
func (o *Observed) is() plan.Attr {
	if o.Plan.Certificate.Policy.InPlace() {
		return plan.AttrPackages
	}
	return plan.AttrHost
}

// runs is the value of that attribute of a host.
func (o *Observed) runs(h *model.ObservedHost) string {
	if !o.Plan.Certificate.Policy.InPlace() {
		return string(facts.HostSpec(h.Image, h.Config))
	}
	if want := o.Desired.Rollout.Snapshot; h.Packages != nil && facts.Installed(want, *h.Packages) {
		return string(want.Digest)
	}
	return ""
}

// serves reports whether a host has a part in a service that lives on several.
func (o *Observed) serves(n model.Node) bool {
	f := &o.Plan.Certificate.Fleet
	return slices.Contains(n.Roles, model.RoleCephMon) || slices.Contains(n.Roles, model.RoleCephMgr) ||
		slices.ContainsFunc(f.Groups, func(g plan.Group) bool {
			return slices.ContainsFunc(g.Hosts, func(h int32) bool { return f.Hosts[h].Path == n.Path })
		})
}

// Stoppable implements Region: monitors and managers as Ceph counts them, other services by the hosts that answer. A host without a part in any costs no look
// at its region.
func (o *Observed) Stoppable(ctx context.Context, n model.Node) error {
	if !o.serves(n) {
		return ctx.Err()
	}
	region := n.Path.Region()
	seen, err := o.Look(ctx, region)
	if err != nil {
		return err
	}
	errs := []error{ctx.Err()}
	for _, c := range seen.Ceph {
		if c.Region == region {
			errs = append(errs, daemonsLeft(c, n))
		}
	}
	up := map[model.Path]bool{}
	for _, x := range seen.Nodes {
		up[x.Path] = x.Host.Reachable
	}
	hosts := o.Plan.Certificate.Fleet.Hosts
	for _, g := range o.Plan.Certificate.Fleet.Groups {
		left, member := 0, false
		for _, h := range g.Hosts {
			switch at := hosts[h].Path; {
			case at == n.Path:
				member = true
			case up[at] || (!region.Contains(at) && !hosts[h].Down):
				left++
			}
		}
		if need := least(g.Kind, len(g.Hosts)); member && left < need {
			errs = append(errs, fmt.Errorf("%s would have %d members without %s and needs %d", g.Name, left, n.Name, need))
		}
	}
	return errors.Join(errs...)
}

func least(k plan.GroupKind, members int) int {
	if k == plan.Quorum {
		return members/2 + 1
	}
	return 1
}

// daemonsLeft says why a cluster cannot do without the monitor, the manager, the metadata server and the object gateway of a node.
func daemonsLeft(c model.ObservedCeph, n model.Node) error {
	if c.Error != "" {
		return fmt.Errorf("the Ceph cluster of %s cannot be asked: %s", c.Region, c.Error)
	}
	var errs []error
	for _, x := range []struct {
		what string
		list []model.ObservedDaemon
		need int
	}{{"monitors in quorum", c.Mons, least(plan.Quorum, len(c.Mons))}, {"managers", c.Mgrs, 1}, {"metadata servers", c.MDSs, 1}, {"object gateways", c.RGWs, 1}} {
		left, member := 0, false
		for _, d := range x.list {
			if d.Node == n.Path {
				member = true
			} else if d.Up {
				left++
			}
		}
		if member && left < x.need {
			errs = append(errs, fmt.Errorf("%s would have %d %s without %s and needs %d", c.Region, left, x.what, n.Name, x.need))
		}
	}
	return errors.Join(errs...)
}

// Health implements Region. What was lost before the plan was made is no news.
func (o *Observed) Health(ctx context.Context, region model.Path, batch map[model.Path]bool) ([]string, error) {
	seen, err := o.Look(ctx, region)
	if err != nil {
		return nil, err
	}
	wrong := slices.Concat(o.hosts(region, seen), o.ceph(region, seen), leftStopped(region, batch, seen))
	if o.Gates == nil {
		return wrong, ctx.Err()
	}
	more, late := o.Gates(ctx, region)
	if len(late) > 0 {
		return nil, &ops.HaltedError{What: "wait for the gates of " + string(region), Why: late}
	}
	return append(wrong, more...), ctx.Err()
}

// leftStopped tells on which hosts outside of the batch a rollout that was broken off has left all OSDs stopped: they are still cordoned. Once noout has ended, Ceph marks such OSDs
// out, makes their copies anew and is healthy without them, and the next host would go beside one that nobody has given back.
func leftStopped(region model.Path, batch map[model.Path]bool, seen model.Observed) (wrong []string) {
	has, up := map[model.Path]bool{}, map[model.Path]bool{}
	for _, c := range seen.Ceph {
		for _, d := range c.OSDs {
			has[d.Node], up[d.Node] = true, up[d.Node] || d.Up
		}
	}
	for i := range seen.Nodes {
		at, h := seen.Nodes[i].Path, &seen.Nodes[i].Host
		if region.Contains(at) && !batch[at] && h.Reachable && !h.Cordoned.IsZero() && !h.Drained && has[at] && !up[at] {
			wrong = append(wrong, fmt.Sprintf("on %s a rollout that was broken off has left the OSDs stopped: nuboctl undrain %s gives the host back", at.Name(), at.Name()))
		}
	}
	return wrong
}

// hosts tells which hosts do not answer, and which units have failed on those that the plan has changed.
func (o *Observed) hosts(region model.Path, seen model.Observed) (wrong []string) {
	by := map[model.Path]*model.ObservedHost{}
	for i := range seen.Nodes {
		by[seen.Nodes[i].Path] = &seen.Nodes[i].Host
	}
	final, changed := o.Plan.Final(), map[model.Path]bool{}
	for _, b := range o.Plan.Certificate.Batches {
		for _, h := range b.Hosts {
			changed[o.Plan.Certificate.Fleet.Hosts[h].Path] = true
		}
	}
	for _, h := range o.Plan.Certificate.Fleet.Hosts {
		if !region.Contains(h.Path) || h.Down {
			continue
		}
		x := by[h.Path]
		if x == nil || !x.Reachable {
			wrong = append(wrong, h.Path.Name()+" does not answer")
			continue
		}
		if h.Class >= 0 && x.Libvirt == "" {
			wrong = append(wrong, "libvirt on "+h.Path.Name()+" does not answer")
		}
		ours := changed[h.Path] && o.runs(x) == final.Get(plan.NodeSubject(h.Path), o.is())
		if ours && len(x.FailedUnits) > 0 {
			wrong = append(wrong, fmt.Sprintf("on %s have failed: %s", h.Path.Name(), strings.Join(x.FailedUnits, ", ")))
		}
	}
	return wrong
}

// ofRollouts are health checks that tell of nothing but a rollout to another major release which has not come to its end (OSDMap.cc, HealthMonitor.cc). The first begins
// with the first new monitor, while OSDs are still old, and ends with ceph.require, which comes after all gates.
var ofRollouts = []string{"OSD_UPGRADE_FINISHED", "DAEMON_OLD_VERSION"}

// ceph tells what a region's cluster complains of, but for what the policy lets pass.
func (o *Observed) ceph(region model.Path, seen model.Observed) (wrong []string) {
	for _, c := range seen.Ceph {
		if c.Region != region || c.Absent {
			continue
		}
		if c.Error != "" {
			wrong = append(wrong, "the Ceph cluster cannot be asked: "+c.Error)
			continue
		}
		if c.Unsure != "" {
			wrong = append(wrong, "placement groups are not all known: "+c.Unsure)
		}
		for _, check := range c.Checks {
			if name, _, _ := strings.Cut(check, ":"); !slices.Contains(ofRollouts, name) && !slices.Contains(o.Desired.Rollout.HealthAllow, name) {
				wrong = append(wrong, check)
			}
		}
		if c.Health != "HEALTH_OK" && len(c.Checks) == 0 {
			wrong = append(wrong, "Ceph says "+c.Health)
		}
		for _, p := range c.Pools {
			if p.Unclean > 0 {
				wrong = append(wrong, fmt.Sprintf("%d placement groups of pool %s are not active and clean", p.Unclean, p.Name))
			}
		}
	}
	return wrong
}
