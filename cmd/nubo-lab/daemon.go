package main

import (
	"log/slog"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/lab"
)

// rackdCommand is the daemon that "up" starts in the switch's namespace.
func rackdCommand(c *choice) *cobra.Command {
	return &cobra.Command{
		Use: "rackd", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			return lab.Serve(cmd.Context(), l.Rack, l.Dirs, l.Self, log)
		},
	}
}

// chassisCommand is what ipmi_sim calls, by a script that "up" writes.
func chassisCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "chassis --socket SOCKET BLADE get|set …", Hidden: true, Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lab.Chassis(cmd.Context(), socket, args[0], args[1:], cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the daemon's control socket")
	return cmd
}

// replace makes this process another program.
func replace(path string, argv, env []string) error { return syscall.Exec(path, argv, env) }
