package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nuboctl/nuboctl/pkg/app"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// global are the flags of every command.
type global struct {
	dir, state, images string
	vars               []string
	json, verbose      bool
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "nuboctl",
		Short: "Install and run a bare-metal cloud from a written inventory",
		Long: `nuboctl takes a written description of a cloud's hardware (HCL) and makes the hardware so: powered-off
blade servers become Debian hosts with KVM, Open vSwitch and Ceph. Everything is a plan first.

Start with: nuboctl init DIR, then nuboctl -C DIR validate, image build, plan, apply.

Exit codes: 0 done or no changes, 1 error, 2 changes pending (plan --detailed-exitcode), 3 refused: no safe
plan, 4 locked by someone else, 5 stale plan, 6 halted by a gate, resumable, 130 interrupted, resumable.`,
		SilenceErrors: true, SilenceUsage: true,
		Version: app.Version,
	}
	f := root.PersistentFlags()
	f.StringVarP(&g.dir, "chdir", "C", ".", "the inventory's `directory`")
	f.StringArrayVar(&g.vars, "var", nil, "set a variable: `NAME=VALUE` (also -var; may be repeated)")
	f.BoolVar(&g.json, "json", false, "print results as JSON")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "log every step to stderr")
	f.StringVar(&g.state, "state", "", "the state `directory` (default: .nubo in the inventory)")
	f.StringVar(&g.images, "images", "", "the image store's `directory` (default: in the user's cache)")
	root.AddGroup(&cobra.Group{ID: "describe", Title: "Describe:"}, &cobra.Group{ID: "change", Title: "Change:"},
		&cobra.Group{ID: "look", Title: "Look:"}, &cobra.Group{ID: "parts", Title: "Parts:"})
	root.AddCommand(describeCommands(g)...)
	root.AddCommand(planCommands(g)...)
	root.AddCommand(lookCommands(g)...)
	root.AddCommand(simulateCommand(g))
	root.AddCommand(partCommands(g)...)
	refuseUnknownHelp(root)
	tellUsage(root)
	return root
}

// refuseUnknownHelp makes help about a word that is no command an error, as the word itself is.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	show := help.Run
	help.RunE = func(cmd *cobra.Command, args []string) error {
		if _, _, err := root.Find(args); err != nil {
			return err
		}
		show(cmd, args)
		return nil
	}
}

// tellUsage has every command that is given too few or too many arguments say how it is written.
func tellUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		tellUsage(sub)
	}
}

// env makes the environment of a command from its flags.
func (g *global) env(cmd *cobra.Command) (app.Env, error) {
	vars := map[string]string{}
	for _, v := range g.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return app.Env{}, fmt.Errorf("-var %q: write NAME=VALUE", v)
		}
		vars[name] = value
	}
	level := slog.LevelError // what a person needs to know is shown; the log is for those who ask
	if g.verbose {
		level = slog.LevelDebug
	}
	return app.Env{
		Dir: g.dir, Vars: vars, StateDir: g.state, Images: g.images, JSON: g.json,
		Interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr),
		In:          cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(),
		OutStyle: styleOf(cmd.OutOrStdout()), ErrStyle: styleOf(cmd.ErrOrStderr()),
		Now: time.Now,
		Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})),
	}, nil
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// styleOf allows colours on terminals, unless NO_COLOR (no-color.org) is set.
func styleOf(w io.Writer) view.Style {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return view.Style{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 80
	}
	_, noColor := os.LookupEnv("NO_COLOR")
	return view.Style{Color: !noColor && os.Getenv("TERM") != "dumb", Width: width}
}

// run makes a cobra function of one that takes the environment.
func (g *global) run(do func(cmd *cobra.Command, e app.Env, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		e, err := g.env(cmd)
		if err != nil {
			return err
		}
		return do(cmd, e, args)
	}
}
