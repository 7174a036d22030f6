package verify

import (
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// letters reads a grade; false: it is not one in its only form, such as "A+C".
func letters(g plan.Grade) (map[byte]bool, bool) {
	if !slices.Contains([]plan.Grade{"", "A", "B", "C", "A+B", "A+C", "B+C", "A+B+C"}, g) {
		return nil, false
	}
	return map[byte]bool{'A': strings.Contains(string(g), "A"), 'B': strings.Contains(string(g), "B"), 'C': strings.Contains(string(g), "C")}, true
}

// above names the letters of a grade that another does not have.
func above(g, than plan.Grade) string {
	want, _ := letters(g)
	have, _ := letters(than)
	out := ""
	for _, l := range []byte("ABC") {
		if want[l] && !have[l] {
			out += string(l)
		}
	}
	return out
}

// eachSet calls do with every acting set of the batch's region.
func (c *checker) eachSet(do func(p *plan.Pool, set plan.Ints, count int)) {
	for i := range c.cluster.Pools {
		p := &c.cluster.Pools[i]
		for j, n := range p.Count {
			do(p, p.Acting[j*p.Size:][:p.Size], int(n))
		}
	}
}

// eachGroup calls do with every group that has a member in the batch's region.
func (c *checker) eachGroup(do func(g *plan.Group)) {
	for i, g := range c.fleet.Groups {
		if slices.ContainsFunc(g.Hosts, func(h int32) bool { return c.path(h).Region() == c.cluster.Region }) {
			do(&c.fleet.Groups[i])
		}
	}
}

// up counts the hosts of a list that are not down.
func (c *checker) up(hosts plan.Ints) int {
	n := 0
	for _, h := range hosts {
		if h >= 0 && !c.down[h] {
			n++
		}
	}
	return n
}

// after counts those that are up after one more place of the failure domain is lost, the one that holds most of them.
func (c *checker) after(hosts plan.Ints) int {
	up := c.places[:0] // where those are that are up
	for _, h := range hosts {
		if h >= 0 && !c.down[h] {
			up = append(up, c.domain[h])
		}
	}
	most := 0
	for i, place := range up {
		same := 0
		for _, other := range up[:i+1] {
			if other == place {
				same++
			}
		}
		most = max(most, same)
	}
	c.places = up
	return len(up) - most
}

func majority(g *plan.Group) int { return len(g.Hosts)/2 + 1 }

func quorum(c *checker) {
	c.eachGroup(func(g *plan.Group) {
		if up := c.up(g.Hosts); g.Kind == plan.Quorum && up < majority(g) {
			c.wrong(c.b.Zone, "group %s would have %d of %d members up, and needs %d", g.Name, up, len(g.Hosts), majority(g))
		}
	})
}

func oneOfQuorum(c *checker) {
	c.eachGroup(func(g *plan.Group) {
		if n := c.inBatch(g.Hosts); g.Kind == plan.Quorum && n > 1 {
			c.wrong(c.b.Zone, "%d members of group %s would be down at once; they go one at a time", n, g.Name)
		}
	})
}

// inBatch counts the hosts of a list that are in the batch.
func (c *checker) inBatch(hosts plan.Ints) int {
	n := 0
	for _, h := range hosts {
		if h >= 0 && c.in[h] {
			n++
		}
	}
	return n
}

func oneMember(c *checker) { c.oneOf(plan.Standby) }

func oneKeyService(c *checker) { c.oneOf(plan.Key) }

// oneOf demands that the members of a group go one at a time, the lost ones counted, and that one stays.
func (c *checker) oneOf(kind plan.GroupKind) {
	c.eachGroup(func(g *plan.Group) {
		up := c.up(g.Hosts)
		if g.Kind == kind && c.inBatch(g.Hosts) > 0 && (len(g.Hosts)-up > 1 || up < 1) {
			c.wrong(c.b.Zone, "group %s would have %d of %d members up; they go one at a time, and one stays", g.Name, up, len(g.Hosts))
		}
	})
}

func placementGroups(c *checker) {
	c.eachSet(func(p *plan.Pool, set plan.Ints, count int) {
		if up := c.up(set); up < p.MinSize {
			c.wrong(c.b.Zone, "pool %s: %d placement groups on %s would have %d copies, and min_size is %d", p.Name, count, c.hosts(set), up, p.MinSize)
		}
	})
}

func (c *checker) hosts(set plan.Ints) string {
	var out []string
	for _, h := range set {
		if h >= 0 {
			out = append(out, c.path(h).Name())
		}
	}
	return strings.Join(out, ", ")
}

// grades loses any one more place, and compares what is left with what is claimed. A is what the other rules demand.
func grades(c *checker) {
	claimed, ok := letters(c.b.Grade)
	if !ok {
		c.wrong(c.b.Zone, "%q is no grade", c.b.Grade)
	}
	more, whole := claimed['B'], claimed['C']
	c.eachSet(func(p *plan.Pool, set plan.Ints, count int) {
		left := c.after(set)
		if more && left < p.MinSize {
			c.wrong(c.b.Zone, "it claims %s: pool %s: %d placement groups on %s would have %d copies when one more failure domain is lost, and min_size is %d",
				c.b.Grade, p.Name, count, c.hosts(set), left, p.MinSize)
		}
		if whole && left < p.Data {
			c.wrong(c.b.Zone, "it claims %s: pool %s: %d placement groups on %s would have %d copies when one more failure domain is lost, and data needs %d",
				c.b.Grade, p.Name, count, c.hosts(set), left, p.Data)
		}
	})
	c.eachGroup(func(g *plan.Group) {
		left, need := c.after(g.Hosts), 1
		if g.Kind == plan.Quorum {
			need = majority(g)
		}
		if more && left < need {
			c.wrong(c.b.Zone, "it claims %s: group %s would have %d of %d members up when one more failure domain is lost, and needs %d", c.b.Grade, g.Name, left, len(g.Hosts), need)
		}
		if whole && g.Kind == plan.Quorum && left < 1 {
			c.wrong(c.b.Zone, "it claims %s: group %s would have no member when one more failure domain is lost", c.b.Grade, g.Name)
		}
	})
}

func survive(c *checker) {
	if more := above(c.policy.Survive, c.b.Grade); more != "" {
		c.wrong(c.b.Zone, "the policy wants %s, and this reaches %q", c.policy.Survive, c.b.Grade)
	}
}

// tally counts what the batch says of itself.
func (c *checker) tally() plan.Counts {
	out := plan.Counts{Displaced: len(c.b.Moves.VM), QuorumSpare: -1}
	c.eachSet(func(p *plan.Pool, set plan.Ints, count int) {
		if c.inBatch(set) > 0 {
			out.PGsDown += count
			if c.up(set) == p.MinSize {
				out.PGsAtMin += count
			}
		}
	})
	c.eachGroup(func(g *plan.Group) {
		if g.Kind == plan.Quorum && c.inBatch(g.Hosts) > 0 {
			if spare := c.up(g.Hosts) - majority(g); out.QuorumSpare < 0 || spare < out.QuorumSpare {
				out.QuorumSpare = max(spare, 0)
			}
		}
	})
	return out
}

// Summary says how much was checked.
type Summary struct {
	Batches         int        `json:"batches"`
	Binding         string     `json:"binding_constraint"`
	Grade           plan.Grade `json:"grade"`
	Hosts           int        `json:"hosts"`
	Moves           int        `json:"moves"`
	PlacementGroups int        `json:"placement_groups"`
	Rounds          int        `json:"rounds"`
	RoundsBound     int        `json:"rounds_lower_bound"`
	VMs             int        `json:"vms"`
	Zones           int        `json:"zones"`
}

// Sum counts what Plan checks of a certificate.
func Sum(x *plan.Certificate) Summary {
	out := Summary{Batches: len(x.Batches), Binding: x.Bound.Binding, Grade: x.Grade, Rounds: len(x.Batches), RoundsBound: x.Bound.Rounds, VMs: len(x.Fleet.VMs.Names)}
	zones := map[model.Path]bool{}
	for _, b := range x.Batches {
		out.Hosts += len(b.Hosts)
		out.Moves += len(b.Moves.VM)
		zones[b.Zone] = true
	}
	out.Zones = len(zones)
	for _, k := range x.Fleet.Clusters {
		for _, p := range k.Pools {
			for _, n := range p.Count {
				out.PlacementGroups += int(n)
			}
		}
	}
	return out
}
