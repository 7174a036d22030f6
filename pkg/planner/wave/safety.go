package wave

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// region is what the loss of hosts does to a region's placement groups and services. Solvers of its zones share it and only read.
type region struct {
	path    model.Path
	level   string
	domain  []int32      // host → place of the failure domain's level
	domains []model.Path // paths of places
	osd     map[int32]bool
	sets    []acting
	of      csr           // host → sets with a copy on it
	groups  []int32       // with a member in the region
	base    outlook       // with nothing down but what is lost
	broken  []plan.Reason // grade A does not hold even so
}

// acting is a distinct acting set: the hosts of its copies that are there.
type acting struct {
	pool  *plan.Pool
	hosts []int32
	count int32
}

// outlook counts for each failure domain what its loss would break.
type outlook struct{ b, c []int32 }

func (c *cloud) region(at model.Path) *region {
	if r := c.regions[at]; r != nil {
		return r
	}
	r := &region{path: at, level: plan.LevelHost, osd: map[int32]bool{}}
	c.regions[at] = r
	for i := range c.f.Clusters {
		if x := &c.f.Clusters[i]; x.Region == at {
			r.level = x.FailureDomain
			for _, h := range x.OSDHosts {
				r.osd[h] = !c.p.Drains()
			}
			for j := range x.Pools {
				r.pool(c, &x.Pools[j])
			}
		}
	}
	if r.of = copies(len(c.f.Hosts), r.sets); c.p.Drains() {
		r.of = csr{from: make([]int32, len(c.f.Hosts)+1)} // with a drained host no copy is lost
	}
	r.domain, r.domains = c.numbered(r.level)
	for g, x := range c.f.Groups {
		for _, h := range x.Hosts {
			if at.Contains(c.f.Hosts[h].Path) {
				r.groups = append(r.groups, int32(g))
				break
			}
		}
	}
	r.assess(c)
	return r
}

func (r *region) pool(c *cloud, p *plan.Pool) {
	hosts := make([]int32, 0, len(p.Acting))
	r.sets = slices.Grow(r.sets, len(p.Count))
	for i, n := range p.Count {
		first := len(hosts)
		for _, h := range p.Acting[i*p.Size : (i+1)*p.Size] {
			if h >= 0 && !c.f.Hosts[h].Down {
				hosts = append(hosts, h)
			}
		}
		r.sets = append(r.sets, acting{pool: p, count: n, hosts: hosts[first:]})
	}
}

// copies tells which sets have a copy on each host.
func copies(hosts int, sets []acting) csr {
	return invert(hosts, sets, func(s acting) []int32 { return s.hosts })
}

// assess finds how the region stands before anything is touched.
func (r *region) assess(c *cloud) {
	r.base = outlook{make([]int32, len(r.domains)), make([]int32, len(r.domains))}
	none := make([]bool, len(c.f.Hosts))
	short := map[*plan.Pool]int32{}
	for _, s := range r.sets {
		if len(s.hosts) < s.pool.MinSize {
			short[s.pool] += s.count
		}
		r.weigh(&r.base, s, none, 1)
	}
	for _, s := range r.sets {
		if n := short[s.pool]; n > 0 {
			r.broken = append(r.broken, plan.Reason{Invariant: "I2", Place: r.path,
				Text:   fmt.Sprintf("%d placement groups of pool %s have fewer than min_size %d copies already", n, s.pool.Name, s.pool.MinSize),
				Remedy: "let Ceph recover first"})
			delete(short, s.pool)
		}
	}
	for _, g := range r.groups {
		x := c.f.Groups[g]
		if up := c.up(g, none); x.Kind == plan.Quorum && 2*up <= len(x.Hosts) {
			r.broken = append(r.broken, plan.Reason{Invariant: "I1", Place: r.path,
				Text:   fmt.Sprintf("%s has %d of %d members, no majority", x.Name, up, len(x.Hosts)),
				Remedy: "bring the members that are lost back first"})
		}
		r.weighGroup(c, &r.base, g, none, 1)
	}
}

// up counts a group's members that are neither lost nor down.
func (c *cloud) up(g int32, down []bool) int {
	n := 0
	for _, h := range c.f.Groups[g].Hosts {
		if !c.f.Hosts[h].Down && !down[h] {
			n++
		}
	}
	return n
}

// weigh adds to the outlook what each domain's loss would do to an acting set while some hosts are down.
func (r *region) weigh(o *outlook, s acting, down []bool, sign int32) {
	var seen [32]int32 // domains of copies; pools are smaller than that
	var count [32]int
	n, up := 0, 0
next:
	for _, h := range s.hosts {
		if down[h] {
			continue
		}
		up++
		d := r.domain[h]
		for i := range n {
			if seen[i] == d {
				count[i]++
				continue next
			}
		}
		if n < len(seen) {
			seen[n], count[n] = d, 1
			n++
		}
	}
	for i := range n {
		if up-count[i] < s.pool.MinSize {
			o.b[seen[i]] += sign * s.count
		}
		if up-count[i] < s.pool.Data {
			o.c[seen[i]] += sign * s.count
		}
	}
}

// weighGroup does the same for a group.
func (r *region) weighGroup(c *cloud, o *outlook, g int32, down []bool, sign int32) {
	x := c.f.Groups[g]
	count := map[int32]int{}
	up := 0
	for _, h := range x.Hosts {
		if !c.f.Hosts[h].Down && !down[h] {
			up++
			if r.path.Contains(c.f.Hosts[h].Path) {
				count[r.domain[h]]++
			}
		}
	}
	if x.Kind != plan.Quorum && up < 1 && len(o.b) > 0 {
		o.b[0] += sign // whatever else is lost
	}
	for d, n := range count {
		left := up - n
		if (x.Kind == plan.Quorum && 2*left <= len(x.Hosts)) || left < 1 {
			o.b[d] += sign
		}
		if x.Kind == plan.Quorum && left < 1 {
			o.c[d] += sign
		}
	}
}

// lacking is what a set or a group would lack if the hosts were down; empty when all is well. Grades B and C are asked only when they are wanted.
func (r *region) lacking(s acting, down []bool, want plan.Grade) string {
	up := 0
	for _, h := range s.hosts {
		if !down[h] {
			up++
		}
	}
	if up < s.pool.MinSize {
		return fmt.Sprintf("pool %s would have placement groups with %d copies, below min_size %d", s.pool.Name, up, s.pool.MinSize)
	}
	b, cc := has(want, "B"), has(want, "C")
	for i, h := range s.hosts {
		if (!b && !cc) || down[h] {
			continue
		}
		n := 0
		for _, o := range s.hosts[i:] {
			if !down[o] && r.domain[o] == r.domain[h] {
				n++
			}
		}
		if b && up-n < s.pool.MinSize {
			return fmt.Sprintf("grade B: with %s lost too, pool %s would have placement groups with %d copies, below min_size %d", r.domains[r.domain[h]], s.pool.Name, up-n, s.pool.MinSize)
		}
		if cc && up-n < s.pool.Data {
			return fmt.Sprintf("grade C: with %s lost too, pool %s would lose data: %d copies of the %d it needs", r.domains[r.domain[h]], s.pool.Name, up-n, s.pool.Data)
		}
	}
	return ""
}

// lackingGroup is the same for a group of which the batch has a member.
func (r *region) lackingGroup(c *cloud, g int32, down []bool, want plan.Grade) string {
	x := c.f.Groups[g]
	up := c.up(g, down)
	switch {
	case x.Kind == plan.Quorum && 2*up <= len(x.Hosts):
		return fmt.Sprintf("%s would have %d of %d members, no majority", x.Name, up, len(x.Hosts))
	case x.Kind != plan.Quorum && up < 1:
		return fmt.Sprintf("%s has no other member that is up", x.Name)
	case x.Kind != plan.Quorum && up < len(x.Hosts)-1:
		return fmt.Sprintf("%s has lost a member already", x.Name)
	}
	if !has(want, "B") && !has(want, "C") {
		return ""
	}
	o := outlook{make([]int32, len(r.domains)), make([]int32, len(r.domains))}
	r.weighGroup(c, &o, g, down, 1)
	for d := range r.domains {
		if has(want, "B") && o.b[d] > 0 {
			return fmt.Sprintf("grade B: with %s lost too, %s would not have members enough", r.domains[d], x.Name)
		}
		if has(want, "C") && o.c[d] > 0 {
			return fmt.Sprintf("grade C: with %s lost too, %s would have no member left", r.domains[d], x.Name)
		}
	}
	return ""
}

// grade tells what is survived while the hosts are down, what breaks the rest, and what a reader asks first.
func (r *region) grade(c *cloud, hosts []int32) (plan.Grade, []string, plan.Counts) {
	down, none := make([]bool, len(c.f.Hosts)), make([]bool, len(c.f.Hosts))
	for _, h := range hosts {
		down[h] = true
	}
	o := outlook{append([]int32(nil), r.base.b...), append([]int32(nil), r.base.c...)}
	counts := plan.Counts{QuorumSpare: -1}
	seen := make([]bool, len(r.sets))
	for _, h := range hosts {
		for _, i := range r.of.of(h) {
			if seen[i] {
				continue
			}
			seen[i] = true
			s := r.sets[i]
			r.weigh(&o, s, none, -1)
			r.weigh(&o, s, down, 1)
			up := 0
			for _, h := range s.hosts {
				if !down[h] {
					up++
				}
			}
			counts.PGsDown += int(s.count)
			if up == s.pool.MinSize {
				counts.PGsAtMin += int(s.count)
			}
		}
		for _, g := range c.groups[h] {
			r.weighGroup(c, &o, g, none, -1)
			r.weighGroup(c, &o, g, down, 1)
			if x := c.f.Groups[g]; x.Kind == plan.Quorum {
				spare := c.up(g, down) - (len(x.Hosts)/2 + 1)
				if counts.QuorumSpare < 0 || spare < counts.QuorumSpare {
					counts.QuorumSpare = spare
				}
			}
		}
	}
	g, short := plan.Grade("A"), []string(nil)
	if len(r.broken) > 0 { // only a drain goes on with that
		for _, why := range r.broken {
			short = append(short, "A: already, without this: "+why.Text)
		}
		return "", short, counts
	}
	for _, x := range []struct {
		letter string
		broken []int32
		text   string
	}{{"B", o.b, "I/O or a service stops"}, {"C", o.c, "data is lost"}} {
		if worst := most(x.broken); worst >= 0 {
			short = append(short, fmt.Sprintf("%s: %s when %s %s is lost too (%d placement groups and services)", x.letter, x.text, r.level, r.domains[worst], x.broken[worst]))
			continue
		}
		g += plan.Grade("+" + x.letter)
	}
	return g, short, counts
}

// most is the index of the greatest positive number, the first of them, or -1.
func most(list []int32) int {
	at := -1
	for i, n := range list {
		if n > 0 && (at < 0 || n > list[at]) {
			at = i
		}
	}
	return at
}
