package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// set is what must not be down as a whole: the hosts of an acting set of placement groups, or of a group's members, before anything is touched or while a
// batch is down.
type set struct {
	*kind
	hosts plan.Ints
	count int // of placement groups
	up    int // of the hosts, those whose storage and services are there
	after int // and when one more place of the failure domain is lost, the one that holds most of them
	gone  int // those that the batch takes out
}

// kind is a pool or a group: how many must be up so that it works, and so that nothing of it is lost.
type kind struct {
	name       string
	kind       plan.GroupKind // empty: a pool
	need, data int
}

// stands counts a set anew.
func (c *checker) stands(s set) set {
	s.up, s.gone = 0, 0
	most := 0
	for i, h := range s.hosts {
		if h >= 0 && c.out[h] {
			s.gone++
		}
		if h < 0 || c.off[h] {
			continue
		}
		s.up++
		here := 0
		for _, x := range s.hosts[:i+1] {
			if x >= 0 && !c.off[x] && c.domain[x] == c.domain[h] {
				here++
			}
		}
		most = max(most, here)
	}
	s.after = s.up - most
	return s
}

// findSets lists for each host the acting sets with a copy on it, and for each cluster those of every pool that stand worst before anything is touched: with the
// fewest copies up, and after one more place is lost. A set without a copy on a host of a batch stands as it did before, and so no worse than these: what
// holds for the sets that a batch touches and for these holds for all.
func (c *checker) findSets() {
	c.copies, c.frail = make([]plan.Ints, len(c.fleet.Hosts)), make([][]set, len(c.fleet.Clusters))
	for k := range c.fleet.Clusters {
		c.enter(k)
		for _, p := range c.cluster.Pools {
			of, first := &kind{name: p.Name, need: p.MinSize, data: p.Data}, len(c.all)
			for n, count := range p.Count {
				s := c.stands(set{kind: of, hosts: p.Acting[n*p.Size:][:p.Size], count: int(count)})
				for _, h := range s.hosts {
					if h >= 0 {
						c.copies[h] = append(c.copies[h], int32(len(c.all)))
					}
				}
				c.all = append(c.all, s)
			}
			if pool := c.all[first:]; len(pool) > 0 {
				c.frail[k] = append(c.frail[k], slices.MinFunc(pool, func(a, b set) int { return a.up - b.up }), slices.MinFunc(pool, func(a, b set) int { return a.after - b.after }))
			}
		}
	}
}

// lay counts the acting sets that the batch touches, each at the first of its hosts that is in the batch, and adds those that stood worst before; and it
// counts the groups with a member in the region.
func (c *checker) lay(frail []set) {
	c.sets, c.groups = append(c.sets[:0], frail...), nil
	gone := func(h int32) bool { return h >= 0 && c.out[h] }
	for _, h := range c.b.Hosts {
		for _, n := range c.copies[h] {
			if s := c.all[n]; gone(h) && s.hosts[slices.IndexFunc(s.hosts, gone)] == h {
				c.sets = append(c.sets, c.stands(s))
			}
		}
	}
	for _, g := range c.fleet.Groups {
		of := &kind{name: g.Name, kind: g.Kind, need: 1}
		if g.Kind == plan.Quorum {
			of.need, of.data = len(g.Hosts)/2+1, 1
		}
		if slices.ContainsFunc(g.Hosts, func(h int32) bool { return c.path(h).Region() == c.cluster.Region }) {
			c.groups = append(c.groups, c.stands(set{kind: of, hosts: g.Hosts}))
		}
	}
}

// lacks reports whether a set has not what it needs. A drain takes nothing of storage and services out, and may claim nothing of them: grade A is missing then.
func (c *checker) lacks(s set) bool {
	return s.up < s.need && !(c.policy.Drains() && above("A", c.b.Grade) != "")
}

func minSize(c *checker, s set) string {
	if c.lacks(s) {
		return fmt.Sprintf(", and min_size is %d", s.need)
	}
	return ""
}

// oneOf: the members of such a group go one at a time, the lost ones counted, and one stays.
func oneOf(kind plan.GroupKind) func(*checker, set) string {
	return func(_ *checker, g set) string {
		return when(g.kind.kind == kind && g.gone > 0 && (len(g.hosts)-g.up > 1 || g.up < 1), "; they go one at a time, and one stays")
	}
}

// grade: any one more place is lost, and what is left is compared with what is claimed. A is what the other rules demand.
func grade(c *checker, s set) string {
	need := 0
	if above("B", c.b.Grade) == "" {
		need = s.need
	}
	if above("C", c.b.Grade) == "" {
		need = max(need, s.data)
	}
	if s.after < need {
		return fmt.Sprintf(", and %d when one more failure domain is lost; %s needs %d", s.after, c.b.Grade, need)
	}
	return ""
}

func survive(c *checker) {
	c.must(isGrade(c.b.Grade) && above(c.policy.Survive, c.b.Grade) == "", c.b.Zone, "the policy wants %s, and this reaches %q", c.policy.Survive, c.b.Grade)
}

// isGrade reports whether a grade is written in its only form, such as "A+C".
func isGrade(g plan.Grade) bool {
	return slices.Contains([]plan.Grade{"", "A", "B", "C", "A+B", "A+C", "B+C", "A+B+C"}, g)
}

// above names the letters of a grade that another does not have.
func above(g, than plan.Grade) (out string) {
	for _, l := range []string{"A", "B", "C"} {
		if strings.Contains(string(g), l) && !strings.Contains(string(than), l) {
			out += l
		}
	}
	return out
}

func counts(c *checker) {
	got := c.tally()
	c.must(got == c.b.Counts, c.b.Zone, "its counts are %+v, and it says %+v", got, c.b.Counts)
}

// tally counts what the batch says of itself.
func (c *checker) tally() plan.Counts {
	out := plan.Counts{Displaced: len(c.b.Moves.VM), QuorumSpare: -1}
	for _, s := range c.sets {
		if s.gone > 0 {
			out.PGsDown += s.count
		}
		if s.gone > 0 && s.up == s.need {
			out.PGsAtMin += s.count
		}
	}
	for _, g := range c.groups {
		if spare := max(g.up-g.need, 0); g.kind.kind == plan.Quorum && g.gone > 0 && (out.QuorumSpare < 0 || spare < out.QuorumSpare) {
			out.QuorumSpare = spare
		}
	}
	return out
}
