package run

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// Rising is a region of two zones whose monitors stand apart from its OSDs, and whose hosts all go from Ceph 16 to 18.
func Rising() (plan.Fleet, plan.Policy) {
	f := plan.Fleet{Groups: []plan.Group{{Name: "mon of s/r", Kind: plan.Quorum}}}
	k := plan.Cluster{Region: "s/r", FailureDomain: plan.LevelHost, Require: 16}
	for _, at := range []model.Path{"s/r/az1/a/mon1", "s/r/az1/b/mon2", "s/r/az1/c/osd1", "s/r/az1/d/osd2", "s/r/az2/a/mon3", "s/r/az2/c/osd3", "s/r/az2/d/osd4"} {
		i := int32(len(f.Hosts))
		if strings.HasPrefix(at.Name(), "mon") {
			k.Mons = append(k.Mons, i)
		} else {
			k.OSDHosts = append(k.OSDHosts, i)
		}
		f.Hosts = append(f.Hosts, plan.Host{Path: at, Change: true, Class: -1, ClassAfter: -1, Ceph: 16, CephAfter: 18})
	}
	k.Mgrs, f.Groups[0].Hosts = k.Mons, k.Mons
	k.Pools = []plan.Pool{{Name: "vms", Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{2, 3, 5, 3, 5, 6}, Count: plan.Ints{8, 8}}}
	f.Clusters = []plan.Cluster{k}
	return f, plan.Policy{Method: plan.MethodSlot, Survive: "A+C", Times: plan.Times{Host: 600, Recovery: 60, Settle: 5}}
}

// TestKillTheEndOfARise kills nuboctl at every moment of the step after which no older OSD starts: it ends alike, and nobody is left behind.
func TestKillTheEndOfARise(t *testing.T) {
	f, p := Rising()
	want := rolled(t, f, p)
	op := plan.ID(plan.CephRequire, "ceph:s/r")
	for _, when := range slices.DeleteFunc(slices.Clone(moments), func(m moment) bool { return m == inTheAct }) { // it takes no time
		if got := rolled(t, f, p, strike{op, when}); got != want {
			t.Errorf("killed %s: it ends otherwise", when)
		}
	}
	s := newSite(t, f, p, Options{Seed: 1})
	if s.roll(); s.world.Truth.Required(2) != 18 {
		t.Errorf("at the end OSDs of %d start", s.world.Truth.Required(2))
	}
}

// first puts the end of a rise before everything else.
func first(p *plan.Plan) {
	last := p.Stages[len(p.Stages)-1]
	p.Stages = slices.Insert(p.Stages[:len(p.Stages)-1], 0, last)
	for i := range p.Certificate.Batches {
		p.Certificate.Batches[i].Stage++
	}
	plan.Seal(p)
}

// TestARiseThatEndsFirst: the verifier refuses it; and with nobody who verifies, the op's own question holds the rollout before anything is changed.
func TestARiseThatEndsFirst(t *testing.T) {
	f, p := Rising()
	r := Rollout(f, p, Options{Seed: 1, Faults: world.Profiles["none"], Solve: wave.Solve, damage: first})
	if r.Outcome != Refused || !strings.Contains(r.Why, "asks for release 18, and s/r/az1/a/mon1 has 16 by then") {
		t.Errorf("it is %s: %s", r.Outcome, r.Why)
	}
	r = Rollout(f, p, Options{Seed: 1, Faults: world.Profiles["none"], Solve: wave.Solve, Reckless: true, damage: first})
	if r.Outcome != Halted || !strings.Contains(r.Why, "mon.mon1 is of release 16") || slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == monitor.Left }) {
		t.Errorf("with nobody who verifies it is %s: %s; %v", r.Outcome, r.Why, r.Violations)
	}
}
