package run_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// first are the first hosts of a fleet that run virtual machines and are up.
func first(f plan.Fleet, n int) (out []int32) {
	for i, h := range f.Hosts {
		if h.Class >= 0 && !h.Down && len(out) < n {
			out = append(out, int32(i))
		}
	}
	return out
}

// TestDrainAndUndrain drains a host of generated fleets and gives it back, with no faults, the usual ones and harsh ones, nuboctl being killed on the way.
func TestDrainAndUndrain(t *testing.T) {
	for _, c := range []struct {
		faults string
		seeds  uint64
		least  int // that must be complete
	}{{"none", 40, 36}, {"default", 80, 65}, {"harsh", 40, 30}} {
		if testing.Short() {
			c.seeds, c.least = c.seeds/10, 1
		}
		t.Run(c.faults, func(t *testing.T) {
			done, kills := 0, 0
			for seed := range c.seeds {
				f, _ := plantest.Fleet(seed, plantest.Small)
				r, not := run.Drain(f, first(f, 1), run.Options{Seed: seed, Faults: world.Profiles[c.faults]})
				if r.Outcome == run.Completed {
					done++
				}
				kills += r.Kills
				for _, v := range r.Violations {
					t.Errorf("seed %d, %.0f s: %s: %s", v.Seed, v.Seconds, v.Invariant, v.Detail)
				}
				if c.faults == "none" && len(not) > 0 {
					t.Errorf("seed %d: %v", seed, not)
				}
			}
			if done < c.least {
				t.Errorf("%d of %d are complete", done, c.seeds)
			}
			t.Logf("%d of %d complete, nuboctl killed %d times", done, c.seeds, kills)
		})
	}
}

// TestRollback rolls some hosts of generated fleets back to what they hold, to the same hypervisor and to an older one; no machine meets an older one.
func TestRollback(t *testing.T) {
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprint("older hypervisor ", older), func(t *testing.T) {
			seeds, done := uint64(40), 0
			if testing.Short() {
				seeds = 6
			}
			for seed := range seeds {
				f, p := plantest.Fleet(seed, plantest.Small)
				back := first(f, 4)
				f.Hosts = slices.Clone(f.Hosts)
				for i := range f.Hosts {
					h := &f.Hosts[i]
					if h.Change = slices.Contains(back, int32(i)); h.Class >= 0 {
						h.Class |= 1 // class 2i becomes 2i+1 in an upgrade
						if h.ClassAfter = h.Class; h.Change && older {
							h.ClassAfter = h.Class - 1
						}
					}
				}
				r := run.Rollback(f, p, run.Options{Seed: seed, Faults: world.Profiles["default"]})
				if r.Outcome == run.Completed {
					done++
				}
				for _, v := range r.Violations {
					t.Errorf("seed %d, %.0f s: %s: %s", v.Seed, v.Seconds, v.Invariant, v.Detail)
				}
			}
			if least := map[bool]int{false: 30, true: 10}[older]; done == 0 || (done < least && !testing.Short()) {
				t.Errorf("%d of %d are complete", done, seeds)
			}
			t.Logf("%d of %d complete", done, seeds)
		})
	}
}
