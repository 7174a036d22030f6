package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/lab"
)

// choice is which rack is meant: the flags that all commands share.
type choice struct {
	rack string // name of a rack in e2e/racks, or a file
	dir  string // runtime folder; .lab/RACK in the checkout when empty
}

func rootCommand() *cobra.Command {
	c := &choice{}
	root := &cobra.Command{
		Use:           "nubo-lab",
		Short:         "A rack of virtual blades on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&c.rack, "rack", "demo", "rack: a name in e2e/racks, or a FILE.json")
	root.PersistentFlags().StringVar(&c.dir, "dir", "", "runtime folder (default .lab/RACK in the checkout)")
	root.AddCommand(upCommand(c), downCommand(c), statusCommand(c), powerCommand(c), bootCommand(c), resetCommand(c),
		consoleCommand(c), logsCommand(c), execCommand(c), shellCommand(c), rackdCommand(c), chassisCommand())
	return root
}

// lab loads the rack that is meant.
func (c *choice) lab() (*lab.Lab, error) {
	root := checkout()
	file := c.rack
	if !strings.ContainsRune(file, filepath.Separator) && filepath.Ext(file) != ".json" {
		file = filepath.Join(root, "e2e", "racks", file+".json")
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	rack, err := lab.Load(file)
	if err != nil {
		return nil, err
	}
	runtime := c.dir
	if runtime == "" {
		runtime = filepath.Join(root, ".lab", rack.Name)
	}
	dirs, err := lab.DirsFor(runtime)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &lab.Lab{Rack: rack, Dirs: dirs, RackFile: file, Self: self, Out: os.Stderr}, nil
}

// checkout is the folder above us that has go.mod, else the current one.
func checkout() string {
	here, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return here
		}
	}
}

func upCommand(c *choice) *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Build what is not there: networks, disks, BMCs; new blades are switched off", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			return l.Up(cmd.Context())
		},
	}
}

func downCommand(c *choice) *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use: "down", Short: "End all processes and remove the networks; disks, keys and logs stay", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			return l.Down(cmd.Context(), purge)
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "remove disks, keys and logs as well")
	return cmd
}

func powerCommand(c *choice) *cobra.Command {
	return &cobra.Command{
		Use: "power BLADE on|off", Short: "Switch a blade on, or off at once, as its BMC would", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			on, known := map[string]bool{"on": true, "off": false}[args[1]]
			if !known {
				return fmt.Errorf("power %q: use on or off", args[1])
			}
			l, err := c.lab()
			if err != nil {
				return err
			}
			return l.Client().SetPower(cmd.Context(), args[0], on)
		},
	}
}

func bootCommand(c *choice) *cobra.Command {
	var always bool
	cmd := &cobra.Command{
		Use: "boot BLADE none|pxe|http|disk", Short: "Set what a blade boots at its next start", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			return l.Client().SetBoot(cmd.Context(), args[0], lab.Boot{Device: lab.Device(args[1]), Once: !always && args[1] != "none"})
		},
	}
	cmd.Flags().BoolVar(&always, "always", false, "until it is set to none, not once")
	return cmd
}

func resetCommand(c *choice) *cobra.Command {
	return &cobra.Command{
		Use: "reset BLADE", Short: "Restart a blade that is on, by its reset line", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			return l.Client().Reset(cmd.Context(), args[0])
		},
	}
}

// stationFlags choose the namespace of exec and shell.
type stationFlags struct {
	in     string
	noProv bool
}

func (f *stationFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.in, "in", "ws", "station whose network to be in; sw is the switch itself")
	cmd.Flags().BoolVar(&f.noProv, "no-prov", false, "be at the workstation that is not on the provisioning network: --in ops")
	cmd.MarkFlagsMutuallyExclusive("in", "no-prov")
}

func (f *stationFlags) station() string {
	if f.noProv {
		return "ops"
	}
	return f.in
}

func execCommand(c *choice) *cobra.Command {
	var f stationFlags
	cmd := &cobra.Command{
		Use: "exec [--in STATION | --no-prov] -- COMMAND [ARG]…", Short: "Run a command at the workstation, in its network",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.become(f.station(), args) },
	}
	f.add(cmd)
	return cmd
}

func shellCommand(c *choice) *cobra.Command {
	var f stationFlags
	cmd := &cobra.Command{
		Use: "shell [--in STATION | --no-prov]", Short: "Open a shell at the workstation", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			shell := os.Getenv("SHELL")
			if shell == "" {
				shell = "/bin/sh"
			}
			return c.become(f.station(), []string{shell})
		},
	}
	f.add(cmd)
	return cmd
}

// become replaces this process by a command in a station's network.
func (c *choice) become(station string, argv []string) error {
	l, err := c.lab()
	if err != nil {
		return err
	}
	if _, err := l.Rack.Station(station); err != nil && station != "sw" {
		return err
	}
	if status, err := l.Status(); err != nil {
		return err
	} else if !status.Up {
		return fmt.Errorf("rack %s is not up: run nubo-lab up", l.Rack.Name)
	}
	path, err := exec.LookPath("ip")
	if err != nil {
		return errors.Join(err, errors.New("run e2e/host-packages"))
	}
	return replace(path, l.Command(context.Background(), station, argv...).Args, append(os.Environ(), "NUBO_LAB_DIR="+l.Dirs.Runtime))
}
