package verify

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// endings demands of each op that has a cluster start no OSD of an older release that it comes when every monitor and every OSD of that cluster has the release: behind all
// batches of the region, with none that is lost. It is not to be undone, so that a host which is left behind by it could not come back.
func endings(c *checker) {
	for i, s := range c.plan.Stages {
		for _, o := range s.Ops {
			if o.Kind == plan.CephRequire {
				c.ending(i, o)
			}
		}
	}
}

func (c *checker) ending(stage int, o plan.Op) {
	region, _ := o.Target.Ceph()
	k := slices.IndexFunc(c.fleet.Clusters, func(k plan.Cluster) bool { return k.Region == region })
	release, err := rises(o)
	if k < 0 || err != nil {
		c.wrong(region, "%s: the fleet has no such cluster, or it does not tell from which release to which: %v", o.ID, err)
		return
	}
	cluster := &c.fleet.Clusters[k]
	is := plan.Fact{Attr: plan.AttrRequire, Subject: o.Target, Value: strconv.Itoa(cluster.Require)}
	c.must(slices.Contains(o.Pre, is), region, "%s does not expect that its cluster requires %d, as the fleet has it", o.ID, cluster.Require)
	for i, b := range c.batches {
		c.must(b.Zone.Region() != region || b.Stage < stage, region, "%s is in stage %d, and %s of the same region in stage %d", o.ID, stage+1, plan.BatchSubject(i), b.Stage+1)
	}
	for _, h := range slices.Concat(cluster.Mons, cluster.OSDHosts) {
		has := c.fleet.Hosts[h].Ceph
		if slices.ContainsFunc(c.batches, func(b plan.Batch) bool { return b.Stage < stage && slices.Contains(b.Hosts, h) }) {
			has = c.fleet.Hosts[h].CephAfter
		}
		c.must(has >= release, region, "%s asks for release %d, and %s has %d by then", o.ID, release, c.path(h), has)
		c.must(!c.fleet.Hosts[h].Down, region, "%s asks for release %d while %s is down", o.ID, release, c.path(h))
	}
}

// rises is the release that such an op asks for, which has to be above the one that it expects.
func rises(o plan.Op) (release int, err error) {
	value := func(list []plan.Fact) int {
		i := slices.IndexFunc(list, func(f plan.Fact) bool { return f.Attr == plan.AttrRequire && f.Subject == o.Target })
		if i < 0 {
			return 0
		}
		n, err := strconv.Atoi(list[i].Value)
		if err != nil {
			return 0
		}
		return n
	}
	from, to := value(o.Pre), value(o.Post)
	if from <= 0 || to <= from || len(o.Post) != 1 || o.Args["release"] != strconv.Itoa(to) {
		return 0, fmt.Errorf("%s goes from %d to %d, and tells of %q, or brings more than that", o.ID, from, to, o.Args["release"])
	}
	return to, nil
}

// endsAlone checks such an op in a plan without a certificate, in which no host changes: what it expects is what the plan found, and nothing else is in the plan. That every OSD has the
// release is for the op to ask.
func endsAlone(p plan.Plan, o plan.Op) error {
	if p.Goal != plan.GoalUpgrade && p.Goal != plan.GoalReinstall {
		return fmt.Errorf("%s has no place in a plan whose goal is %s", o.ID, p.Goal)
	}
	for _, s := range p.Stages {
		for _, other := range s.Ops {
			if other.Kind != plan.CephRequire {
				return fmt.Errorf("%s stands beside %s in a plan without a certificate", o.ID, other.ID)
			}
		}
	}
	_, err := rises(o)
	return err
}
