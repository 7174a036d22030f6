package plan_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// Stages' digests are followed op by op; they are those of the states that the ops lead to, also when a subject comes and goes.
func TestDigestsAreFollowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fact := rapid.Custom(func(t *rapid.T) plan.Fact {
			return plan.Fact{Subject: plan.BatchSubject(rapid.IntRange(0, 600).Draw(t, "subject")),
				Attr: rapid.SampledFrom([]plan.Attr{"a", "b"}).Draw(t, "attr"), Value: rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "value")}
		})
		p := plan.Plan{Initial: plan.State{}}
		for _, f := range rapid.SliceOf(fact).Draw(t, "initial") {
			p.Initial.Set(f)
		}
		for i, facts := range rapid.SliceOf(rapid.SliceOf(fact)).Draw(t, "stages") {
			p.Stages = append(p.Stages, plan.Stage{Ops: []plan.Op{{ID: plan.OpID(fmt.Sprint(i)), Post: facts}}})
		}
		plan.Seal(&p)
		for i, s := range p.Stages {
			if before, after := p.StateBefore(i).Digest(), p.StateBefore(i+1).Digest(); s.Before != before || s.After != after {
				t.Fatalf("stage %d has the digests %s and %s, its states %s and %s", i, s.Before, s.After, before, after)
			}
		}
	})
}

// A state's digest names every subject, attribute and value of it.
func TestDigestTellsStatesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"p", "q", "pq", "", "p\"q"})
		draw := func() plan.State {
			st := plan.State{}
			for i := range rapid.IntRange(0, 2).Draw(t, "n") {
				st.Set(plan.Fact{Subject: plan.Subject(text.Draw(t, fmt.Sprint(i))), Attr: plan.Attr(text.Draw(t, "a")), Value: text.Draw(t, "v")})
			}
			return st
		}
		a, b := draw(), draw()
		if (len(plan.Diff(a, b)) == 0) != (a.Digest() == b.Digest()) {
			t.Fatalf("%v and %v have the digests %s and %s", a, b, a.Digest(), b.Digest())
		}
	})
}

// Order is what reading the list again and again gives, each time taking what has all it needs.
func TestOrderIsReadingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(t, "n")
		var s plan.Stage
		for i := range n {
			o := plan.Op{ID: plan.OpID(fmt.Sprint(i))}
			for _, j := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 2).Draw(t, "needs") {
				o.Needs = append(o.Needs, plan.OpID(fmt.Sprint(j)))
			}
			s.Ops = append(s.Ops, o)
		}
		got, want := fmt.Sprint(s.Order()), fmt.Sprint(reading(s))
		if got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func reading(s plan.Stage) []plan.Op {
	here, done := map[plan.OpID]bool{}, map[plan.OpID]bool{}
	for _, o := range s.Ops {
		here[o.ID] = true
	}
	out := make([]plan.Op, 0, len(s.Ops))
	for more := true; more; {
		more = false
		for _, o := range s.Ops {
			ready := !done[o.ID]
			for _, n := range o.Needs {
				ready = ready && (!here[n] || done[n])
			}
			if ready {
				done[o.ID], more = true, true
				out = append(out, o)
			}
		}
	}
	return out
}

// many are independent chains, with one op behind them all: the shape of a stage with ten thousand hosts.
func many(chains int) plan.Plan {
	var s plan.Stage
	last := plan.Op{ID: "batch.gate batch:1", Kind: plan.BatchGate, Target: "batch:1", Post: []plan.Fact{{Attr: plan.AttrGate, Subject: "batch:1", Value: plan.Open}}}
	initial := plan.State{}
	for i := range chains {
		sub := plan.Subject(fmt.Sprintf("node:s/r/az1/rack/n%05d", i))
		initial.Set(plan.Fact{Attr: plan.AttrHost, Subject: sub, Value: "older"})
		is := func(a plan.Attr, v string) []plan.Fact { return []plan.Fact{{Attr: a, Subject: sub, Value: v}} }
		cordon := plan.Op{ID: plan.ID(plan.HostCordon, sub), Kind: plan.HostCordon, Target: sub, Post: is(plan.AttrCordon, plan.Set)}
		drain := plan.Op{ID: plan.ID(plan.HostDrain, sub), Kind: plan.HostDrain, Target: sub, Needs: []plan.OpID{cordon.ID}, Pre: cordon.Post, Post: is(plan.AttrGuests, plan.None)}
		s.Ops, last.Needs = append(s.Ops, cordon, drain), append(last.Needs, drain.ID)
	}
	s.Ops = append(s.Ops, last)
	p := plan.Plan{FormatVersion: plan.FormatVersion, Initial: initial, Stages: []plan.Stage{s}}
	plan.Seal(&p)
	return p
}

func BenchmarkValidate(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := many(n)
			for b.Loop() {
				if err := plan.Validate(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
