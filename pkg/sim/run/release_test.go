package run_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// TestAReleaseRises rolls it in the planner's order, to the end; and in the opposite one, with nobody who asks: the first OSDs do not start, and the monitor tells why.
func TestAReleaseRises(t *testing.T) {
	f, p := run.Rising()
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
