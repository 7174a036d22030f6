package main

import (
	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

// simulateCommand rolls fleets that do not exist.
func simulateCommand(g *global) *cobra.Command {
	var o app.SimulateOptions
	cmd := &cobra.Command{Use: "simulate", Short: "Roll a fleet in a simulated data centre, many times, with faults", GroupID: "look", Args: cobra.NoArgs,
		Long: `Roll a fleet in a simulated data centre, many times: the same planner, verifier, engine and ops as in earnest, in virtual time, while hosts
die, replies are lost, virtual machines come and go, operators interfere, and nuboctl itself is killed and started again. A monitor
that knows none of them watches what is true. A rollout is its seed: the same seed gives the same.`}
	f := cmd.Flags()
	f.IntVar(&o.Rollouts, "rollouts", 10, "how `many`")
	f.Uint64Var(&o.Seed, "seed", 1, "the `seed` of the first; the others follow it")
	f.StringVar(&o.Faults, "faults", "default", "none, default, harsh or splits")
	f.StringSliceVar(&o.Without, "without", nil, "leave out these `faults` of them, such as death,kill")
	f.StringSliceVar(&o.Only, "only", nil, "change only these `hosts`, by path")
	f.StringVar(&o.Method, "method", "", "how hosts are changed: slot, reinstall or packages; otherwise as the inventory says")
	f.StringVar(&o.Policy, "policy", "nuboctl", "whose batches: nuboctl, one-by-one, watcher or starlingx")
	f.StringVar(&o.Fleet, "fleet", "inventory", "inventory (with a made-up load), or generated fleets: tiny, small, medium or region")
	f.StringVar(&o.HTML, "html", "", "write the results as a page to this `file`")
	f.StringVar(&o.Record, "record", "", "keep what is finished in this `file`; the same command goes on from it")
	cmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.Simulate(cmd.Context(), e, o) })
	return cmd
}
