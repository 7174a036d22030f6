package run_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// rising is a region of two zones whose monitors stand apart from its OSDs, and whose hosts all go from Ceph 16 to 18.
func rising() (plan.Fleet, plan.Policy) {
	f := plan.Fleet{Groups: []plan.Group{{Name: "mon of s/r", Kind: plan.Quorum}}}
	k := plan.Cluster{Region: "s/r", FailureDomain: plan.LevelHost}
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

// TestAReleaseRises rolls it in the planner's order, to the end; and in the opposite one, with nobody who asks: the first OSDs do not start, and the monitor tells why.
func TestAReleaseRises(t *testing.T) {
	f, p := rising()
	for seed := range uint64(5) {
		if r := run.Rollout(f, p, run.Options{Seed: seed, Faults: world.Profiles["none"]}); r.Outcome != run.Completed || len(r.Violations) > 0 {
			t.Errorf("seed %d is %s %s: %+v", seed, r.Outcome, r.Why, r.Violations)
		}
	}
	backwards := func(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
		c, err := wave.Solve(f, p)
		slices.Reverse(c.Batches)
		return c, err
	}
	r := run.Rollout(f, p, run.Options{Seed: 1, Faults: world.Profiles["none"], Solve: backwards})
	if r.Outcome != run.Refused || !strings.Contains(r.Why, "before the monitor of") {
		t.Errorf("the verifier lets the opposite order pass: %s %s", r.Outcome, r.Why)
	}
	r = run.Rollout(f, p, run.Options{Seed: 1, Faults: world.Profiles["none"], Solve: backwards, Reckless: true, Careless: true})
	if !slices.ContainsFunc(r.Violations, func(v run.Violation) bool { return v.Invariant == monitor.Release }) {
		t.Errorf("it is %s, and the monitor sees nothing of it: %v", r.Outcome, r.Violations)
	}
}
