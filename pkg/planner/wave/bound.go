package wave

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// zoneBound is what no rollout of the zone can do better than.
type zoneBound struct {
	rounds   int
	binding  string
	capacity int // rounds that capacity alone asks for
}

// many stands for "no number of rounds is enough".
const many = 1 << 30

// bounder computes lower bounds on the rounds for sets of hosts of a zone. It counts nothing that a clever plan could avoid: each bound follows from one
// rule of plan.Certificate alone, or from such bounds for sets of hosts that cannot share a batch.
type bounder struct {
	c      *cloud
	z      *zone
	supply []supply
}

// supply is one resource that some virtual machines of the zone need and some hosts have. Those that are not in a batch must hold all of it.
type supply struct {
	name  string
	has   map[int32]int64 // host → the most it can ever hold of what can be moved
	slack int64           // of all the hosts together, beyond what there is to hold
}

func (c *cloud) boundOf(z *zone) zoneBound {
	b := &bounder{c: c, z: z, supply: c.supplies(z)}
	var hosts []int32
	for _, h := range z.hosts {
		if c.toChange(h) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return zoneBound{}
	}
	best := b.with(hosts, 0)
	if z.canary > 0 && z.canary < len(hosts) {
		if x := b.with(hosts, z.canary); x.rounds+1 > best.rounds {
			best.rounds, best.binding = x.rounds+1, x.binding+", and a canary"
		}
	}
	for _, s := range b.supply {
		best.capacity = max(best.capacity, s.rounds(hosts, 0))
	}
	best.binding += " in " + string(z.path)
	return best
}

// with is the greatest bound once any `less` hosts, that may share a batch, are taken away.
func (b *bounder) with(hosts []int32, less int) zoneBound {
	best := zoneBound{}
	consider := func(rounds int, binding string) {
		if rounds > best.rounds {
			best = zoneBound{rounds: rounds, binding: binding}
		}
	}
	consider(b.alike(hosts, less))
	if b.z.budget.places >= 0 {
		consider(b.units(hosts, less))
	}
	return best
}

// alike is the bound without max_unavailable's places: of the hosts together, and of the storage hosts of each failure domain one after the other.
func (b *bounder) alike(hosts []int32, less int) (int, string) {
	rounds, why := b.together(hosts, less)
	r := b.z.region
	sum, saved, binding := 0, []int(nil), ""
	for _, part := range split(hosts, func(h int32) (int32, bool) { return r.domain[h], r.osd[h] }) {
		n, why := b.together(part, 0)
		m, _ := b.together(part, less)
		sum, saved = sum+n, append(saved, n-m)
		binding = join(binding, n, why)
	}
	if len(saved) > 0 {
		if sum -= slices.Max(saved); sum > rounds {
			return sum, "failure domains (" + r.level + ")" + binding
		}
	}
	return rounds, why
}

// join names what makes a part need more than one batch.
func join(binding string, rounds int, why string) string {
	if rounds > 1 {
		return " and " + why
	}
	return binding
}

// units is the bound of max_unavailable in racks or chassis: each batch can work on so many of them.
func (b *bounder) units(hosts []int32, less int) (int, string) {
	u := b.z.budget
	parts := split(hosts, func(h int32) (int32, bool) { return u.of[h], !u.lost[u.of[h]] })
	sum, saved, binding := 0, []int(nil), ""
	for _, part := range parts {
		n, why := b.alike(part, 0)
		m, _ := b.alike(part, less)
		sum, saved = sum+n, append(saved, n-m)
		binding = join(binding, n, why)
	}
	slices.Sort(saved)
	for _, n := range saved[max(0, len(saved)-min(less, u.places)):] {
		sum -= n
	}
	if sum > 0 && u.places == 0 {
		return many, Unavailable(b.c.p.MaxUnavailable)
	}
	if sum == 0 {
		return 0, ""
	}
	return (sum + u.places - 1) / u.places, Unavailable(b.c.p.MaxUnavailable) + binding
}

// split groups hosts by a number, in the order of their first host; those without one are left out.
func split(hosts []int32, number func(int32) (int32, bool)) [][]int32 {
	index := map[int32]int{}
	var out [][]int32
	for _, h := range hosts {
		n, ok := number(h)
		if !ok {
			continue
		}
		i, ok := index[n]
		if !ok {
			i = len(out)
			index[n] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], h)
	}
	return out
}

// together is the bound for hosts that might share a batch, less any few.
func (b *bounder) together(hosts []int32, less int) (int, string) {
	left := len(hosts) - less
	if left <= 0 {
		return 0, ""
	}
	rounds, why := 1, "one batch"
	consider := func(n int, text string) {
		if n > rounds {
			rounds, why = n, text
		}
	}
	if limit := b.z.budget.hosts; limit == 0 {
		consider(many, b.z.budget.why)
	} else if limit > 0 {
		consider((left+limit-1)/limit, b.z.budget.why)
	}
	for _, s := range b.supply {
		consider(s.rounds(hosts, less), s.name)
	}
	count := map[int32]int{}
	for _, h := range hosts {
		for _, g := range b.c.groups[h] {
			count[g]++
			consider(count[g]-min(less, 1), b.c.f.Groups[g].Name)
		}
	}
	return rounds, why
}

// rounds is what one resource asks for: whatever a batch's hosts could hold, the others must be able to do without.
func (s supply) rounds(hosts []int32, less int) int {
	var have []int64
	for _, h := range hosts {
		if n := s.has[h]; n > 0 {
			have = append(have, n)
		}
	}
	slices.Sort(have)
	have = have[:max(0, len(have)-less)]
	if len(have) == 0 {
		return 0
	}
	fit, sum, all := 0, int64(0), int64(0)
	for _, n := range have {
		if sum+n <= s.slack && sum == all {
			fit++
			sum += n
		}
		all += n
	}
	if fit == 0 {
		return many
	}
	return max((len(have)+fit-1)/fit, int((all+s.slack-1)/s.slack))
}

// supplies lists the resources of a zone: memory and VCPUs, huge pages and dedicated CPUs; each for every set of classes that some shape is confined to.
func (c *cloud) supplies(z *zone) []supply {
	sets := c.confined(z)
	var out []supply
	for _, set := range sets {
		for d, name := range [...]string{"memory", "VCPUs", "huge pages", "dedicated CPUs"} {
			if s := c.supply(z, set, d); len(s.has) > 0 {
				s.name = name + set.name
				out = append(out, s)
			}
		}
	}
	return out
}

// confinement is a set of classes with the shapes that run nowhere else.
type confinement struct {
	name    string
	classes []bool
	shapes  []bool
}

func (c *cloud) confined(z *zone) []confinement {
	n := len(c.f.Classes)
	here := make([]bool, len(c.f.Shapes))
	for _, v := range z.vms {
		here[c.f.VMs.Shape[v]] = true
	}
	all := confinement{classes: make([]bool, n), shapes: here}
	for i := range all.classes {
		all.classes[i] = true
	}
	out := []confinement{all}
	for s, is := range here {
		row := c.can[s*n : (s+1)*n]
		if !is || slices.ContainsFunc(out, func(x confinement) bool { return slices.Equal(x.classes, row) }) {
			continue
		}
		x := confinement{name: " for " + shortCPU(c.f.Shapes[s].CPU) + " guests", classes: row, shapes: make([]bool, len(here))}
		for t := range here {
			x.shapes[t] = here[t] && within(c.can[t*n:(t+1)*n], row)
		}
		out = append(out, x)
	}
	return out
}

func within(a, b []bool) bool {
	for i := range a {
		if a[i] && !b[i] {
			return false
		}
	}
	return true
}

// supply of dimension 0: memory, 1: VCPUs, 2: huge pages, 3: dedicated CPUs. What cannot be moved counts as if it were not there, and neither does
// the room it takes; a host that is fuller than the reserve allows can hold what it has.
func (c *cloud) supply(z *zone, set confinement, d int) supply {
	movable, fixed := map[int32]int64{}, map[int32]int64{}
	for _, v := range z.vms {
		h := c.f.VMs.Host[v]
		switch n := amount(&c.f.Shapes[c.f.VMs.Shape[v]], d); {
		case c.f.Hosts[h].Down || n == 0:
		case c.consent[v] && !c.fixed[v]: // it may be stopped, and then needs no room elsewhere
		case c.fixed[v]:
			fixed[h] += n
		case set.shapes[c.f.VMs.Shape[v]]:
			movable[h] += n
		}
	}
	out := supply{has: map[int32]int64{}}
	var needed int64
	for _, h := range z.hosts {
		host := c.f.Hosts[h]
		if host.Down || (!classIn(set, host.Class) && !classIn(set, host.ClassAfter)) {
			continue
		}
		n := max(movable[h], c.size(host, d)-fixed[h])
		needed += movable[h]
		if n > 0 {
			out.has[h] = n
			out.slack += n
		}
	}
	if needed == 0 {
		return supply{}
	}
	out.slack -= needed
	return out
}

func classIn(set confinement, class int32) bool { return class >= 0 && set.classes[class] }

func amount(s *plan.Shape, d int) int64 {
	if s.Cells == 0 {
		return [...]int64{s.MemoryMiB, s.VCPUs, 0, 0}[d]
	}
	part := share(s)
	return [...]int64{0, 0, part.HugeMiB * int64(s.Cells), part.CPUs * int64(s.Cells)}[d]
}

// size is what a host has for virtual machines that are moved to it.
func (c *cloud) size(h plan.Host, d int) int64 {
	free := int64(100 - c.p.ReservePercent)
	out := [...]int64{h.MemoryMiB * free / 100, h.VCPUs * free / 100, 0, 0}
	for _, x := range h.Cells {
		out[2] += x.HugeMiB
		out[3] += x.CPUs
	}
	return out[d]
}

// total is the bound of the rollout: zones are done one after the other, so theirs add up.
func total(zones []plan.ZoneBound) plan.Bound {
	out := plan.Bound{Zones: zones}
	most, at := 0, model.Path("")
	for _, z := range zones {
		out.Rounds += z.Bound
		out.Seconds += z.BoundSeconds
		if z.Rounds > most {
			most, at, out.Binding = z.Rounds, z.Zone, z.Binding
		}
	}
	if out.Binding == "" && at != "" {
		out.Binding = fmt.Sprintf("nothing in %s", at)
	}
	return out
}
