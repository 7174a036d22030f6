package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/app"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// signFlags are those of commands that save a plan, or sign a saved one.
func signFlags(cmd *cobra.Command, o *app.SignOptions) {
	f := cmd.Flags()
	f.StringVar(&o.Key, "key", "", "sign with the minisign secret key in this `file` instead of this cloud's")
	f.StringVar(&o.Passphrase, "passphrase-file", "", "the passphrase of the key is the first line of this `file`, or of standard input with -; else it is asked for")
}

func savedSignFlags(cmd *cobra.Command, o *app.SignOptions) {
	cmd.Flags().BoolVar(&o.Sign, "sign", false, "sign the saved plan: FILE.minisig is written beside it")
	signFlags(cmd, o)
}

func planFlags(cmd *cobra.Command, o *app.PlanOptions) {
	f := cmd.Flags()
	f.StringVarP(&o.Out, "out", "o", "", "save the plan to this `file`")
	f.StringArrayVar(&o.Targets, "target", nil, "only this `place` or node; may be repeated")
	f.StringVar(&o.Observed, "observed", "", "plan from a recorded observation (`file`), from none, or from a synthetic one: a healthy, loaded fleet of this inventory")
	f.Uint64Var(&o.Seed, "seed", 1, "of a synthetic observation")
	f.StringVar(&o.Image, "image", "", "plan for this `NAME@DIGEST` instead of the image that NAME stands for")
	f.StringVar(&o.Packages, "packages", "", "with --goal upgrade: put the packages of this `snapshot` in place")
	f.StringVar(&o.HTML, "html", "", "write the rollout as a page to this `file`")
	f.StringVar(&o.JUnit, "junit", "", "write a JUnit report to this `file`: a case for each node and machine, failed where something differs")
	f.BoolVar(&o.All, "all", false, "show every batch and every op")
	savedSignFlags(cmd, &o.Sign)
	f.BoolVar(&o.DetailedExitCode, "detailed-exitcode", false, "exit 2 when there are changes")
}

func planCommands(g *global) []*cobra.Command {
	var po app.PlanOptions
	planCmd := &cobra.Command{Use: "plan", Short: "Compute and explain what would be done", GroupID: "change", Args: cobra.NoArgs}
	planFlags(planCmd, &po)
	planCmd.Flags().StringVar(&po.Goal, "goal", string(plan.GoalInstall), "what to plan for: "+app.Goals())
	planCmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.Plan(cmd.Context(), e, po) })

	var ao app.ApplyOptions
	apply := &cobra.Command{Use: "apply [FILE]", Short: "Apply exactly a saved plan; with no file: plan, show, ask, apply", GroupID: "change", Args: cobra.MaximumNArgs(1)}
	apply.Flags().StringArrayVar(&ao.Plan.Targets, "target", nil, "without FILE: only this `place` or node; may be repeated")
	apply.Flags().StringVar(&ao.Plan.Image, "image", "", "without FILE: take this `NAME@DIGEST` for the image that NAME stands for; a saved plan knows its own")
	apply.Flags().StringVar(&ao.JUnit, "junit", "", "write a JUnit report to this `file`: a case for each op")
	apply.Flags().BoolVarP(&ao.Yes, "yes", "y", false, "do not ask")
	patienceFlag(apply, &ao)
	emergencyFlag(apply, &ao)
	apply.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		if len(args) == 1 {
			ao.File = args[0]
		}
		ao.Plan.Goal = string(plan.GoalInstall)
		return app.Apply(cmd.Context(), e, ao)
	})

	var show app.PlanOptions
	showCmd := &cobra.Command{Use: "show FILE", Short: "Explain a saved plan again", GroupID: "look", Args: cobra.ExactArgs(1)}
	showCmd.Flags().StringVar(&show.HTML, "html", "", "write the rollout as a page to this `file`")
	showCmd.Flags().BoolVar(&show.All, "all", false, "show every batch and every op")
	showCmd.RunE = g.run(func(_ *cobra.Command, e app.Env, args []string) error {
		return app.Show(e, args[0], show.HTML, show.All)
	})

	var so app.SignOptions
	sign := &cobra.Command{Use: "sign FILE", Short: "Sign a saved plan with this cloud's key, or your own (--key)", GroupID: "change", Args: cobra.ExactArgs(1),
		Long: `Writes FILE.minisig, a detached signature that minisign and nuboctl check. An inventory that names keys in
rollout.signed_by has apply take only saved plans that one of these keys signed. Read the plan first: nuboctl show.`,
		RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
			return app.Sign(cmd.Context(), e, args[0], so)
		})}
	signFlags(sign, &so)

	var signedBy []string
	verify := &cobra.Command{Use: "verify FILE", Short: "Check a saved plan by itself, with no network", GroupID: "look", Args: cobra.ExactArgs(1),
		RunE: g.run(func(_ *cobra.Command, e app.Env, args []string) error { return app.Verify(e, args[0], signedBy) })}
	verify.Flags().StringArrayVar(&signedBy, "signed-by", nil, "refuse it unless this minisign public `key` signed it; may be repeated for one of several")

	observe := &cobra.Command{Use: "observe", Short: "Record what is really there", GroupID: "look", Args: cobra.NoArgs}
	var oo app.ObserveOptions
	observe.Flags().StringVarP(&oo.Out, "out", "o", "", "write the observation to this `file`")
	observe.Flags().StringVar(&oo.Packages, "packages", "", "record also how hosts stand to this `snapshot` of packages")
	observe.Flags().StringArrayVar(&oo.Targets, "target", nil, "only this `place` or node; may be repeated")
	observe.RunE = g.run(func(cmd *cobra.Command, e app.Env, _ []string) error { return app.Observe(cmd.Context(), e, oo) })

	return append(dayTwoCommands(g), []*cobra.Command{
		planCmd, sign, apply, observe, showCmd, verify,
		controlCommand(g, state.AskPause, "Let running ops finish and begin no new ones", ""),
		controlCommand(g, state.AskResume, "Go on after a pause", ""),
		controlCommand(g, state.AskAbort, "Stop a running or interrupted apply for good; what was begun is on record", `
A run on another machine is ended after a question, or with --yes. Without a run, interrupted ones are closed.`),
		{Use: "settle OP applied|not-applied", Short: "Record what you found out about an op whose outcome is not known", GroupID: "change", Args: cobra.ExactArgs(2), ValidArgs: []string{"applied", "not-applied"},
			RunE: g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
				if args[1] != "applied" && args[1] != "not-applied" {
					return fmt.Errorf("settle %q %s: say applied or not-applied", args[0], args[1])
				}
				return app.Settle(cmd.Context(), e, args[0], args[1] == "applied")
			})},
	}...)
}

// controlCommand asks a run for something.
func controlCommand(g *global, verb state.Verb, short, more string) *cobra.Command {
	var o app.ControlOptions
	cmd := &cobra.Command{Use: string(verb) + " [PLACE]", Short: short, GroupID: "change", Args: cobra.MaximumNArgs(1),
		Long: short + `.

It speaks to the run on this machine; where the state is shared and there is none, to the only one elsewhere, or to the one
that holds PLACE. An ask that nobody takes within 30 seconds ends, and Ctrl-C withdraws it until then.` + more}
	if verb == state.AskAbort {
		cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	}
	cmd.RunE = g.run(func(cmd *cobra.Command, e app.Env, args []string) error {
		if len(args) == 1 {
			o.Place = args[0]
		}
		return app.Control(cmd.Context(), e, verb, o)
	})
	return cmd
}
