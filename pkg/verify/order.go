package verify

import (
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
	{"flags", "I10", flags},
	{"grade of all", "grade", gradeOfAll},
	{"bound", "bound", bound},
}

func everyHostOnce(c *checker) {
	times := make([]int, len(c.fleet.Hosts))
	for _, b := range c.batches() {
		for _, h := range b.Hosts {
			times[h]++
		}
	}
	for i, h := range c.fleet.Hosts {
		if want := map[bool]int{true: 1}[h.Change]; times[i] != want {
			c.wrong(h.Path, "%s is in %d batches, and should be in %d", h.Path, times[i], want)
		}
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
	batches := c.batches()
	for i, b := range batches {
		if i == 0 {
			continue
		}
		last, rank := c.rank(batches[i-1].Zone), c.rank(b.Zone)
		if rank < last || (rank == last && rank == len(c.policy.Order) && b.Zone < batches[i-1].Zone) {
			c.wrong(b.Zone, "batch:%d is in %s, which comes before %s of batch:%d", i, b.Zone, batches[i-1].Zone, i-1)
		}
	}
}

// placesApart demands that a zone is done before another begins, and so a region and a site within each place of the order.
func placesApart(c *checker) {
	type entry struct {
		rank  int
		place model.Path
	}
	left := map[entry]bool{}
	var last plan.Batch
	for i, b := range c.batches() {
		for level := 1; level <= 3 && i > 0; level++ {
			if was := (entry{c.rank(last.Zone), last.Zone.Element(level)}); was != (entry{c.rank(b.Zone), b.Zone.Element(level)}) {
				left[was] = true
			}
			if left[entry{c.rank(b.Zone), b.Zone.Element(level)}] {
				c.wrong(b.Zone, "batch:%d goes back to %s", i, b.Zone.Element(level))
			}
		}
		last = b
	}
}

func canary(c *checker) {
	seen := map[model.Path]bool{}
	for i, b := range c.batches() {
		if n := c.policy.Canary; n > 0 && !seen[b.Zone.Site()] && len(b.Hosts) > n {
			c.wrong(b.Zone, "batch:%d is the first of site %s and has %d hosts; the canary is %d", i, b.Zone.Site(), len(b.Hosts), n)
		}
		seen[b.Zone.Site()] = true
	}
}

func stagesInOrder(c *checker) {
	last := -1
	for i, b := range c.batches() {
		if b.Stage <= last {
			c.wrong(b.Zone, "batch:%d is stage %d, and the batch before it stage %d", i, b.Stage, last)
		}
		last = b.Stage
	}
}

// preparingStages demands that what is outside of batches takes nothing out of service.
func preparingStages(c *checker) {
	of := map[int]bool{}
	for _, b := range c.batches() {
		of[b.Stage] = true
	}
	for i, s := range c.plan.Stages {
		for _, o := range s.Ops {
			if !of[i] && o.Kind != plan.SlotWrite {
				c.wrong("", "stage %d is that of no batch, and holds %s", i, o.ID)
			}
		}
	}
}

// flags demands that every cordon and noout that a stage sets is removed in it, after.
func flags(c *checker) {
	for _, s := range c.plan.Stages {
		ops := index(s)
		removes := map[plan.Fact][]plan.OpID{}
		for _, o := range s.Ops {
			for _, f := range o.Post {
				removes[f] = append(removes[f], o.ID)
			}
		}
		for _, o := range s.Ops {
			for _, f := range o.Post {
				if (f.Attr != plan.AttrCordon && f.Attr != plan.AttrNoout) || f.Value == "" {
					continue
				}
				undo := removes[plan.Fact{Attr: f.Attr, Subject: f.Subject}]
				if !slices.ContainsFunc(undo, func(id plan.OpID) bool { return ops.before(id)[o.ID] }) {
					c.wrong("", "%s sets %s of %s, and no op of its stage removes it after", o.ID, f.Attr, f.Subject)
				}
			}
		}
	}
}

func gradeOfAll(c *checker) {
	g := c.plan.Certificate.Grade
	if _, ok := letters(g); !ok {
		c.wrong("", "%q is no grade", g)
	}
	for i, b := range c.batches() {
		if more := above(g, b.Grade); more != "" {
			c.wrong(b.Zone, "the rollout claims %s, and batch:%d reaches %q", g, i, b.Grade)
		}
	}
}

// bound checks what can be checked of a lower bound without the reasoning behind it: it is not above what the plan needs, not below what
// max_parallel alone makes of the hosts, and its numbers of rounds are those of the batches.
func bound(c *checker) {
	x, rounds, hosts, sum, seen := c.plan.Certificate.Bound, map[model.Path]int{}, map[model.Path]int{}, 0, map[model.Path]bool{}
	for _, b := range c.batches() {
		rounds[b.Zone]++
		hosts[b.Zone] += len(b.Hosts)
	}
	for _, z := range x.Zones {
		least := 1
		if n := c.policy.MaxParallel; n > 0 {
			least = (hosts[z.Zone] + n - 1) / n
		}
		switch {
		case seen[z.Zone] || rounds[z.Zone] == 0 || z.Rounds != rounds[z.Zone]:
			c.wrong(z.Zone, "%s has %d rounds, and the bound tells of %d, or twice", z.Zone, rounds[z.Zone], z.Rounds)
		case z.Bound < least || z.Bound > z.Rounds:
			c.wrong(z.Zone, "%s has %d rounds and needs %d or more; a bound of %d cannot be", z.Zone, z.Rounds, least, z.Bound)
		}
		seen[z.Zone] = true
		sum += z.Bound
	}
	if len(seen) != len(rounds) || sum != x.Rounds {
		c.wrong("", "the bounds of %d zones add up to %d, the rollout's bound is %d, and there are %d zones", len(seen), sum, x.Rounds, len(rounds))
	}
}

func (c *checker) batches() []plan.Batch { return c.plan.Certificate.Batches }
