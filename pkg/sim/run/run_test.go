package run_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// TestNothingIsViolated rolls generated fleets, small and large, with no faults, the usual ones and harsh ones.
func TestNothingIsViolated(t *testing.T) {
	for _, c := range []struct {
		faults string
		size   plantest.Size
		seeds  uint64
		least  int // that must be complete: a simulator in which nothing ever ends finds nothing
	}{
		{"none", plantest.Small, 40, 36},
		{"default", plantest.Small, 150, 120},
		{"harsh", plantest.Small, 50, 35},
		{"splits", plantest.Small, 60, 30},
		{"default", plantest.Region, 3, 1},
	} {
		if testing.Short() {
			c.seeds, c.least = c.seeds/10, 0
		}
		t.Run(fmt.Sprint(c.faults, " ", c.size.Total()), func(t *testing.T) {
			sum := run.Many(t.Context(), run.Set{Rollouts: int(c.seeds), Seed: 1, Faults: c.faults, Fleet: run.Generated(c.size)})
			for _, v := range sum.Violations {
				t.Errorf("seed %d, %.0f s: %s: %s", v.Seed, v.Seconds, v.Invariant, v.Detail)
			}
			if sum.Completed < c.least {
				t.Errorf("%d of %d are complete, %d halted, %d refused", sum.Completed, c.seeds, sum.Halted, sum.Refused)
			}
			t.Logf("%d complete, %d halted, %d refused, nuboctl killed %d times", sum.Completed, sum.Halted, sum.Refused, sum.Kills)
		})
	}
}

// TestNothingIsLeftToPlan rolls a fleet whose plan is made again when every host has been changed already: the new plan is empty, and carries no certificate.
func TestNothingIsLeftToPlan(t *testing.T) {
	const seed = 304
	sum := run.Many(t.Context(), run.Set{Rollouts: 1, Seed: seed, Faults: "default", Fleet: run.Generated(plantest.Small)})
	if sum.Completed != 1 || len(sum.Violations) > 0 {
		t.Errorf("%d is complete, and %v is violated", sum.Completed, sum.Violations)
	}
}

// TestNothingGoesToWhereDisksAreOutOfReach takes away what keeps machines from hosts whose storage network is cut: the monitor sees them go there.
func TestNothingGoesToWhereDisksAreOutOfReach(t *testing.T) {
	for seed := range uint64(30) {
		f, p := plantest.Fleet(seed, plantest.Small)
		r := run.Rollout(f, p, run.Options{Seed: seed, Faults: world.Faults{Cut: 4}, Reckless: true, Careless: true})
		if slices.ContainsFunc(r.Violations, func(v run.Violation) bool { return v.Invariant == monitor.Reach }) {
			return
		}
	}
	t.Error("nobody looked, and nothing was found")
}

// TestARunIsItsSeed runs the same seed twice.
func TestARunIsItsSeed(t *testing.T) {
	f, p := plantest.Fleet(3, plantest.Small)
	var last string
	for range 2 {
		r := run.Rollout(f, p, run.Options{Seed: 3, Faults: world.Profiles["harsh"]})
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" && last != string(text) {
			t.Errorf("the same seed gave %s and %s", last, text)
		}
		last = string(text)
	}
}

// In each of these a host of a batch has its placements solved again while a machine of another is under way.
func TestMachinesUnderWayStayApart(t *testing.T) {
	for _, seed := range []uint64{41754, 52102, 75119} {
		f, p := plantest.Fleet(seed, plantest.Small)
		if r := run.Rollout(f, p, run.Options{Seed: seed, Faults: world.Profiles["default"]}); len(r.Violations) > 0 || r.Outcome != run.Completed {
			t.Errorf("seed %d is %s %s: %+v", seed, r.Outcome, r.Why, r.Violations)
		}
	}
}

// Each of these once ended with a violation: OSDs that a broken-off rollout had left stopped were forgotten by the plan that was made after it, a machine that
// was back, as far as it could be reached again, was switched off, and a host without Ceph that died counted as daemons that we keep out of service.
func TestSeedsThatFoundSomething(t *testing.T) {
	const slot, reinstall = plan.MethodSlot, plan.MethodReinstall
	for _, c := range []struct {
		seed   uint64
		size   plantest.Size
		faults string
		method string // empty: the fleet's own
	}{
		{9000001, plantest.Tiny, "harsh", reinstall}, {9000093, plantest.Tiny, "harsh", reinstall}, {9000100, plantest.Tiny, "harsh", reinstall},
		{9000134, plantest.Tiny, "harsh", reinstall}, {12000165, plantest.Tiny, "harsh", reinstall}, {12000992, plantest.Tiny, "harsh", reinstall},
		{13000208, plantest.Tiny, "harsh", slot}, {13000208, plantest.Tiny, "harsh", ""}, {97417, plantest.Small, "default", ""},
		{70, plantest.Small, "splits", ""}, {138, plantest.Small, "splits", ""}, {148, plantest.Small, "splits", ""}, {257, plantest.Small, "splits", ""},
	} {
		f, p := plantest.Fleet(c.seed, c.size)
		if c.method != "" {
			p.Method = c.method
		}
		if r := run.Rollout(f, p, run.Options{Seed: c.seed, Faults: world.Profiles[c.faults]}); len(r.Violations) > 0 {
			t.Errorf("seed %d is %s %s: %+v", c.seed, r.Outcome, r.Why, r.Violations)
		}
	}
}
