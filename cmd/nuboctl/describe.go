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
		adoptCommand(g),
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

func adoptCommand(g *global) *cobra.Command {
	var o app.AdoptOptions
	c := &cobra.Command{Use: "adopt [HOST[,BMC-ADDRESS]…]", Short: "Describe a site that nuboctl did not build, from its running hosts", GroupID: "describe",
		Long: `Looks at running hosts over SSH, changes nothing there, and writes an inventory that describes them into the directory of
-C: cards and addresses, Open vSwitch bridges, Ceph clusters with their pools, roles, places. What it has no words for is
listed with the reason. Then it plans from what it saw: exit 0 when there is nothing to do, 2 when something differs.

nuboctl logs in as root with the private key in the file that NUBO_SSH_KEY names, else with the keys of your ssh agent.
The hosts' keys must be known: in ~/.ssh/known_hosts, in the files of --known-hosts, or looked at now (--trust-first).`,
		Example: "  nuboctl -C found adopt --cloud found --site berlin --hosts hosts.txt\n  nuboctl -C found adopt 10.0.0.11,ipmi://10.9.0.11 10.0.0.12"}
	f := c.Flags()
	f.StringVar(&o.HostsFile, "hosts", "", "further hosts from this `file`, separated by spaces or line ends; # begins a comment")
	f.StringArrayVar(&o.KnownHosts, "known-hosts", nil, "the hosts' keys are in this `file`, in the form of OpenSSH; may be repeated (default: ~/.ssh/known_hosts)")
	f.BoolVar(&o.TrustFirst, "trust-first", false, "show the fingerprints of keys that are not known, and ask")
	f.StringVar(&o.Observed, "observed", "", "look at nothing: describe what this `file`, a survey.json of an earlier run, says")
	f.StringVar(&o.Names.Cloud, "cloud", "cloud", "`name` of the cloud")
	f.StringVar(&o.Names.Domain, "domain", "", "its DNS `domain` (default: that of most hosts)")
	f.StringVar(&o.Names.Site, "site", "site", "`name` of the site")
	f.StringVar(&o.Names.Region, "region", "r1", "`name` of the region; a second Ceph cluster gets a region with -2")
	f.StringVar(&o.Names.Zone, "zone", "az1", "`name` of the zone of hosts for which Ceph's CRUSH tree knows none")
	f.StringVar(&o.Names.Rack, "rack", "a", "`name` of the rack of such hosts")
	c.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		o.Hosts = args
		return app.Adopt(cmd.Context(), e, o)
	})
	return c
}
