package main

import (
	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

func lookCommands(g *global) []*cobra.Command {
	journal := &cobra.Command{Use: "journal", Short: "Show what happened", GroupID: "look", Args: cobra.NoArgs}
	var jo app.JournalOptions
	journal.Flags().StringVar(&jo.Target, "target", "", "only records about this `subject` or path")
	journal.Flags().IntVarP(&jo.Last, "last", "n", 0, "only the last `N` records")
	journal.Flags().BoolVar(&jo.Verify, "verify", false, "read all of it and check that no record was changed or lost")
	journal.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.Journal(cmd.Context(), e, jo) })
	ssh := &cobra.Command{Use: "ssh NODE [COMMAND…]", Short: "Log in to a node, by its known host key and a fresh certificate", GroupID: "look",
		Args: cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
			return app.SSH(cmd.Context(), e, args[0], args[1:])
		})}
	ssh.Flags().SetInterspersed(false) // what comes after NODE is the command's
	return []*cobra.Command{
		{Use: "status", Short: "Show what is going on, also while an apply runs", GroupID: "look", Args: cobra.NoArgs,
			RunE: g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.Status(cmd.Context(), e) })},
		journal,
		ssh,
	}
}
