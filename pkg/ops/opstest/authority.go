package opstest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Authority is a VM authority with two hosts whose virtual machines and cordons a suite may change. The suite leaves it as it was.
type Authority struct {
	Guests  ops.Guests
	Cordons ops.Cordons
	Clock   ops.Clock
	From    model.Node
	To      model.Node
	// Movable and Tied run at From: the first can be migrated and its owner has said nothing, the second cannot, and its owner consents to its being stopped.
	Movable, Tied string
}

// AuthorityStep is one part of the suite of every VM authority. The steps are done in their order.
type AuthorityStep struct {
	Name string
	Do   func(t testing.TB, a Authority)
}

// AuthoritySteps are that suite.
func AuthoritySteps() []AuthorityStep {
	return []AuthorityStep{
		{"what is listed", listed},
		{"nobody is stopped unasked", unasked},
		{"hold and release", heldAndReleased},
		{"a cordon is set, renewed and removed", cordons},
		{"a cordon ends by itself", expires},
		{"a cordoned host takes nobody", takesNobody},
		{"what was held is started on a cordoned host", releasedThere},
		{"what is tied to its host does not move", tied},
		{"a move that is given up before it begins", givenUp},
		{"there and back", thereAndBack},
	}
}

// authority is the suite over two hosts of a lab.
func authority(t *testing.T, lab New) {
	t.Run("authority", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			site := Site(3)
			for i := range site.VMs {
				site.VMs[i].OnDrain = ""
			}
			b := newRolloutOf(t, lab, site)
			d, w := b.lab.World().Desired, b.lab.World()
			a := Authority{Guests: w.Guests, Cordons: w.Cordons, Clock: w.Clock, From: d.Nodes[0], To: d.Nodes[1], Movable: d.VMs[0].Name}
			before, err := a.Guests.List(t.Context(), a.From)
			if err != nil {
				t.Fatal(err)
			}
			b.lab.Place(model.ObservedVM{Name: "tied", Node: a.From.Path, Fixed: "a passthrough device", OnDrain: "stop_start"})
			after, err := a.Guests.List(t.Context(), a.From)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range after { // the lab chooses the name
				if !slices.Contains(before, g) {
					a.Tied = g.Name
				}
			}
			for _, s := range AuthoritySteps() {
				s.Do(stepped{t, s.Name}, a)
			}
		})
	})
}

// stepped names the step in what a test says, where it cannot have subtests.
type stepped struct {
	*testing.T
	step string
}

func (s stepped) Errorf(format string, args ...any) {
	s.Helper()
	s.T.Errorf("%s: "+format, append([]any{s.step}, args...)...)
}

func (s stepped) Fatalf(format string, args ...any) {
	s.Helper()
	s.T.Fatalf("%s: "+format, append([]any{s.step}, args...)...)
}

// at finds a machine on a host.
func (a Authority) at(t testing.TB, n model.Node, vm string) (ops.Guest, bool) {
	t.Helper()
	list, err := a.Guests.List(t.Context(), n)
	if err != nil {
		t.Fatalf("list %s: %v", n.Path, err)
	}
	i := slices.IndexFunc(list, func(g ops.Guest) bool { return g.Name == vm })
	if i < 0 {
		return ops.Guest{}, false
	}
	return list[i], true
}

// runs fails unless a machine runs on one of the hosts and is not on the other.
func (a Authority) runs(t testing.TB, vm string, here, notHere model.Node) {
	t.Helper()
	if g, ok := a.at(t, here, vm); !ok || g.Held {
		t.Errorf("%s does not run on %s: %+v, %v", vm, here.Path, g, ok)
	}
	if g, ok := a.at(t, notHere, vm); ok {
		t.Errorf("%s is on %s: %+v", vm, notHere.Path, g)
	}
}

func quiet(plan.Progress) {}

func listed(t testing.TB, a Authority) {
	a.runs(t, a.Movable, a.From, a.To)
	a.runs(t, a.Tied, a.From, a.To)
	if g, _ := a.at(t, a.From, a.Movable); g.Fixed || g.Consent {
		t.Errorf("what can move is %+v", g)
	}
	if g, _ := a.at(t, a.From, a.Tied); !g.Fixed || !g.Consent {
		t.Errorf("what cannot move, and may be stopped, is %+v", g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := a.Guests.List(ctx, a.From); err == nil {
		t.Errorf("a list that nobody waited for: %v", list)
	}
}

func unasked(t testing.TB, a Authority) {
	if err := a.Guests.Hold(t.Context(), a.Movable, a.From); err == nil {
		t.Errorf("%s was stopped, and its owner has not consented", a.Movable)
	}
	a.runs(t, a.Movable, a.From, a.To)
}

func heldAndReleased(t testing.TB, a Authority) {
	for range 2 { // the second time changes nothing
		if err := a.Guests.Hold(t.Context(), a.Tied, a.From); err != nil {
			t.Fatalf("hold: %v", err)
		}
		if g, ok := a.at(t, a.From, a.Tied); !ok || !g.Held || !g.Consent {
			t.Fatalf("held, it is %+v, %v", g, ok)
		}
	}
	for range 2 {
		if err := a.Guests.Release(t.Context(), a.Tied, a.From); err != nil {
			t.Fatalf("release: %v", err)
		}
		a.runs(t, a.Tied, a.From, a.To)
	}
}

// until fails unless a host's cordon ends at about a time; zero: there is none.
func (a Authority) until(t testing.TB, n model.Node, want time.Time) {
	t.Helper()
	got, err := a.Cordons.Cordon(t.Context(), n)
	if err != nil || got.Until.IsZero() != want.IsZero() || got.Until.Sub(want).Abs() > time.Minute {
		t.Errorf("the cordon of %s ends %v (%v), want %v", n.Path, got, err, want)
	}
}

func (a Authority) cordon(t testing.TB, n model.Node, until time.Time) {
	t.Helper()
	if err := a.Cordons.SetCordon(t.Context(), n, ops.Mark{Until: until}); err != nil {
		t.Fatalf("set the cordon of %s: %v", n.Path, err)
	}
}

func cordons(t testing.TB, a Authority) {
	a.until(t, a.From, time.Time{})
	for _, d := range []time.Duration{time.Hour, 24 * time.Hour, 24 * time.Hour} {
		end := a.Clock.Now().Add(d)
		a.cordon(t, a.From, end)
		a.until(t, a.From, end)
		a.until(t, a.To, time.Time{})
	}
	for range 2 {
		a.cordon(t, a.From, time.Time{})
		a.until(t, a.From, time.Time{})
	}
}

// waitFor looks again and again, in the authority's time, for at most ten minutes.
func (a Authority) waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := a.Clock.Now().Add(10 * time.Minute); !holds(); {
		if a.Clock.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
		if err := a.Clock.Sleep(t.Context(), 50*time.Millisecond); err != nil {
			t.Fatalf("wait for %s: %v", what, err)
		}
	}
}

func expires(t testing.TB, a Authority) {
	lasts := 5 * time.Second
	for a.Cordons.SetCordon(t.Context(), a.From, ops.Mark{Until: a.Clock.Now().Add(lasts)}) != nil { // over before a slow host could be told
		if lasts *= 2; lasts > time.Minute {
			t.Fatalf("no cordon of less than %s can be set", lasts)
		}
	}
	a.waitFor(t, "the cordon's end", func() bool {
		mark, err := a.Cordons.Cordon(t.Context(), a.From)
		if err != nil {
			t.Fatalf("read the cordon: %v", err)
		}
		return mark == ops.Mark{}
	})
}

func takesNobody(t testing.TB, a Authority) {
	a.cordon(t, a.To, a.Clock.Now().Add(time.Hour))
	if err := a.Guests.Migrate(t.Context(), a.Movable, a.From, a.To, quiet); !errors.Is(err, ops.ErrNoRoom) {
		t.Errorf("to a cordoned host: %v, want ErrNoRoom", err)
	}
	a.runs(t, a.Movable, a.From, a.To)
	a.cordon(t, a.To, time.Time{})
}

func releasedThere(t testing.TB, a Authority) {
	a.cordon(t, a.From, a.Clock.Now().Add(time.Hour))
	for what, err := range map[string]error{"hold": a.Guests.Hold(t.Context(), a.Tied, a.From), "release": a.Guests.Release(t.Context(), a.Tied, a.From)} {
		if err != nil {
			t.Errorf("%s on a cordoned host: %v", what, err)
		}
	}
	a.runs(t, a.Tied, a.From, a.To)
	a.cordon(t, a.From, time.Time{})
}

func tied(t testing.TB, a Authority) {
	if err := a.Guests.Migrate(t.Context(), a.Tied, a.From, a.To, quiet); err == nil {
		t.Errorf("it moved")
	}
	a.runs(t, a.Tied, a.From, a.To)
}

func givenUp(t testing.TB, a Authority) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Guests.Migrate(ctx, a.Movable, a.From, a.To, quiet); err == nil {
		t.Errorf("it moved though nobody waited")
	}
	a.runs(t, a.Movable, a.From, a.To)
}

func thereAndBack(t testing.TB, a Authority) {
	for _, leg := range [][2]model.Node{{a.From, a.To}, {a.To, a.From}} {
		for _, what := range []string{"move", "once more, when it has arrived"} {
			if err := a.Guests.Migrate(t.Context(), a.Movable, leg[0], leg[1], a.sane(t)); err != nil {
				t.Fatalf("%s from %s to %s: %v", what, leg[0].Path, leg[1].Path, err)
			}
			a.runs(t, a.Movable, leg[1], leg[0])
		}
	}
}

// sane checks what is told of a move.
func (a Authority) sane(t testing.TB) func(plan.Progress) {
	return func(p plan.Progress) {
		if p == (plan.Progress{}) || p.Done < 0 || p.Done > p.Total {
			t.Errorf("progress %+v", p)
		}
	}
}
