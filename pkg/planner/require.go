package planner

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A cluster whose OSDs have all gone to another major release still lets older ones start, and keeps what is new in the release switched off, until it is told otherwise
// (ceph osd require-osd-release). That is the last step of the plan which brings the last host with OSDs there; or a plan of its own where a rollout has ended without.

// requires adds the last stage to a rollout of hosts: of each region whose hosts with OSDs all have a release by then that is above what its cluster requires.
func (r *rollout) requires(p *plan.Plan) {
	f := &r.cert.Fleet
	var ops []plan.Op
	for k := range f.Clusters {
		c := &f.Clusters[k]
		to, last := oldest(f, c)
		if from := r.required(c.Region); r.ends(c.Region) && from > 0 && to > from && (r.in.Goal == plan.GoalUpgrade || r.rises(c)) {
			ops = append(ops, r.require(c.Region, from, to))
		} else if last != "" && from > 0 && r.rises(c) {
			r.note("the cluster of %s goes on to let OSDs of release %d start: %s", c.Region, from, last)
		}
	}
	r.requireStage(p, ops)
}

// rises reports whether the rollout brings a host of a cluster to another release.
func (r *rollout) rises(c *plan.Cluster) bool {
	_, ok := risen(r.cert.Fleet)[c.Region]
	return ok
}

// oldest is the release that every host with OSDs has at least when the rollout is over; 0 where that is not known, and why.
func oldest(f *plan.Fleet, c *plan.Cluster) (release int, why string) {
	for _, i := range c.OSDHosts {
		h := &f.Hosts[i]
		has := h.Ceph
		if h.Change {
			has = h.CephAfter
		}
		switch {
		case h.Down:
			return 0, fmt.Sprintf("%s has OSDs and is down", h.Path)
		case has == 0:
			return 0, fmt.Sprintf("%s has OSDs of a release that is not known", h.Path)
		case release == 0 || has < release:
			release, why = has, fmt.Sprintf("%s has OSDs, and stays with %d", h.Path, has)
		}
	}
	return release, why
}

// ends reports whether a plan is one that may end the rise of a region's cluster: an upgrade, or a reinstall, of hosts of that cluster. A cluster that somebody else made is his
// to end.
func (b *builder) ends(region model.Path) bool {
	i := slices.IndexFunc(b.in.Desired.Regions, func(r model.Region) bool { return r.Path == region })
	if i < 0 || b.in.Desired.Regions[i].Ceph == nil || b.in.Desired.Regions[i].Ceph.Adopted || b.in.Goal != plan.GoalUpgrade && b.in.Goal != plan.GoalReinstall {
		return false
	}
	return slices.ContainsFunc(facts.CephNodes(b.in.Desired, region), func(n model.Node) bool { return b.targeted(n.Path) })
}

// required is the release below which no OSD of a region starts; 0: it is not known.
func (b *builder) required(region model.Path) int {
	n, err := strconv.Atoi(b.state.Get(plan.CephSubject(region), plan.AttrRequire))
	if err != nil {
		return 0
	}
	return n
}

// require is the op that has a cluster start no OSD of an older release any more.
func (b *builder) require(region model.Path, from, to int) plan.Op {
	sub := plan.CephSubject(region)
	is := func(release int) plan.Fact {
		return plan.Fact{Subject: sub, Attr: plan.AttrRequire, Value: strconv.Itoa(release)}
	}
	b.note("the last step has the cluster of %s start no OSD of a release below %d any more (ceph osd require-osd-release; now it is %d). It is one-way (I12), and asks Ceph first whether every OSD is in service and has the release",
		region, to, from)
	return plan.Op{ID: plan.ID(plan.CephRequire, sub), Kind: plan.CephRequire, Target: sub, Args: map[string]string{"release": strconv.Itoa(to)},
		Pre: []plan.Fact{is(from)}, Post: []plan.Fact{is(to)}}
}

func (b *builder) requireStage(p *plan.Plan, ops []plan.Op) {
	if len(ops) > 0 {
		p.Stages = append(p.Stages, plan.Stage{Title: "no older release of Ceph any more", Ops: ops, Invariants: []string{"nothing is taken out of service"}})
	}
}

// requiresAlone is for an upgrade of which no host is left to be changed: it ends what an earlier one has left open. The OSDs themselves tell which release they have.
func (b *builder) requiresAlone(p *plan.Plan) {
	var ops []plan.Op
	for _, c := range b.in.Observed.Ceph {
		from, to := b.required(c.Region), running(c)
		if from > 0 && to > from && b.in.Goal == plan.GoalUpgrade && b.ends(c.Region) {
			ops = append(ops, b.require(c.Region, from, to))
		}
	}
	b.requireStage(p, ops)
}

// running is the release that every daemon of a cluster has at least, all OSDs in service; 0 where one is not, or none tells.
func running(c model.ObservedCeph) (release int) {
	var all []int
	for _, m := range c.Mons {
		all = append(all, model.CephMajor(m.Version))
	}
	for _, o := range c.OSDs {
		if !o.Up {
			return 0
		}
		all = append(all, model.CephMajor(o.Version))
	}
	if c.Error != "" || c.Health == "HEALTH_ERR" || len(c.OSDs) == 0 {
		return 0
	}
	return slices.Min(all)
}
