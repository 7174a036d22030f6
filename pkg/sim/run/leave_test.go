package run_test

import (
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// whole is a generated fleet in which nothing is lost or missing.
func whole(seed uint64) plan.Fleet {
	f, _ := plantest.Fleet(seed, plantest.Small)
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		f.Hosts[i].Down = false
	}
	return f
}

// storing is a host with OSDs in a fleet without missing copies, one with a monitor where there is one; -1 when there is none.
func storing(f plan.Fleet) int32 {
	best := int32(-1)
	for _, c := range f.Clusters {
		if slices.ContainsFunc(c.Pools, func(p plan.Pool) bool { return slices.Contains(p.Acting, -1) }) {
			return -1 // what is missing from the start stays so
		}
	}
	for _, c := range f.Clusters {
		for _, h := range c.OSDHosts {
			member := slices.ContainsFunc(f.Groups, func(g plan.Group) bool { return g.Kind == plan.Quorum && slices.Contains(g.Hosts, h) })
			if best < 0 || member {
				best = h
			}
		}
	}
	return best
}

// TestDecommission takes a host with OSDs out of generated fleets for good, with no faults, the usual ones and harsh ones, nuboctl being killed on the way.
func TestDecommission(t *testing.T) {
	for _, c := range []struct {
		faults string
		seeds  uint64
		least  int // that must be complete
	}{{"none", 60, 40}, {"default", 60, 34}, {"harsh", 40, 14}} {
		if testing.Short() {
			c.seeds, c.least = c.seeds/6, 1
		}
		t.Run(c.faults, func(t *testing.T) {
			done, refused, kills := 0, 0, 0
			for seed := range c.seeds {
				f := whole(seed)
				host := storing(f)
				if host < 0 {
					continue
				}
				r, left := run.Decommission(f, host, run.Options{Seed: seed, Faults: world.Profiles[c.faults]})
				switch r.Outcome {
				case run.Completed:
					done++
				case run.Refused:
					refused++
				default:
					t.Logf("seed %d: %s", seed, r.Why)
				}
				kills += r.Kills
				for _, v := range r.Violations {
					t.Errorf("seed %d, %.0f s: %s: %s", v.Seed, v.Seconds, v.Invariant, v.Detail)
				}
				if len(left) > 0 {
					t.Errorf("seed %d: %v", seed, left)
				}
			}
			if done < c.least {
				t.Errorf("%d of %d are complete", done, c.seeds)
			}
			t.Logf("%d of %d complete, %d refused, nuboctl killed %d times", done, c.seeds, refused, kills)
		})
	}
}

// TestTheMonitorSeesACarelessDecommission: where neither our own count nor Ceph is asked, OSDs go with data on them, and that is seen.
func TestTheMonitorSeesACarelessDecommission(t *testing.T) {
	f := whole(0)
	r, _ := run.Decommission(f, storing(f), run.Options{Careless: true})
	if !slices.ContainsFunc(r.Violations, func(v run.Violation) bool { return v.Invariant == monitor.Complete }) {
		t.Errorf("%s, and it saw %v", r.Outcome, r.Violations)
	}
}
