package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

// staged writes the stages that a certificate's batches need around it.
func staged(x plan.Certificate) plan.Plan {
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Certificate: &x, Initial: plan.State{}}
	osd := map[int32]bool{}
	for _, k := range x.Fleet.Clusters {
		for _, h := range k.OSDHosts {
			osd[h] = true
		}
	}
	for i, h := range x.Fleet.Hosts {
		p.Initial.Set(plan.Fact{Subject: plan.NodeSubject(h.Path), Attr: plan.AttrHost, Value: "old"})
		if osd[int32(i)] {
			p.Initial.Set(plan.Fact{Subject: plan.NodeSubject(h.Path), Attr: plan.AttrCeph, Value: plan.Up})
		}
	}
	c := &checker{plan: &p, fleet: &x.Fleet, policy: &x.Policy, b: &plan.Batch{}}
	if c.begin(); len(x.Batches) == 0 {
		match(&p)
		return p
	}
	for i := range x.Batches {
		b := &x.Batches[i]
		c.b, b.Stage = b, i
		p.Stages = append(p.Stages, plan.Stage{Title: "to be written"})
		c.open()
		s := stageOf(x.Fleet, b.Hosts, i, func(h int32) []plan.Kind { return append([]plan.Kind{plan.SlotWrite}, c.needs(h)...) })
		s.Ops[len(s.Ops)-1].Args = map[string]string{"seconds": fmt.Sprint(x.Policy.BakeSeconds)} // of the bake
		p.Stages[i] = s
		c.close()
	}
	p.Provenance.Policy = model.DigestJSON(x.Policy)
	plan.Seal(&p)
	return p
}

// What the planner finds for fleets of all kinds is accepted, and truly good; and what is left of it after some damage is accepted only when it is good.
func TestRolloutsOfTheSeeds(t *testing.T) {
	planned, accepted, rejected := 0, 0, 0
	for seed := range uint64(24) {
		size := []plantest.Size{plantest.Tiny, plantest.Small}[seed%2]
		f, policy := plantest.Fleet(seed, size)
		x, err := wave.Solve(f, policy)
		if err != nil || len(x.Batches) == 0 {
			continue // it was refused
		}
		planned++
		p := staged(x)
		if err := Plan(p); err != nil {
			t.Errorf("seed %d: the planner's certificate is rejected: %v", seed, err)
			continue
		}
		if err := truth(&x); err != nil {
			t.Errorf("seed %d: the planner's certificate is accepted, and not good: %v", seed, err)
		}
		for n := range uint64(2) {
			y := x
			y.Batches = slices.Clone(x.Batches)
			tamper(rand.New(rand.NewPCG(seed, n)), &y)
			p := staged(y)
			if match(&p); Plan(p) != nil {
				rejected++
				continue
			}
			accepted++
			if err := truth(&y); err != nil {
				t.Errorf("seed %d, damage %d: accepted, and yet: %v", seed, n, err)
			}
		}
	}
	if t.Logf("%d seeds planned; of their damaged certificates %d accepted, %d rejected", planned, accepted, rejected); planned < 12 || accepted == 0 || rejected == 0 {
		t.Error("that shows nothing")
	}
}

// tamper moves some machines of a batch elsewhere, exchanges two hosts of two batches, or loses a host.
func tamper(r *rand.Rand, x *plan.Certificate) {
	b := &x.Batches[r.IntN(len(x.Batches))]
	switch r.IntN(3) {
	case 0:
		x.Fleet.Hosts = slices.Clone(x.Fleet.Hosts)
		if h := &x.Fleet.Hosts[r.IntN(len(x.Fleet.Hosts))]; !h.Change {
			h.Down = true
		}
	default:
		b.Moves.To = slices.Clone(b.Moves.To)
		for i := range b.Moves.To {
			if r.IntN(4) == 0 {
				b.Moves.To[i] = int32(r.IntN(len(x.Fleet.Hosts)))
			}
		}
	}
}

// FuzzVerify: whatever stands in a certificate, it is accepted or rejected, and nothing else happens. Four bytes change one number.
func FuzzVerify(f *testing.F) {
	f.Add([]byte{0, 0, 0, 255})
	f.Add([]byte{3, 1, 128, 0, 9, 0, 0, 7})
	f.Fuzz(func(t *testing.T, edits []byte) {
		p := good(t)
		all := columns(p.Certificate)
		for ; len(edits) >= 4; edits = edits[4:] {
			if c := all[int(edits[0])%len(all)]; len(c) > 0 {
				c[int(edits[1])%len(c)] = int32(int8(edits[2]))<<24 | int32(edits[3])
			}
		}
		_ = Plan(p)
		for _, b := range p.Certificate.Batches {
			_ = Batch(p.Certificate.Fleet, p.Certificate.Policy, b)
		}
	})
}

// columns are all numbers of a certificate that name something else in it.
func columns(x *plan.Certificate) []plan.Ints {
	f := &x.Fleet
	out := []plan.Ints{f.VMs.Host, f.VMs.Shape, f.VMs.Cells, f.VMs.Fixed, f.VMs.Consent}
	for _, a := range f.Apart {
		out = append(out, a.VMs)
	}
	for _, g := range f.Groups {
		out = append(out, g.Hosts)
	}
	for _, k := range f.Clusters {
		out = append(out, k.OSDHosts)
		for _, p := range k.Pools {
			out = append(out, p.Acting, p.Count)
		}
	}
	for _, b := range x.Batches {
		out = append(out, b.Hosts, b.Stops, b.Moves.VM, b.Moves.To, b.Moves.Cells)
	}
	return out
}

// Any number in any column leads to a verdict, and never to a panic.
func TestAnyNumberAnywhere(t *testing.T) {
	for column := range columns(good(t).Certificate) {
		for _, value := range []int32{-2147483648, -1, 5, 12, 28, 2147483647} {
			p := good(t)
			if c := columns(p.Certificate)[column]; len(c) > 0 {
				c[0] = value
				_ = Plan(p)
				_ = Batch(p.Certificate.Fleet, p.Certificate.Policy, p.Certificate.Batches[0])
			}
		}
	}
}
