package verify

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// planRules are about the batches together.
var planRules = []rule{
	{"every host once", "order", everyHostOnce},
	{"places in order", "order", placesInOrder},
	{"places apart", "order", placesApart},
	{"canary", "order", canary},
	{"stages in order", "order", stagesInOrder},
	{"preparing stages", "ops", preparingStages},
	{"endings", "I7", endings},
	{"flags", "I10", flags},
	{"grade of all", "grade", gradeOfAll},
	{"bound", "bound", bound},
}

func everyHostOnce(c *checker) {
	times := make([]int, len(c.fleet.Hosts))
	for _, b := range c.batches {
		for _, h := range b.Hosts {
			times[h]++
		}
	}
	for i, h := range c.fleet.Hosts {
		want := map[bool]int{true: 1}[h.Change]
		c.must(times[i] == want, h.Path, "%s is in %d batches, and should be in %d", h.Path, times[i], want)
	}
}

// rank is the number of the first place of the order that contains a zone.
func (c *checker) rank(zone model.Path) int {
	if i := slices.IndexFunc(c.policy.Order, func(p model.Path) bool { return p.Contains(zone) }); i >= 0 {
		return i
	}
	return len(c.policy.Order)
}

func placesInOrder(c *checker) {
	for i, b := range c.batches[min(1, len(c.batches)):] {
		last := c.batches[i].Zone
		was, rank := c.rank(last), c.rank(b.Zone)
		unnamed := rank == len(c.policy.Order) && c.turn(&b) == c.turn(&c.batches[i])
		c.must(rank > was || rank == was && !(unnamed && b.Zone < last), b.Zone, "%s is in %s, which comes before %s of %s", plan.BatchSubject(i+1), b.Zone, last, plan.BatchSubject(i))
	}
}

// turn is which of a region's hosts a batch is of: where its release of Ceph rises, those with monitors come first, of all zones, then those with managers,
// with OSDs, and the others. Elsewhere all are of one turn. That OSDs wait for the monitors is a rule of every batch.
func (c *checker) turn(b *plan.Batch) int {
	h := b.Hosts[0]
	k := slices.IndexFunc(c.fleet.Clusters, func(k plan.Cluster) bool { return k.Region == b.Zone.Region() })
	if !c.rises[b.Zone.Region()] || k < 0 {
		return 0
	}
	return 1 + slices.IndexFunc([]plan.Ints{c.fleet.Clusters[k].Mons, c.fleet.Clusters[k].Mgrs, c.fleet.Clusters[k].OSDHosts, {h}}, func(list plan.Ints) bool { return has(list, h) })
}

// placesApart demands that a zone is done before another begins, and so a region and a site within each place of the order. A zone comes once in each turn of
// its region.
func placesApart(c *checker) {
	for depth := 1; depth <= 3; depth++ {
		in := func(i int) string {
			if b := &c.batches[i]; depth == 3 {
				return fmt.Sprint(c.rank(b.Zone), c.turn(b), b.Zone)
			}
			return fmt.Sprint(c.rank(c.batches[i].Zone), c.batches[i].Zone.Element(depth))
		}
		left := map[string]bool{}
		for i := 1; i < len(c.batches); i++ {
			if in(i) != in(i-1) {
				left[in(i-1)] = true
			}
			c.must(!left[in(i)], c.batches[i].Zone, "%s goes back to %s", plan.BatchSubject(i), c.batches[i].Zone.Element(depth))
		}
	}
}

func canary(c *checker) {
	seen, n := map[model.Path]bool{}, c.policy.Canary
	for i, b := range c.batches {
		c.must(n == 0 || seen[b.Zone.Site()] || len(b.Hosts) <= n, b.Zone,
			"%s is the first of site %s and has %d hosts; the canary is %d", plan.BatchSubject(i), b.Zone.Site(), len(b.Hosts), n)
		seen[b.Zone.Site()] = true
	}
}

func stagesInOrder(c *checker) {
	last := -1
	for i, b := range c.batches {
		c.must(b.Stage > last, b.Zone, "%s is stage %d, and the batch before it stage %d", plan.BatchSubject(i), b.Stage, last)
		last = b.Stage
	}
}

// preparingStages demands that what is outside of batches takes nothing out of service. When a cluster may be told to start no older OSD is a rule of its own.
func preparingStages(c *checker) {
	for i, s := range c.plan.Stages {
		if slices.ContainsFunc(c.batches, func(b plan.Batch) bool { return b.Stage == i }) {
			continue
		}
		for _, o := range s.Ops {
			c.must(o.Kind == plan.SlotWrite || o.Kind == plan.PackagesFetch || o.Kind == plan.CephRequire, "", "stage %d is that of no batch, and holds %s", i, o.ID)
		}
	}
}

// flags demands that every cordon and noout that an op sets is removed by an op of its stage, after. The cordons of a drain stay: they are what it is for.
func flags(c *checker) {
	for _, s := range c.plan.Stages {
		ops := index(s)
		for _, o := range s.Ops {
			for _, f := range o.Post {
				stays := c.policy.Drains() && f.Attr == plan.AttrCordon && o.Kind == plan.HostCordon && f.Subject == o.Target
				flag := f.Attr == plan.AttrCordon || f.Attr == plan.AttrNoout
				c.must(!flag || stays || f.Value == "" || ops.undone(s, o, f), "", "%s sets %s of %s, and no op of its stage removes it after", o.ID, f.Attr, f.Subject)
			}
		}
	}
}

// undone reports whether an op of a stage removes what another has set, after it.
func (x opIndex) undone(s plan.Stage, o plan.Op, f plan.Fact) bool {
	return slices.ContainsFunc(s.Ops, func(u plan.Op) bool {
		return slices.Contains(u.Post, plan.Fact{Attr: f.Attr, Subject: f.Subject}) && x.waits(u.ID, o.ID)
	})
}

func gradeOfAll(c *checker) {
	g := c.plan.Certificate.Grade
	c.must(isGrade(g), "", "%q is no grade", g)
	for i, b := range c.batches {
		c.must(above(g, b.Grade) == "", b.Zone, "the rollout claims %s, and %s reaches %q", g, plan.BatchSubject(i), b.Grade)
	}
}

// bound checks what can be checked of a lower bound without the reasoning behind it: it is not above what the plan needs, not below what
// max_parallel alone makes of the hosts, and its numbers of rounds are those of the batches.
func bound(c *checker) {
	rounds, hosts, sum, seen := map[model.Path]int{}, map[model.Path]int{}, 0, map[model.Path]bool{}
	for _, b := range c.batches {
		rounds[b.Zone]++
		hosts[b.Zone] += len(b.Hosts)
	}
	x := c.plan.Certificate.Bound
	for _, z := range x.Zones {
		least := 1
		if n := c.policy.MaxParallel; n > 0 {
			least = (hosts[z.Zone] + n - 1) / n
		}
		c.must(!seen[z.Zone] && z.Rounds == rounds[z.Zone], z.Zone, "%s has %d rounds, and the bound tells of %d, or twice", z.Zone, rounds[z.Zone], z.Rounds)
		c.must(z.Bound >= least && z.Bound <= z.Rounds, z.Zone, "%s has %d rounds and needs %d or more; a bound of %d cannot be", z.Zone, z.Rounds, least, z.Bound)
		seen[z.Zone] = true
		sum += z.Bound
	}
	c.must(len(seen) == len(rounds) && sum == x.Rounds, "", "the bounds of %d zones add up to %d, the rollout's bound is %d, and there are %d zones", len(seen), sum, x.Rounds, len(rounds))
}
