package wave

import (
	"cmp"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// solver builds the batches of one zone, one after the other, as recursive-largest-first colours a graph: it begins each with the hosts that
// conflict with most of what is left, and fills it with whatever else may go. What a batch displaces is placed at once, so later batches see it.
type solver struct {
	*packing
	r      *region
	bound  zoneBound
	left   []int32 // hosts of the zone still to be changed, those with most conflicts first
	in     []bool  // host of the zone → in the batch at hand
	down   []bool  // the same by the host's index in the fleet
	chosen []int32
	units  map[int32]bool // places of max_unavailable's level that the batch touches beside the lost
	rounds int
	spare  room // what is free outside of the batch, less what it displaces
	heavy  int  // hosts of the batch with something to move
	limit  int  // of hosts
	goal   int  // of heavy hosts
}

// draft is a batch before it is described.
type draft struct {
	hosts, stops []int32
	moves        []move
}

func newSolver(c *cloud, z *zone, bound zoneBound, how manner, at, mask []int32) *solver {
	s := &solver{packing: newPacking(c, z, how, at, mask), r: z.region, bound: bound, in: make([]bool, len(z.hosts)), down: make([]bool, len(c.f.Hosts))}
	for l, h := range z.hosts {
		if c.toChange(h) {
			s.left = append(s.left, int32(l))
		}
	}
	size := make([]int, len(c.f.Groups))
	for _, l := range s.left {
		for _, g := range c.groups[z.hosts[l]] {
			size[g]++
		}
	}
	degree := func(l int32) (n int) {
		for _, g := range c.groups[z.hosts[l]] {
			n = max(n, size[g])
		}
		return n
	}
	slices.SortStableFunc(s.left, func(a, b int32) int { return degree(b) - degree(a) })
	return s
}

// run gives the zone's batches, or nothing and the hosts that no batch can hold.
func (s *solver) run(most int) ([]draft, []int32) {
	var out []draft
	for len(s.left) > 0 {
		if most > 0 && len(out) >= most {
			return nil, nil // another manner needs fewer
		}
		batch := s.next()
		if len(batch) == 0 {
			return nil, s.left
		}
		out = append(out, s.finish(batch))
	}
	return out, nil
}

// finish commits a batch that is placed.
func (s *solver) finish(batch []int32) draft {
	d := draft{moves: slices.Clone(s.moves), stops: slices.Clone(s.held)}
	s.forget()
	for _, l := range batch {
		d.hosts = append(d.hosts, s.z.hosts[l])
		for _, v := range s.guests[l] {
			if s.c.fixed[v] {
				d.stops = append(d.stops, v)
			}
		}
		s.in[l] = true
	}
	s.commit()
	s.left = slices.DeleteFunc(s.left, func(l int32) bool { return s.in[l] })
	for _, l := range batch {
		s.in[l] = false
	}
	slices.Sort(d.hosts)
	slices.Sort(d.stops)
	slices.SortFunc(d.moves, func(a, b move) int { return cmp.Compare(a.vm, b.vm) })
	s.rounds++
	return d
}

// next chooses and places a batch. It stays pending: finish must follow unless it is empty.
func (s *solver) next() []int32 {
	tried := map[int32]bool{}
	for {
		domain := s.focus(tried)
		s.choose(domain)
		if batch := s.fit(slices.Clone(s.chosen)); len(batch) > 0 {
			return batch
		}
		if domain < 0 {
			break
		}
		tried[domain] = true
	}
	for _, l := range s.left { // whatever goes alone
		s.clear()
		if s.add(l) && s.place(s.chosen) < 0 {
			return slices.Clone(s.chosen)
		}
	}
	for _, l := range s.left { // whatever goes alone when those are stopped whose owners consent to it
		s.clear()
		if s.limit == 0 || s.forbidden(l) != nil {
			continue
		}
		if s.include(l); s.placeOrHold(s.chosen) < 0 {
			return slices.Clone(s.chosen)
		}
	}
	return nil
}

// forget takes every host out of the batch at hand.
func (s *solver) forget() {
	for _, l := range s.chosen {
		s.in[l], s.down[s.z.hosts[l]] = false, false
	}
}

// clear begins a batch anew.
func (s *solver) clear() {
	s.forget()
	s.chosen, s.units, s.heavy, s.spare = s.chosen[:0], map[int32]bool{}, 0, room{}
	for l, h := range s.z.hosts {
		if s.class[l] >= 0 && !s.c.f.Hosts[h].Down {
			s.spare.memory += max(0, s.free[l].memory)
			s.spare.vcpus += max(0, s.free[l].vcpus)
		}
	}
	s.limit = len(s.left)
	if n := s.z.budget.hosts; n >= 0 {
		s.limit = min(s.limit, n)
	}
	if s.rounds == 0 && s.z.canary > 0 {
		s.limit = min(s.limit, s.z.canary)
	}
	s.goal = len(s.left)
	if n := s.bound.capacity - s.rounds; s.how.balanced && n > 0 {
		heavy := 0
		for _, l := range s.left {
			if s.load[l] != (room{}) {
				heavy++
			}
		}
		s.goal = (heavy + n - 1) / n
	}
}

// focus is the storage place that this batch's OSD hosts come from: the one with the most of them left, or -1 when there is none untried.
func (s *solver) focus(tried map[int32]bool) int32 {
	count := map[int32]int{}
	inUnit := map[int32]int{}
	for _, l := range s.left {
		if h := s.z.hosts[l]; s.r.osd[h] {
			count[s.r.domain[h]]++
			if s.z.budget.of != nil {
				inUnit[s.z.budget.of[h]]++
			}
		}
	}
	best, most, tie := int32(-1), 0, 0
	for _, l := range s.left {
		h := s.z.hosts[l]
		if !s.r.osd[h] || tried[s.r.domain[h]] {
			continue
		}
		n, unit := count[s.r.domain[h]], 0
		if s.how.spread {
			n = len(s.left) + 1 - n
		}
		if s.z.budget.of != nil {
			unit = inUnit[s.z.budget.of[h]]
		}
		if n > most || (n == most && unit > tie) {
			best, most, tie = s.r.domain[h], n, unit
		}
	}
	return best
}

// choose fills the batch: the OSD hosts of the place, then what has none.
func (s *solver) choose(domain int32) {
	s.clear()
	s.pass(func(h int32) bool { return s.r.osd[h] && s.r.domain[h] == domain })
	other := func(h int32) bool { return !s.r.osd[h] }
	if s.z.budget.places < 0 {
		s.pass(other)
		return
	}
	of := s.z.budget.of
	s.pass(func(h int32) bool { return other(h) && s.touched(of[h]) })
	for len(s.units) < s.z.budget.places {
		u := s.fullestUnit()
		if u < 0 {
			return
		}
		before := len(s.chosen)
		s.pass(func(h int32) bool { return other(h) && of[h] == u })
		if len(s.chosen) == before {
			return
		}
	}
}

func (s *solver) touched(u int32) bool { return s.units[u] || s.z.budget.lost[u] }

// fullestUnit is the place of max_unavailable's level with the most hosts without OSDs left, of those not touched yet.
func (s *solver) fullestUnit() int32 {
	count := map[int32]int{}
	best := int32(-1)
	for _, l := range s.left {
		if h := s.z.hosts[l]; !s.in[l] && !s.r.osd[h] {
			if u := s.z.budget.of[h]; !s.touched(u) {
				count[u]++
				if best < 0 || count[u] > count[best] {
					best = u
				}
			}
		}
	}
	return best
}

func (s *solver) pass(want func(h int32) bool) {
	for _, l := range s.left {
		if len(s.chosen) >= s.limit {
			return
		}
		if !s.in[l] && want(s.z.hosts[l]) {
			s.add(l)
		}
	}
}

// add puts a host into the batch unless a rule or the room that is left forbids it.
func (s *solver) add(l int32) bool {
	if len(s.chosen) >= s.limit {
		return false
	}
	load, free := s.load[l], s.free[l]
	spare := room{memory: s.spare.memory - load.memory, vcpus: s.spare.vcpus - load.vcpus}
	if s.class[l] >= 0 {
		spare.memory -= max(0, free.memory)
		spare.vcpus -= max(0, free.vcpus)
	}
	heavy := load != room{}
	if heavy && (spare.memory < 0 || spare.vcpus < 0 || s.heavy >= s.goal) {
		return false
	}
	if s.forbidden(l) != nil {
		return false
	}
	s.include(l)
	s.spare = spare
	if heavy {
		s.heavy++
	}
	return true
}

// include puts a host into the batch at hand.
func (s *solver) include(l int32) {
	s.in[l], s.down[s.z.hosts[l]] = true, true
	s.chosen = append(s.chosen, l)
	if s.z.budget.of != nil {
		if u := s.z.budget.of[s.z.hosts[l]]; !s.z.budget.lost[u] {
			s.units[u] = true
		}
	}
}

// forbidden names the rule that keeps a host out of the batch at hand, or nil.
func (s *solver) forbidden(l int32) *plan.Reason {
	h := s.z.hosts[l]
	b := s.z.budget
	if b.hosts >= 0 && len(s.chosen) >= b.hosts {
		return &plan.Reason{Invariant: "I11", Text: b.why + " leaves no room, lost hosts counted"}
	}
	if b.places >= 0 {
		if u := b.of[h]; !s.touched(u) && len(s.units) >= b.places {
			return &plan.Reason{Invariant: "I11", Text: Unavailable(s.c.p.MaxUnavailable) + " leaves no room, lost hosts counted"}
		}
	}
	s.down[h] = true
	defer func() { s.down[h] = s.in[l] }()
	if s.r.osd[h] {
		for _, o := range s.chosen {
			if o := s.z.hosts[o]; s.r.osd[o] && s.r.domain[o] != s.r.domain[h] {
				return &plan.Reason{Invariant: "I6", Text: "another failure domain is in the batch"}
			}
		}
	}
	for _, g := range s.c.groups[h] {
		for _, x := range s.c.f.Groups[g].Hosts {
			if x != h && s.down[x] {
				return &plan.Reason{Invariant: "I1", Text: s.c.f.Groups[g].Name + " has a member in the batch"}
			}
		}
		if text := s.r.lackingGroup(s.c, g, s.down, s.c.p.Survive); text != "" {
			return &plan.Reason{Invariant: map[plan.GroupKind]string{plan.Quorum: "I1", plan.Standby: "I5", plan.Key: "I9"}[s.c.f.Groups[g].Kind], Text: text}
		}
	}
	for _, i := range s.r.of.of(h) {
		if text := s.r.lacking(s.r.sets[i], s.down, s.c.p.Survive); text != "" {
			return &plan.Reason{Invariant: "I2", Text: text}
		}
	}
	return s.stopsForbidden(l)
}

// stopsForbidden holds I4 and I7 for virtual machines that are stopped with their host.
func (s *solver) stopsForbidden(l int32) *plan.Reason {
	var stopped map[int32]int
	for _, v := range s.guests[l] {
		if !s.c.fixed[v] {
			continue
		}
		for _, g := range s.c.apart.of(v) {
			if stopped == nil {
				stopped = s.stopped()
			}
			if stopped[g]++; stopped[g] > 1 {
				return &plan.Reason{Invariant: "I4", Text: "more than one member of anti-affinity group " + s.c.f.Apart[g].Name + " would be down"}
			}
		}
	}
	return nil
}

// stopped counts for each anti-affinity group the members that are stopped by the batch at hand or are on lost hosts.
func (s *solver) stopped() map[int32]int {
	out := map[int32]int{}
	add := func(v int32) {
		for _, g := range s.c.apart.of(v) {
			out[g]++
		}
	}
	for v, h := range s.c.f.VMs.Host {
		if h >= 0 && s.c.f.Hosts[h].Down {
			add(int32(v))
		}
	}
	for _, l := range s.chosen {
		for _, v := range s.guests[l] {
			if s.c.fixed[v] {
				add(v)
			}
		}
	}
	return out
}

// fit places as much of the batch as there is room for, those chosen first before the others.
func (s *solver) fit(batch []int32) []int32 {
	if len(batch) == 0 {
		return nil
	}
	if s.place(batch) < 0 {
		return batch
	}
	good, bad := 0, len(batch)
	for step := max(1, len(batch)/50); good == 0 && bad > 1; step *= 2 {
		n := max(1, bad-step)
		if s.place(batch[:n]) < 0 {
			s.rollback()
			good = n
		} else {
			bad = n
		}
	}
	if good == 0 {
		return nil
	}
	for exact := max(1, len(batch)/100); bad-good > exact; {
		n := (good + bad) / 2
		if s.place(batch[:n]) < 0 {
			s.rollback()
			good = n
		} else {
			bad = n
		}
	}
	return s.extend(slices.Clone(batch[:good]), batch[good:])
}

// extend takes what has nothing to move and is no destination, tries a few of the others one by one, and leaves the batch placed.
func (s *solver) extend(batch, others []int32) []int32 {
	for _, l := range others {
		if s.class[l] < 0 {
			batch = append(batch, l)
		}
	}
	tries := 6
	for _, l := range others {
		if s.class[l] < 0 || tries == 0 {
			continue
		}
		if s.place(append(batch, l)) < 0 {
			s.rollback()
			batch = append(batch, l)
		} else {
			tries--
		}
	}
	s.place(batch)
	return batch
}
