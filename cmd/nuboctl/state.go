package main

import (
	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

func stateCommand(g *global) *cobra.Command {
	to := ""
	migrate := &cobra.Command{Use: "migrate --to etcd|local", Short: "Move the state, journal included, between the state directory and etcd", Args: cobra.NoArgs,
		Long: `Moves everything that the state holds, its journal included, from the state directory to the etcd that the inventory's state
block names, or back. Both sides are locked meanwhile, every entry and record is compared, and the side that was left
refuses to be worked with from then on. When it is interrupted, run it again. Keys do not move: see the operator's guide.`,
		Example: "  nuboctl -C DIR state migrate --to etcd"}
	migrate.Flags().StringVar(&to, "to", "", "`side` to move to: etcd or local")
	migrate.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.StateMigrate(cmd.Context(), e, to) })
	scope := ""
	unlock := &cobra.Command{Use: "unlock", Short: "End a lease whose holder is gone", Args: cobra.NoArgs,
		Long: `Ends the lease that somebody holds in etcd, at once instead of when its time to live is over. What that process still sends is
refused by etcd, relays and hosts, but BMCs cannot tell: first make sure that it is gone. A state directory needs no
unlocking: its lock ends with its process.`}
	unlock.Flags().StringVar(&scope, "scope", "", "only leases that share something with this `place`; default: all")
	unlock.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.StateUnlock(cmd.Context(), e, scope) })
	identity := ""
	recoverCmd := &cobra.Command{Use: "recover FILE", Short: "Bring state and keys back from a copy that was left on a host", Args: cobra.ExactArgs(1),
		Long: `Brings the state and this cloud's keys back when the workstation is gone. FILE is a copy that an apply has left on hosts, in
/var/lib/nubo/replica, because the inventory's state block asks for replicas; bring it here by the host's console or by a
user of your own on it. It opens with an age identity of one of the recipients.`}
	recoverCmd.Flags().StringVar(&identity, "identity", "", "age identity `file` (default: NUBO_AGE_IDENTITY)")
	recoverCmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		return app.StateRecover(cmd.Context(), e, args[0], identity)
	})
	return group("state", "Copy, restore, move and unlock the state", "",
		&cobra.Command{Use: "pull FILE", Short: "Write everything that the state holds, its journal included, into a file", Args: cobra.ExactArgs(1),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.StatePull(cmd.Context(), e, args[0])
			})},
		&cobra.Command{Use: "push FILE", Short: "Fill an empty state from such a file", Args: cobra.ExactArgs(1),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.StatePush(cmd.Context(), e, args[0])
			})},
		unlock, migrate, recoverCmd)
}
