package run_test

import (
	"fmt"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// TestPackagesInPlace rolls packages over generated fleets, with Open vSwitch among them and without, with no faults, the usual ones and harsh ones.
func TestPackagesInPlace(t *testing.T) {
	for _, c := range []struct {
		faults string
		stays  bool
		seeds  uint64
		least  int // that must be complete
	}{{"none", true, 20, 18}, {"none", false, 20, 16}, {"default", true, 60, 50}, {"default", false, 40, 28}, {"harsh", true, 40, 30}, {"harsh", false, 30, 18}} {
		if testing.Short() {
			c.seeds, c.least = c.seeds/10, 1
		}
		t.Run(fmt.Sprint(c.faults, " stays ", c.stays), func(t *testing.T) {
			done, kills := 0, 0
			for seed := range c.seeds {
				f, p := plantest.Fleet(seed, plantest.Small)
				p, err := facts.WithMethod(p, plan.MethodPackages)
				if err != nil {
					t.Fatal(err)
				}
				p.Stays = c.stays
				r := run.Rollout(f, p, run.Options{Seed: seed, Faults: world.Profiles[c.faults]})
				if r.Outcome == run.Completed {
					done++
				} else {
					t.Logf("seed %d: %s: %s", seed, r.Outcome, r.Why)
				}
				kills += r.Kills
				for _, v := range r.Violations {
					t.Errorf("seed %d, %.0f s: %s: %s", v.Seed, v.Seconds, v.Invariant, v.Detail)
				}
			}
			if done < c.least {
				t.Errorf("%d of %d are complete", done, c.seeds)
			}
			t.Logf("%d of %d complete, nuboctl killed %d times", done, c.seeds, kills)
		})
	}
}
