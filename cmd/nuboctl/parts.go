package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
)

// partCommands are the commands that work on one part by hand: images, a BMC, the relay of a network, and what other programs are given.
func partCommands(g *global) []*cobra.Command {
	return []*cobra.Command{imageCommand(g), bmcCommand(g), bootCommand(g), exportCommand(g), stateCommand(g), manCommand()}
}

// group is a command that only holds others: alone it lists them, and a name that it does not hold is an error.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, GroupID: "parts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(subs...)
	return c
}

func snapshotCommand(g *global) *cobra.Command {
	var from string
	cmd := &cobra.Command{Use: "snapshot [NAME]", Short: "Keep Debian packages for upgrades in place; list what is kept, or read and check it", Args: cobra.MaximumNArgs(1),
		Long: `With --from, keeps the .deb files of a directory in the image store as a snapshot, and signs it with this cloud's key. The
packages need Debian's dpkg-deb to be read. With NAME alone, tells what a snapshot holds, and reads every byte of it. Without
NAME, lists the snapshots. nuboctl upgrade --packages NAME puts one in place.`,
		Example: "  cd debs && apt-get download libssl3 openssl && cd ..\n  nuboctl image snapshot openssl-fix --from debs\n  nuboctl upgrade lab/r1 --packages openssl-fix"}
	cmd.Flags().StringVar(&from, "from", "", "`directory` with .deb files")
	cmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		switch {
		case len(args) == 1:
			return app.Snapshot(cmd.Context(), e, args[0], from)
		case from != "":
			return errors.New("--from: give the snapshot a name: nuboctl image snapshot NAME --from DIR")
		}
		return app.SnapshotList(e)
	})
	return cmd
}

func imageCommand(g *global) *cobra.Command {
	var o app.ImageBuildOptions
	build := &cobra.Command{Use: "build [NAME…]", Short: "Build and sign images; with no name: all that the inventory needs", Args: cobra.ArbitraryArgs,
		Long: `Builds images from the definitions in this program and signs them with this cloud's key. Needs root and
Debian's mmdebstrap. What was built before from the same packages is found in the store and only signed.`,
		Example: "  nuboctl -C DIR image build\n  nuboctl -C DIR image build debian-13 --refresh\n  nuboctl -C DIR image build ours --definitions images"}
	build.Flags().BoolVar(&o.Refresh, "refresh", false, "ask the archive for newer packages")
	build.Flags().BoolVar(&o.Force, "force", false, "build although the same was built before (the result has the same digest)")
	build.Flags().StringVar(&o.Scratch, "scratch", "", "`directory` for temporary files (default: below the store)")
	build.Flags().StringVar(&o.Definitions, "definitions", "", "`directory` with definitions of your own, beside or over those in this program")
	build.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		o.Names = args
		return app.ImageBuild(cmd.Context(), e, o)
	})
	return group("image", "Build, list, verify and sign images, and keep packages", "",
		build, snapshotCommand(g),
		&cobra.Command{Use: "list", Short: "List the images of the store", Args: cobra.NoArgs,
			RunE: g.run(func(_ *cobra.Command, e app.Env, _ []string) error { return app.ImageList(e) })},
		&cobra.Command{Use: "verify [NAME…]", Short: "Read every byte of images, and check them and their signatures", Args: cobra.ArbitraryArgs,
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.ImageVerify(cmd.Context(), e, args)
			})},
		&cobra.Command{Use: "sign NAME…", Short: "Sign images of the store that you trust with this cloud's key", Args: cobra.MinimumNArgs(1),
			RunE: g.run(func(_ *cobra.Command, e app.Env, args []string) error { return app.ImageSign(e, args) })},
	)
}

// verbThenNode checks the arguments [VERB] NODE.
func verbThenNode(verbs ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) > 2 || (len(args) == 2 && !slices.Contains(verbs, args[0])) || (len(args) == 1 && slices.Contains(verbs, args[0])) {
			return fmt.Errorf("write %s NODE to look, or %s %s NODE", cmd.CommandPath(), cmd.CommandPath(), strings.Join(verbs, "|"))
		}
		return nil
	}
}

// split gives verb and node of checked arguments.
func split(args []string) (verb, node string) {
	if len(args) == 1 {
		return "", args[0]
	}
	return args[0], args[1]
}

func bmcCommand(g *global) *cobra.Command {
	var take bool
	console := &cobra.Command{Use: "console NODE", Short: "Open the serial console (IPMI), or say where there is one", Args: cobra.ExactArgs(1),
		RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
			return app.BMCConsole(cmd.Context(), e, args[0], take)
		})}
	console.Flags().BoolVar(&take, "take", false, "end the session that somebody else has, such as an apply that listens while the machine starts")
	return group("bmc", "Work on one machine's management controller by hand",
		"Works on one machine by hand, through its management controller (Redfish or IPMI). NODE is a name or a path of the inventory. "+
			"What changes something is refused while an apply runs (exit 4), is read back, and is in the journal.",
		&cobra.Command{Use: "info NODE", Short: "Show which machine it is, its power and its next boot", Args: cobra.ExactArgs(1),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.BMCInfo(cmd.Context(), e, args[0])
			})},
		&cobra.Command{Use: "power [on|off] NODE", Short: "Show the power, or switch it; off is at once, without shutting down", Args: verbThenNode("on", "off"),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				want, node := split(args)
				return app.BMCPower(cmd.Context(), e, want, node)
			})},
		&cobra.Command{Use: "boot [network|disk] NODE", Short: "Show what the machine starts from next, or set it for once", Args: verbThenNode("network", "disk"),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				want, node := split(args)
				return app.BMCBoot(cmd.Context(), e, want, node)
			})},
		&cobra.Command{Use: "sensors NODE", Short: "Show temperatures, fans, supplies and voltages", Args: cobra.ExactArgs(1),
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				return app.BMCSensors(cmd.Context(), e, args[0])
			})},
		console,
	)
}

func bootCommand(g *global) *cobra.Command {
	return &cobra.Command{Use: "boot NETWORK", Short: "Run the relay of a network in the foreground, and see who asks it", GroupID: "parts", Args: cobra.ExactArgs(1),
		Long: `Runs the relay of a network (DHCP, TFTP, HTTP) until Ctrl-C, and prints a line for every request and its answer. It
gives the machines of the inventory their addresses and serves install orders that are armed already; it arms none
itself. Machines that are not in the inventory get no answer. No apply may run beside it (exit 4).`,
		RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error { return app.Boot(cmd.Context(), e, args[0]) })}
}

func exportCommand(g *global) *cobra.Command {
	var o app.ExportOptions
	metal3 := &cobra.Command{Use: "metal3", Short: "Print the nodes as BareMetalHost objects of Metal3", Args: cobra.NoArgs,
		Long: `Prints every node as a BareMetalHost (metal3.io/v1alpha1), for kubectl apply. Each is paused: Metal3 touches no machine
until its annotation baremetalhost.metal3.io/paused is taken away. Credentials are only named: the Secrets to make
are listed at the top.`,
		Example: "  nuboctl -C DIR export metal3 --target lab/r1 | kubectl apply -f -"}
	metal3.Flags().StringVar(&o.Namespace, "namespace", "metal3", "`namespace` of the objects")
	metal3.Flags().StringArrayVar(&o.Targets, "target", nil, "only this `place` or node; may be repeated")
	metal3.RunE = g.run(func(_ *cobra.Command, e app.Env, _ []string) error { return app.ExportMetal3(e, o) })
	return group("export", "Give the inventory to other programs", "", metal3)
}
