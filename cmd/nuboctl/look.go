package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

func lookCommands(g *global) []*cobra.Command {
	journal := &cobra.Command{Use: "journal", Short: "Show what happened", GroupID: "look", Args: cobra.NoArgs}
	var jo app.JournalOptions
	journal.Flags().StringVar(&jo.Target, "target", "", "only records about this `subject` or path")
	journal.Flags().IntVarP(&jo.Last, "last", "n", 0, "only the last `N` records")
	journal.Flags().StringVar(&jo.Node, "node", "", "only records about this `node`, or the nodes of a place")
	journal.Flags().StringSliceVar(&jo.Kinds, "kind", nil, "only records of this `kind` (intent, done, failed, …), or about ops of this kind; may be repeated")
	journal.Flags().StringVar(&jo.Since, "since", "", "only records from this `time` on: 2026-01-31T14:00:00Z, 2026-01-31, or 90m for the last 90 minutes")
	journal.Flags().StringVar(&jo.Run, "run", "", "only records of this `run`")
	verify := journal.Flags().Bool("verify", false, "the same as journal verify")
	check := g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.JournalVerify(cmd.Context(), e) })
	journal.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		if *verify {
			return check(cmd, args)
		}
		return app.Journal(cmd.Context(), e, jo)
	})
	journal.AddCommand(&cobra.Command{Use: "verify", Short: "Read all of it and check that no record was changed or lost", Args: cobra.NoArgs, RunE: check})
	journal.AddCommand(&cobra.Command{Use: "console [NODE|NUMBER]", Short: "Show what a failed machine said last on its console; with neither, list what is kept", Args: cobra.MaximumNArgs(1),
		Long: `While an apply starts machines it listens to their consoles (Serial-over-LAN, or the log that some Redfish BMCs keep).
When an op on a machine fails, the last 400 lines are kept on this workstation, with those of the installer, under the
number of the journal's record of the failure. The newest 200 are kept.`,
		RunE: g.run(func(_ *cobra.Command, e app.Env, args []string) error {
			return app.JournalConsole(e, strings.Join(args, ""))
		})})
	ssh := &cobra.Command{Use: "ssh NODE [COMMAND…]", Short: "Log in to a node, by its known host key and a fresh certificate", GroupID: "look",
		Args: cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
			return app.SSH(cmd.Context(), e, args[0], args[1:])
		})}
	ssh.Flags().SetInterspersed(false) // what comes after NODE is the command's
	return []*cobra.Command{
		{Use: "status [PLACE]", Short: "Show what is going on, also while an apply runs", GroupID: "look", Args: cobra.MaximumNArgs(1),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.Status(cmd.Context(), e, strings.Join(args, ""))
			})},
		journal,
		{Use: "facts [NODE]", Short: "Show the hardware of machines as of their last install: all in a line each, or one node in full", GroupID: "look", Args: cobra.MaximumNArgs(1),
			Long: `Shows what machines told of themselves when they were last installed: serial number, firmware, processors, memory, disks,
network cards, and the switch ports that these are connected to (LLDP). Nothing is asked now.`,
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.Facts(cmd.Context(), e, strings.Join(args, ""))
			})},
		ssh,
	}
}
