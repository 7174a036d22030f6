package main

import (
	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// dayTwoCommands change hosts that carry load. Each plans with its goal, shows the plan, asks, and applies exactly that; or saves it.
func dayTwoCommands(g *global) []*cobra.Command {
	return []*cobra.Command{
		goalCommand(g, plan.GoalDrain, &cobra.Command{Use: "drain NODE", Short: "Move a node's virtual machines away, and keep others from coming", Args: cobra.ExactArgs(1),
			Long: `Moves the virtual machines of a node, or of all nodes of a place, live to others of its zone, by places that are proven to
exist before the first one moves. The node stays cordoned: nothing is placed on it until nuboctl undrain, or for 30
days. Its Ceph daemons and other services go on. When a machine cannot move, nothing is begun (exit 3).

With --emergency a run that is in the way, on this machine or another, lets the ops that it has begun finish, begins no
more and gives its lease up; the drain goes on from there. What only waits, like a bake, is not waited for. The run can go on
afterwards, by applying its plan again.`,
			Example: "  nuboctl drain blade-02\n  nuboctl drain --emergency blade-02\n  nuboctl drain blade-02 -o drain.plan && nuboctl apply drain.plan"}),
		goalCommand(g, plan.GoalUndrain, &cobra.Command{Use: "undrain NODE", Short: "Let virtual machines back on a node", Args: cobra.ExactArgs(1),
			Long: `Takes back what a drain has set on a node, or on all nodes of a place: the cordon, and what an interrupted rollout has left
there, stopped Ceph daemons and noout. Machines that were moved away stay where they are; new ones may come, and those
that were stopped with their owners' consent are started.`}),
		goalCommand(g, plan.GoalUpgrade, &cobra.Command{Use: "upgrade [PATH]", Short: "Change the hosts of a place to their image batch by batch, while virtual machines and storage go on",
			Args: cobra.MaximumNArgs(1),
			Long: `Changes the hosts of a place, batch by batch, in the way that the inventory's rollout block says: by their other slot
(the default), by a reinstall, or with packages in place. What cannot be done without stopping something is not begun (exit 3).

With --packages SNAPSHOT hosts keep their image and get newer packages, for an urgent fix without a restart of the machines.
The plan tells per host what changes and which services are restarted. Virtual machines stay and run on, unless Open
vSwitch is among the packages: then they move away first. Ceph's daemons stop, one failure domain at a time, when their own
packages change. Kernels, boot loaders, another release of Ceph and anything older than what is there are refused.`,
			Example: "  nuboctl upgrade lab/r1\n  nuboctl image snapshot openssl-fix --from debs && nuboctl upgrade lab/r1 --packages openssl-fix"}),
		goalCommand(g, plan.GoalRollback, &cobra.Command{Use: "rollback [PATH]", Short: "Take the hosts of a place back to the slot that they ran before, batch by batch", Args: cobra.MaximumNArgs(1),
			Long: `Boots the hosts of a place from their other slot again, in batches as an upgrade does. Nothing is written: the slot must
hold, complete, what was proven good there before. Hosts that do not run what the inventory asks for stay as they are,
so a rollback that was interrupted can be given again. It is refused (exit 3) where Ceph of a newer release has run, and
where virtual machines would have to move to an older hypervisor.`}),
		goalCommand(g, plan.GoalDecommission, &cobra.Command{Use: "decommission NODE", Short: "Take a node that the inventory says to be retired or lost out of service for good", Args: cobra.ExactArgs(1),
			Long: `Takes a node, or all nodes of a place, out of service for good: its OSDs are marked out, their data moves elsewhere, they are
removed one by one when Ceph says that nothing needs them; then its manager and monitor leave, disks that the node's
consent names are wiped, and the machine is switched off. The inventory must have said so before: state = "retired", or
state = "lost" of a machine that will not come back. It is refused (exit 3) while virtual machines run there, and where
room, failure domains, monitors or managers would not be enough without it. Take the node out of the inventory afterwards.`,
			Example: "  nuboctl drain blade-02\n  nuboctl decommission blade-02 -o out.plan && nuboctl apply out.plan"}),
		goalCommand(g, plan.GoalReinstall, &cobra.Command{Use: "reinstall NODE", Short: "Lay a node's operating system down anew; its state and its other disks stay", Args: cobra.ExactArgs(1),
			Long: `Installs a node again over the network, onto the disk of its system only, with the care of an upgrade: its virtual machines
move away first, its Ceph daemons stop when both checks allow it, noout is set for its OSDs with an end, and afterwards
the same OSDs are up again before the next host goes. When a machine cannot move and its owner does not consent to a stop
(on_drain = "stop_start"), or storage cannot do without the host, nothing is begun (exit 3). A node that does not answer
is installed at once when it is off: nuboctl bmc power off NODE.`}),
	}
}

func emergencyFlag(cmd *cobra.Command, o *app.ApplyOptions) {
	cmd.Flags().BoolVar(&o.Emergency, "emergency", false, "when another run is in the way, have it give way at its next safe point")
}

func patienceFlag(cmd *cobra.Command, o *app.ApplyOptions) {
	cmd.Flags().DurationVar(&o.Patience, "bmc-patience", 0, "for how long a step tries again while a BMC is busy or silent (default 10m)")
}

// goalCommand gives a command the flags and the work of planning for a goal and applying.
func goalCommand(g *global, goal plan.Goal, cmd *cobra.Command) *cobra.Command {
	var o app.ApplyOptions
	cmd.GroupID = "change"
	f := cmd.Flags()
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.Plan.All, "all", false, "show every batch and every op")
	f.StringVarP(&o.SaveTo, "out", "o", "", "save the plan to this `file` and do not apply it")
	savedSignFlags(cmd, &o.Plan.Sign)
	f.StringVar(&o.JUnit, "junit", "", "write a JUnit report to this `file`: a case for each op")
	patienceFlag(cmd, &o)
	if goal == plan.GoalDrain {
		emergencyFlag(cmd, &o)
	}
	if goal == plan.GoalUpgrade || goal == plan.GoalRollback {
		f.StringVar(&o.Plan.Image, "image", "", "take this `NAME@DIGEST` for the image that the inventory asks for")
	}
	if goal == plan.GoalUpgrade {
		f.StringVar(&o.Plan.Packages, "packages", "", "put the packages of this `snapshot` in place instead, without a restart of the machines")
	}
	cmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		o.Plan.Goal, o.Plan.Targets = string(goal), args
		return app.Apply(cmd.Context(), e, o)
	})
	return cmd
}
