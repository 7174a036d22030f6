package wave_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// solve gives the certificate, or false when the planner refuses.
func solve(t rapid.TB, f plan.Fleet, p plan.Policy) (plan.Certificate, bool) {
	t.Helper()
	c, err := wave.Solve(f, p)
	var r *plan.Refusal
	if errors.As(err, &r) {
		for _, x := range r.Reasons {
			if x.Text == "" || x.Remedy == "" || x.Invariant == "" {
				t.Fatalf("a refusal that does not help: %+v", x)
			}
		}
		return c, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, true
}

// Every certificate keeps every rule, in the eyes of a checker that knows nothing of how it was made.
func TestEveryBatchKeepsEveryRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]plantest.Size{plantest.Tiny, plantest.Small, {Sites: 2, Regions: 1, Zones: 1, Hosts: 6}, {Sites: 1, Regions: 1, Zones: 3, Hosts: 9}}).Draw(t, "size")
		f, p := plantest.Fleet(rapid.Uint64().Draw(t, "seed"), size)
		c, ok := solve(t, f, p)
		if !ok {
			t.Skip("refused")
		}
		for _, x := range check(f, p, c.Batches) {
			t.Error(x)
		}
		if c.Bound.Rounds > len(c.Batches) {
			t.Errorf("%d rounds are below the bound %d (%s)", len(c.Batches), c.Bound.Rounds, c.Bound.Binding)
		}
		for _, z := range c.Bound.Zones {
			if z.Bound > z.Rounds || z.BoundSeconds > z.Seconds {
				t.Errorf("%s is below its bound: %+v", z.Zone, z)
			}
		}
	})
}

func TestLargerFleetsKeepEveryRule(t *testing.T) {
	for seed := range uint64(6) {
		f, p := plantest.Fleet(seed, plantest.Medium)
		if c, ok := solve(t, f, p); ok {
			for _, x := range check(f, p, c.Batches) {
				t.Errorf("seed %d: %s", seed, x)
			}
		}
	}
}

func TestTheSameFleetGivesTheSameCertificate(t *testing.T) {
	f, p := plantest.Fleet(3, plantest.Medium)
	first, _ := solve(t, f, p)
	for range 5 {
		if again, _ := solve(t, f, p); model.DigestJSON(first) != model.DigestJSON(again) {
			t.Fatal("two certificates of one fleet differ")
		}
	}
}
