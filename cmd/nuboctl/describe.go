package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

func describeCommands(g *global) []*cobra.Command {
	format := &cobra.Command{Use: "fmt", Short: "Bring the inventory's files into canonical form", GroupID: "describe", Args: cobra.NoArgs}
	check := format.Flags().Bool("check", false, "change nothing, exit 1 when something would change")
	format.RunE = g.run(func(_ *cobra.Command, e app.Env, _ []string) error {
		return app.Format(e, app.FormatOptions{Check: *check})
	})
	return []*cobra.Command{
		{Use: "init [DIR]", Short: "Write an inventory to start from", GroupID: "describe", Args: cobra.MaximumNArgs(1),
			RunE: g.run(func(_ *cobra.Command, e app.Env, args []string) error {
				dir := e.Dir
				if len(args) == 1 {
					dir = args[0]
				}
				return app.Init(e, dir)
			})},
		{Use: "validate", Short: "Check the inventory and its profiles, with no network at all", GroupID: "describe", Args: cobra.NoArgs,
			RunE: g.run(func(_ *cobra.Command, e app.Env, _ []string) error { return app.Validate(e) })},
		format,
		{Use: "inventory", Short: "Show the expanded tree", GroupID: "describe", Args: cobra.NoArgs,
			RunE: g.run(func(_ *cobra.Command, e app.Env, _ []string) error { return app.Inventory(e) })},
		{Use: "graph", Short: "Draw the inventory in the DOT language", GroupID: "describe", Args: cobra.NoArgs,
			RunE: g.run(func(_ *cobra.Command, e app.Env, _ []string) error { return app.Graph(e) })},
		{Use: "version", Short: "Print the version", GroupID: "look", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if g.json {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"format_version": 1, "version": app.Version})
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nuboctl", app.Version)
				return err
			}},
	}
}
