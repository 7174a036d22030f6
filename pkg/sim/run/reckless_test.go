package run

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// zoneAtOnce takes all hosts of a zone together, and sends what runs there to the other zone, whatever runs there already.
func zoneAtOnce(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
	c := plan.Certificate{Fleet: f, Policy: p}
	zones := map[model.Path]int{}
	for h := range f.Hosts {
		zone := f.Hosts[h].Path.Zone()
		if !f.Hosts[h].Change {
			continue
		}
		i, ok := zones[zone]
		if !ok {
			i = len(c.Batches)
			zones[zone] = i
			c.Batches = append(c.Batches, plan.Batch{Zone: zone})
		}
		c.Batches[i].Hosts = append(c.Batches[i].Hosts, int32(h))
	}
	for vm, h := range f.VMs.Host {
		i, ok := zones[f.Hosts[h].Path.Zone()]
		if !ok || !f.Hosts[h].Change {
			continue
		}
		b := &c.Batches[i]
		n := int32(len(f.Hosts))
		b.Moves.VM, b.Moves.To = append(b.Moves.VM, int32(vm)), append(b.Moves.To, (h+n/2)%n)
	}
	return c, nil
}

// TestWithoutChecksTheMonitorFindsHarm takes the checks away, one kind after the other: the claim that nothing is violated is worth as much as this.
func TestWithoutChecksTheMonitorFindsHarm(t *testing.T) {
	found := func(o Options, seeds uint64) map[string]int {
		out := map[string]int{}
		for seed := uint64(1); seed <= seeds; seed++ {
			f, p := plantest.Fleet(seed, plantest.Small)
			o.Seed = seed
			for _, v := range Rollout(f, p, o).Violations {
				out[strings.Fields(v.Invariant)[0]]++
			}
		}
		return out
	}
	t.Run("a zone at once, nobody verifies, ops do not ask", func(t *testing.T) {
		got := found(Options{Faults: world.Profiles["none"], Solve: zoneAtOnce, Reckless: true, Careless: true}, 4)
		for _, want := range []string{"I2", "I3", "I6"} {
			if got[want] == 0 {
				t.Errorf("%s was not found to be violated, only %v", want, got)
			}
		}
		t.Log(got)
	})
	t.Run("a good plan, while the world moves and nobody certifies again or asks", func(t *testing.T) {
		got := found(Options{Faults: world.Profiles["harsh"], Solve: wave.Solve, Reckless: true, Careless: true}, 12)
		if got["I3"] == 0 || got["I2"] == 0 {
			t.Errorf("capacity or placement groups were not found to be violated, only %v", got)
		}
		t.Log(got)
	})
	t.Run("the verifier stops what the planner should not have made", func(t *testing.T) {
		f, p := plantest.Fleet(1, plantest.Small)
		r := Rollout(f, p, Options{Seed: 1, Faults: world.Profiles["none"], Solve: zoneAtOnce})
		if r.Outcome != Refused || len(r.Violations) > 0 {
			t.Errorf("%s, %v", r.Outcome, r.Violations)
		}
	})
}
