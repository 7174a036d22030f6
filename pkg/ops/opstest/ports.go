package opstest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// StorageLab is a host with daemons in a healthy cluster, which can do without it.
type StorageLab interface {
	Storage() ops.Storage
	Node() model.Node
	Now() time.Time
	// Await looks again and again until it is so; it fails the test when it does not come to be so.
	Await(t *testing.T, what string, so func() bool)
}

// Storage is what every driver of ops.Storage must pass, whatever its cluster is. The host is in service again at the end.
func Storage(t *testing.T, lab StorageLab) {
	s, n := lab.Storage(), lab.Node()
	look := func() ops.Ceph {
		t.Helper()
		c, err := s.Observe(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, c)
		return c
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	lab.Await(t, "all is in service", func() bool { c := look(); return c.Daemons == plan.Up && c.Unsure == "" })
	before := look()
	if len(before.OSDs) == 0 || len(before.Pools) == 0 || !before.Noout.IsZero() {
		t.Errorf("a healthy host is seen as %+v", before)
	}
	must("may a healthy host stop", s.OKToStop(t.Context(), n))
	must("unset a flag that is not set", s.SetNoout(t.Context(), n, time.Time{}))
	for _, lasts := range []time.Duration{20 * time.Minute, 30 * time.Minute} { // the second puts the end off
		began := lab.Now()
		until := began.Add(lasts)
		must("set noout", s.SetNoout(t.Context(), n, until))
		if got := look().Noout; got.Sub(until).Abs() > lab.Now().Sub(began)+2*time.Second { // as exact as a question is quick, and whole seconds
			t.Errorf("noout ends at %s, not %s", got, until)
		}
	}
	for range 2 { // the second finds nothing to do
		must("stop the daemons", s.SetDaemons(t.Context(), n, false))
		if got := look().Daemons; got != plan.Stopped {
			t.Errorf("the daemons were stopped, and are %q", got)
		}
	}
	lab.Await(t, "its copies are gone from the acting sets", func() bool { return copies(look()) == 0 })
	for range 2 {
		must("start the daemons", s.SetDaemons(t.Context(), n, true))
		lab.Await(t, "they are in service", func() bool { return look().Daemons == plan.Up })
	}
	must("unset noout", s.SetNoout(t.Context(), n, time.Time{}))
	if c := look(); !c.Noout.IsZero() {
		t.Errorf("noout is unset, and ends at %s", c.Noout)
	}
	lab.Await(t, "its copies are complete again", func() bool { c := look(); return c.Unsure == "" && copies(c) == copies(before) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Observe(ended, n)
	for what, err := range map[string]error{"observe": err, "noout": s.SetNoout(ended, n, lab.Now().Add(time.Hour)), "ok-to-stop": s.OKToStop(ended, n),
		"stop": s.SetDaemons(ended, n, false)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", what, err)
		}
	}
	if c := look(); c.Daemons != plan.Up || !c.Noout.IsZero() {
		t.Errorf("after calls whose context had ended it is %+v", c)
	}
}

// copies counts the node's in the acting sets.
func copies(c ops.Ceph) (n int) {
	here := map[int32]bool{}
	for _, id := range c.OSDs {
		here[id] = true
	}
	for _, p := range c.Pools {
		for _, id := range p.Acting {
			if here[id] {
				n++
			}
		}
	}
	return n
}

func wellFormed(t *testing.T, c ops.Ceph) {
	t.Helper()
	for _, p := range c.Pools {
		if p.Size < 1 || p.MinSize < 1 || len(p.Acting)%p.Size != 0 {
			t.Errorf("pool %s of size %d and min_size %d has %d places", p.Name, p.Size, p.MinSize, len(p.Acting))
		}
	}
}

// SlotLab is a host that runs one thing, and whose node wants another.
type SlotLab interface {
	Slots() ops.Slots
	// Node wants what is to be written.
	Node() model.Node
	// Runs is the digest of what the host runs, once it answers.
	Runs(t *testing.T) model.Digest
}

// Slots is what every driver of ops.Slots must pass.
func Slots(t *testing.T, lab SlotLab) {
	s, n := lab.Slots(), lab.Node()
	want, was := facts.HostSpec(n.Image.Digest, n.Config), lab.Runs(t)
	if was == want {
		t.Fatal("the lab's host runs already what its node wants")
	}
	is := func(when string, state ops.SlotState) {
		t.Helper()
		if got, err := s.State(t.Context(), n); err != nil || got != state {
			t.Fatalf("%s: %+v (%v), want %+v", when, got, err, state)
		}
	}
	told := 0
	write := func() {
		t.Helper()
		err := s.Write(t.Context(), n, want, func(p plan.Progress) {
			if told++; p == (plan.Progress{}) {
				t.Error("progress that tells nothing")
			}
		})
		if err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	if err := s.Write(t.Context(), n, was, func(plan.Progress) {}); err == nil {
		t.Error("a slot was written with what the node does not want")
	}
	write()
	if told == 0 {
		t.Error("the writing told nothing")
	}
	is("written", ops.SlotState{Idle: want, Default: was})
	write()
	is("written again", ops.SlotState{Idle: want, Default: was})
	boot := func() {
		t.Helper()
		if err := s.BootOnce(t.Context(), n); err != nil {
			t.Fatalf("boot once: %v", err)
		}
		if got := lab.Runs(t); got != want {
			t.Fatalf("it runs %s, not %s", got, want)
		}
		is("on trial", ops.SlotState{Idle: was, Default: was})
	}
	boot()
	if err := s.Abandon(t.Context(), n); err != nil {
		t.Fatalf("abandon: %v", err)
	}
	if got := lab.Runs(t); got != was {
		t.Fatalf("it runs %s, not %s", got, was)
	}
	is("abandoned", ops.SlotState{Idle: want, Default: was})
	boot()
	for range 2 {
		if err := s.Commit(t.Context(), n); err != nil {
			t.Fatalf("commit: %v", err)
		}
		is("committed", ops.SlotState{Idle: was, Default: want})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.State(ended, n)
	for what, err := range map[string]error{"state": err, "boot": s.BootOnce(ended, n), "abandon": s.Abandon(ended, n), "commit": s.Commit(ended, n)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", what, err)
		}
	}
	is("after calls whose context had ended", ops.SlotState{Idle: was, Default: want})
}

// PackageLab is a host that does not have the packages of a snapshot.
type PackageLab interface {
	Packages() ops.Packages
	Node() model.Node
	Snapshot() model.Digest
}

// Packages is what every driver of ops.Packages must pass.
func Packages(t *testing.T, lab PackageLab) {
	p, n, want, told := lab.Packages(), lab.Node(), lab.Snapshot(), 0
	is := func(when string, state ops.PackageState) {
		t.Helper()
		if got, err := p.State(t.Context(), n); err != nil || got != state {
			t.Fatalf("%s: %+v (%v), want %+v", when, got, err, state)
		}
	}
	report := func(p plan.Progress) {
		if told++; p == (plan.Progress{}) {
			t.Error("progress that tells nothing")
		}
	}
	is("at first", ops.PackageState{})
	if err := p.Install(t.Context(), n, want, report); err == nil {
		t.Error("packages were installed that are not there")
	}
	is("without the files", ops.PackageState{})
	for range 2 { // the second finds nothing to bring
		if err := p.Stage(t.Context(), n, want, report); err != nil {
			t.Fatalf("stage: %v", err)
		}
		is("staged", ops.PackageState{Staged: want})
	}
	for range 2 {
		if err := p.Install(t.Context(), n, want, report); err != nil {
			t.Fatalf("install: %v", err)
		}
		is("installed", ops.PackageState{Staged: want, Installed: want})
	}
	if told == 0 {
		t.Error("nothing was told")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.State(ended, n)
	for what, err := range map[string]error{"state": err, "stage": p.Stage(ended, n, want, report), "install": p.Install(ended, n, want, report)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended: %v", what, err)
		}
	}
	is("after calls whose context had ended", ops.PackageState{Staged: want, Installed: want})
}

// ports is the part of Run that looks at single ports.
func ports(t *testing.T, lab New) {
	t.Run("storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newRollout(t, lab)
			Storage(t, fakeHost{b})
		})
	})
	t.Run("packages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { Packages(t, fakeHost{newRollout(t, lab)}) })
	})
	t.Run("slots", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newRollout(t, lab)
			b.node.Image.Digest = model.DigestBytes([]byte("debian-14"))
			Slots(t, fakeHost{b})
		})
	})
}

// fakeHost is the first host of a lab.
type fakeHost struct{ b *bench }

func (f fakeHost) Storage() ops.Storage   { return f.b.lab.World().Storage }
func (f fakeHost) Slots() ops.Slots       { return f.b.lab.World().Slots }
func (f fakeHost) Packages() ops.Packages { return f.b.lab.World().Packages }
func (f fakeHost) Snapshot() model.Digest { return model.DigestBytes([]byte("snapshot")) }
func (f fakeHost) Node() model.Node       { return f.b.node }
func (f fakeHost) Now() time.Time         { return f.b.clock.Now() }

func (f fakeHost) Await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for until := f.Now().Add(time.Hour); !so(); {
		if !f.Now().Before(until) {
			t.Fatalf("waited in vain for: %s", what)
		}
		if err := f.b.clock.Sleep(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

func (f fakeHost) Runs(t *testing.T) (spec model.Digest) {
	t.Helper()
	f.Await(t, "the host answers", func() bool {
		h, err := f.b.lab.World().Hosts.Observe(t.Context(), f.b.node)
		spec = facts.HostSpec(h.Image, h.Config)
		return err == nil && h.Reachable
	})
	return spec
}
