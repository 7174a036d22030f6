// Package wave makes the certificate of a rollout: which hosts are taken out of service together, and where their virtual machines go meanwhile. It is
// pure and deterministic. The rules it keeps are those of plan.Certificate; package verify checks them with other code.
package wave

import (
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Solve finds batches for every host to be changed, in as few rounds as it can within a bounded amount of work, or gives a *plan.Refusal.
// Batches have the numbers of their stages as if these began at 0.
func Solve(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
	if rises := risen(&f); len(rises) > 0 {
		return inTurns(f, p, rises)
	}
	return solve(f, p)
}

func solve(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
	c := newCloud(f, p)
	out := plan.Certificate{Fleet: f, Policy: p}
	if r := c.standing(); len(r) > 0 {
		return plan.Certificate{}, &plan.Refusal{Reasons: r}
	}
	results := c.solveZones()
	var zones []plan.ZoneBound
	var refusal plan.Refusal
	for i, z := range c.zones {
		if z.change == 0 {
			continue
		}
		r := results[i]
		refusal.Reasons = append(refusal.Reasons, r.reasons...)
		b := plan.ZoneBound{Binding: r.bound.binding, Bound: r.bound.rounds, BoundSeconds: c.boundSeconds(z, r.bound.rounds), Rounds: len(r.batches), Zone: z.path}
		for _, batch := range r.batches {
			batch.Stage = len(out.Batches)
			b.Seconds += batch.Seconds
			out.Batches = append(out.Batches, batch)
		}
		zones = append(zones, b)
	}
	if len(refusal.Reasons) > 0 {
		return plan.Certificate{}, &refusal
	}
	out.Bound, out.Grade = total(zones), Grade(out.Batches)
	return out, nil
}

// Bounds are the bounds of a fleet beside what batches for it have.
func Bounds(f plan.Fleet, p plan.Policy, batches []plan.Batch) plan.Bound {
	c := newCloud(f, p)
	var zones []plan.ZoneBound
	for _, z := range c.zones {
		if z.change == 0 {
			continue
		}
		bound := c.boundOf(z)
		b := plan.ZoneBound{Binding: bound.binding, Bound: bound.rounds, BoundSeconds: c.boundSeconds(z, bound.rounds), Zone: z.path}
		for _, x := range batches {
			if x.Zone == z.path {
				b.Rounds++
				b.Seconds += x.Seconds
			}
		}
		zones = append(zones, b)
	}
	return total(zones)
}

// Grade is what every batch reaches; empty when there is none.
func Grade(batches []plan.Batch) plan.Grade {
	if len(batches) == 0 {
		return ""
	}
	if slices.ContainsFunc(batches, func(b plan.Batch) bool { return !has(b.Grade, "A") }) {
		return ""
	}
	out := plan.Grade("A")
	for _, letter := range []string{"B", "C"} {
		if !slices.ContainsFunc(batches, func(b plan.Batch) bool { return !has(b.Grade, letter) }) {
			out += plan.Grade("+" + letter)
		}
	}
	return out
}

// result is what became of a zone.
type result struct {
	batches []plan.Batch
	bound   zoneBound
	reasons []plan.Reason
}

// solveZones solves zones at the same time. They share nothing but what is only read and columns in which each has its own part, so the order in
// which they end has no effect.
func (c *cloud) solveZones() []result {
	out := make([]result, len(c.zones))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	at, mask := c.columns()
	for i, z := range c.zones {
		if z.change == 0 {
			continue
		}
		g.Go(func() error {
			out[i] = c.solveZone(z, at, mask)
			return nil
		})
	}
	_ = g.Wait()
	return out
}

// columns are the places of virtual machines, to be worked on.
func (c *cloud) columns() (at, mask []int32) {
	at = make([]int32, len(c.f.VMs.Host))
	if slices.ContainsFunc(c.f.Shapes, func(s plan.Shape) bool { return s.Cells > 0 }) {
		mask = make([]int32, len(at))
	}
	return at, mask
}

// manners are the searches, in the order in which they are tried.
var manners = []manner{
	{balanced: true},
	{},
	{balanced: true, fullest: true},
	{fullest: true, byVCPUs: true},
	{balanced: true, fromLeft: true, byVCPUs: true},
	{fromLeft: true, spread: true},
	{balanced: true, fullest: true, fromLeft: true, spread: true},
	{fullest: true, fromLeft: true},
}

// effort is how many virtual machines may be looked at for a zone, summed over the searches; at least two searches are made when the first misses the bound.
const effort = 200_000

func (c *cloud) solveZone(z *zone, at, mask []int32) result {
	out := result{bound: c.boundOf(z)}
	var best []draft
	var stuck []int32
	var last *solver
	for i, how := range manners {
		if i > 1 && i*len(z.vms) > effort {
			break
		}
		s := newSolver(c, z, out.bound, how, at, mask)
		drafts, left := s.run(max(0, len(best)-1))
		if left != nil && stuck == nil {
			stuck, last = left, s
		}
		if drafts != nil && (best == nil || len(drafts) < len(best)) {
			best = drafts
		}
		if best != nil && len(best) <= out.bound.rounds {
			break
		}
	}
	if best == nil {
		out.reasons = c.explain(z, last, stuck)
	}
	for _, d := range best {
		out.batches = append(out.batches, c.describe(z, d))
	}
	return out
}

// describe gives a batch with everything that a reader and the verifier ask.
func (c *cloud) describe(z *zone, d draft) plan.Batch {
	grade, short, counts := z.region.grade(c, d.hosts)
	counts.Displaced = len(d.moves)
	out := plan.Batch{Counts: counts, Grade: grade, Short: short, Hosts: d.hosts, Stops: d.stops, Zone: z.path, Seconds: c.seconds(d, z.region.osd)}
	pinned := slices.ContainsFunc(d.moves, func(m move) bool { return m.has != 0 })
	out.Moves.VM, out.Moves.To = make(plan.Ints, len(d.moves)), make(plan.Ints, len(d.moves))
	if pinned {
		out.Moves.Cells = make(plan.Ints, len(d.moves))
	}
	for i, m := range d.moves {
		out.Moves.VM[i], out.Moves.To[i] = m.vm, m.to
		if pinned {
			out.Moves.Cells[i] = m.has
		}
	}
	return out
}
