package run

import (
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/peers"
)

// Policies are whose batches a simulation rolls.
var Policies = []string{"nuboctl", "one-by-one", "watcher", "starlingx"}

// Policy gives the options of a policy. The peers' batches are neither verified nor certified again, and nobody asks before a host goes: that is how they
// work; placement and Ceph themselves refuse what they always refuse. Starlingx is with ten hosts at once, the most it allows.
func Policy(name string) (Options, error) {
	rules := map[string]func() peers.Rule{"one-by-one": peers.OneByOne, "watcher": peers.Watcher, "starlingx": func() peers.Rule { return peers.StarlingX(10) }}
	switch rule, ok := rules[name]; {
	case name == "nuboctl" || name == "":
		return Options{}, nil
	case ok:
		return Options{Solve: by(rule()), Reckless: true}, nil
	}
	return Options{}, fmt.Errorf("there is no policy %q; there are %v", name, Policies)
}

// by makes the batches of a peer's rule.
func by(rule peers.Rule) func(plan.Fleet, plan.Policy) (plan.Certificate, error) {
	return func(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
		c := plan.Certificate{Fleet: f, Policy: p}
		for _, r := range peers.Run(f, rule) {
			if len(r.Hosts) > 0 {
				c.Batches = append(c.Batches, plan.Batch{Hosts: r.Hosts, Moves: r.Moves, Stops: r.Stops, Zone: f.Hosts[r.Hosts[0]].Path.Zone()})
			}
		}
		c.Bound.Rounds = len(c.Batches)
		return c, nil
	}
}
