package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// set is an acting set while the batch is down.
type set struct {
	number      int32
	pool        *plan.Pool
	hosts       plan.Ints
	count       int // of placement groups
	up          int // copies that are left
	after       int // and when one more place of the failure domain is lost, the one that holds most of them
	fromTheRest bool
}

// pool is a pool whose acting sets are numbered from first on. Frail are the two of them that stand worst before anything is touched: with the fewest
// copies up, and after one more place is lost. A set without a copy on a host of a batch stands as it did before, and so no worse than these. What holds
// for the sets that a batch touches and for these holds for all.
type pool struct {
	*plan.Pool
	cluster *plan.Cluster
	first   int32
	frail   [2]int32
}

// findSets numbers the acting sets and lists for each host those with a copy on it.
func (c *checker) findSets() {
	all := 0
	c.copies = make([]plan.Ints, len(c.fleet.Hosts))
	many := make([]int32, len(c.fleet.Hosts))
	for k := range c.fleet.Clusters {
		for _, p := range c.fleet.Clusters[k].Pools {
			for _, h := range p.Acting {
				if h >= 0 {
					many[h]++
				}
			}
		}
	}
	for h, n := range many {
		c.copies[h] = make(plan.Ints, 0, n)
	}
	for k := range c.fleet.Clusters {
		c.cluster = &c.fleet.Clusters[k]
		c.domain = c.places(c.cluster.FailureDomain)
		for i := range c.cluster.Pools {
			p := pool{Pool: &c.cluster.Pools[i], cluster: c.cluster, first: int32(all)}
			up, after := p.Size+1, p.Size+1
			for n := range p.Count {
				s := c.set(&p, p.first+int32(n))
				for _, h := range s.hosts {
					if h >= 0 {
						c.copies[h] = append(c.copies[h], s.number)
					}
				}
				if s.up < up {
					up, p.frail[0] = s.up, s.number
				}
				if s.after < after {
					after, p.frail[1] = s.after, s.number
				}
			}
			all += len(p.Count)
			c.pools = append(c.pools, p)
		}
	}
	c.laid = make([]bool, all)
}

// set counts an acting set of a pool.
func (c *checker) set(p *pool, number int32) set {
	i := int(number - p.first)
	s := set{number: number, pool: p.Pool, hosts: p.Acting[i*p.Size:][:p.Size], count: int(p.Count[i])}
	s.up, s.after = c.left(s.hosts)
	return s
}

// layOut counts the acting sets that the batch touches, and those of the region that stood worst before.
func (c *checker) layOut() {
	c.sets = c.sets[:0]
	for i := range c.pools {
		p := &c.pools[i]
		if p.cluster != c.cluster || len(p.Count) == 0 {
			continue
		}
		lay := func(numbers plan.Ints, rest bool) {
			for _, n := range numbers {
				if n >= p.first && int(n-p.first) < len(p.Count) && !c.laid[n] {
					c.laid[n] = true
					s := c.set(p, n)
					s.fromTheRest = rest
					c.sets = append(c.sets, s)
				}
			}
		}
		for _, h := range c.b.Hosts {
			if c.out[h] {
				lay(c.copies[h], false)
			}
		}
		lay(p.frail[:], true)
	}
	for _, s := range c.sets {
		c.laid[s.number] = false
	}
}

func eachSet(ask func(c *checker, s *set) string) func(*checker) {
	return func(c *checker) {
		for i := range c.sets {
			if text := ask(c, &c.sets[i]); text != "" {
				s := &c.sets[i]
				c.answer(c.b.Zone, text, "pool %s: %d placement groups on %s would have ", s.pool.Name, s.count, c.hosts(s.hosts))
			}
		}
	}
}

// asFound reports whether grade A is missing and need not be there: a drain takes nothing of storage and services out, and claims nothing of them.
func (c *checker) asFound() bool { return c.policy.Drains() && above("A", c.b.Grade) != "" }

func minSize(c *checker, s *set) string {
	if s.up < s.pool.MinSize && !c.asFound() {
		return fmt.Sprintf("%d copies, and min_size is %d", s.up, s.pool.MinSize)
	}
	return ""
}

// eachGroup asks of every group with a member in the region.
func eachGroup(ask func(c *checker, g *plan.Group) string) func(*checker) {
	return func(c *checker) {
		for _, g := range c.groups {
			c.answer(c.b.Zone, ask(c, g), "group %s would have %d of %d members up", g.Name, c.up(g.Hosts), len(g.Hosts))
		}
	}
}

// oneOf: the members of such a group go one at a time, the lost ones counted, and one stays.
func oneOf(kind plan.GroupKind) func(*checker, *plan.Group) string {
	return func(c *checker, g *plan.Group) string {
		up := c.up(g.Hosts)
		return when(g.Kind == kind && c.inBatch(g.Hosts) > 0 && (len(g.Hosts)-up > 1 || up < 1), "; they go one at a time, and one stays")
	}
}

// The grade: any one more place is lost, and what is left is compared with what is claimed. A is what the other rules demand.

func gradeOfSet(c *checker, s *set) string {
	if need := max(claimed(c.b.Grade, "B", s.pool.MinSize), claimed(c.b.Grade, "C", s.pool.Data)); s.after < need {
		return fmt.Sprintf("%d copies when one more failure domain is lost; %s needs %d", s.after, c.b.Grade, need)
	}
	return ""
}

func gradeOfGroup(c *checker, g *plan.Group) string {
	need := claimed(c.b.Grade, "B", 1)
	if g.Kind == plan.Quorum {
		need = max(claimed(c.b.Grade, "B", majority(g)), claimed(c.b.Grade, "C", 1))
	}
	_, left := c.left(g.Hosts)
	return when(left < need, fmt.Sprintf(", and %d when one more failure domain is lost; %s needs %d", left, c.b.Grade, need))
}

// claimed is what a grade needs that has a letter; 0: it does not claim it.
func claimed(g plan.Grade, letter string, need int) int {
	if strings.Contains(string(g), letter) {
		return need
	}
	return 0
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
		if !s.fromTheRest {
			out.PGsDown += s.count
			if s.up == s.pool.MinSize {
				out.PGsAtMin += s.count
			}
		}
	}
	for _, g := range c.groups {
		if g.Kind == plan.Quorum && c.inBatch(g.Hosts) > 0 {
			if spare := c.up(g.Hosts) - majority(g); out.QuorumSpare < 0 || spare < out.QuorumSpare {
				out.QuorumSpare = max(spare, 0)
			}
		}
	}
	return out
}

// left counts the hosts of a list whose storage and services are there, and those when one more place of the failure domain is lost, the one that holds most of them.
func (c *checker) left(hosts plan.Ints) (up, after int) {
	most := 0
	for i, h := range hosts {
		if h < 0 || c.off[h] {
			continue
		}
		up++
		here := 0
		for _, x := range hosts[:i+1] {
			if x >= 0 && !c.off[x] && c.domain[x] == c.domain[h] {
				here++
			}
		}
		most = max(most, here)
	}
	return up, up - most
}

func (c *checker) up(hosts plan.Ints) int {
	n, _ := c.left(hosts)
	return n
}

// inBatch counts the hosts of a list whose storage and services the batch takes out.
func (c *checker) inBatch(hosts plan.Ints) (n int) {
	for _, h := range hosts {
		if c.out[h] {
			n++
		}
	}
	return n
}

func majority(g *plan.Group) int { return len(g.Hosts)/2 + 1 }

func (c *checker) hosts(list plan.Ints) string {
	var out []string
	for _, h := range list {
		if h >= 0 {
			out = append(out, c.path(h).Name())
		}
	}
	return strings.Join(out, ", ")
}
