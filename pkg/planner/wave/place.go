package wave

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Place solves a batch's placements again for the same hosts, from a fleet as it is now: machines have come and gone, hosts have died. The hosts are
// those of the batch by their index in this fleet, to be changed whatever the fleet says of them. Its moves, by their indices in this fleet as well, are
// kept where they can be; all else that the batch said is made anew. Hosts that the fleet says are to be changed later are taken as destinations only
// when the others do not suffice. It gives a *plan.Refusal when the batch cannot be taken out of service as things are.
func Place(f plan.Fleet, p plan.Policy, b plan.Batch) (plan.Batch, error) {
	if len(b.Hosts) == 0 {
		return b, nil
	}
	f.Hosts = slices.Clone(f.Hosts)
	for _, h := range b.Hosts {
		f.Hosts[h].Change = true
	}
	c := newCloud(f, p)
	z := c.zoneOf[b.Hosts[0]]
	var reasons []plan.Reason
	if !p.Drains() {
		reasons = c.health(z.region)
	}
	reasons = append(reasons, c.unmovable(func(h int32) bool { return slices.Contains(b.Hosts, h) })...)
	at, mask := c.columns()
	for i, t := range attempts {
		s := newSolver(c, z, zoneBound{}, t.how, at, mask)
		if t.wishes {
			s.wishes = wishes(b.Moves)
		}
		s.clear()
		if reasons = append(reasons, s.gather(b.Hosts)...); len(reasons) > 0 {
			break
		}
		place := s.place
		if t.hold {
			place = s.placeOrHold
		}
		v := place(s.chosen)
		if v < 0 {
			out := c.describe(z, s.finish(slices.Clone(s.chosen)))
			out.Stage = b.Stage
			return out, nil
		}
		if i == len(attempts)-1 {
			reasons = append(reasons, plan.Reason{Invariant: "I3", Place: z.path, Text: "virtual machine " + f.VMs.Names[v] + " has to leave, and: " + s.lacks(v),
				Remedy: "free capacity, or plan again"})
		}
	}
	return plan.Batch{}, &plan.Refusal{Reasons: reasons}
}

// attempts are the ways in which Place looks for placements, one after the other: those that the batch had come first, and nothing is stopped that any
// way finds a place for.
var attempts = []struct {
	how          manner
	wishes, hold bool
}{
	{wishes: true},
	{how: manner{}},
	{how: manner{fullest: true}},
	{how: manner{byVCPUs: true, fromLeft: true}},
	{how: manner{fullest: true, byVCPUs: true}},
	{wishes: true, hold: true},
	{how: manner{fullest: true, byVCPUs: true}, hold: true},
}

// gather puts exactly these hosts into the batch, or says which of them must not be in it.
func (s *solver) gather(hosts []int32) []plan.Reason {
	var out []plan.Reason
	for _, h := range hosts {
		at := s.c.f.Hosts[h].Path
		if s.c.zoneOf[h] != s.z || s.c.f.Hosts[h].Down {
			out = append(out, plan.Reason{Invariant: "I11", Place: at, Text: "it is down, or not in the zone of the batch", Remedy: "bring it back, or plan again without it"})
			continue
		}
		l := s.c.local[h]
		if why := s.forbidden(l); why != nil {
			why.Place, why.Remedy = at, "wait until this holds again, or plan again"
			out = append(out, *why)
			continue
		}
		s.include(l)
	}
	return out
}
