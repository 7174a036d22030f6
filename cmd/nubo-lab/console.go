package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// leave is the key that ends a console: Ctrl-].
const leave = 0x1d

func consoleCommand(c *choice) *cobra.Command {
	return &cobra.Command{
		Use: "console BLADE", Short: "Connect to a blade's serial console; Ctrl-] leaves", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			conn, err := l.DialConsole(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer conn.Close()
			if stdin := int(os.Stdin.Fd()); term.IsTerminal(stdin) {
				fmt.Fprintf(os.Stderr, "console of %s; Ctrl-] leaves\r\n", args[0])
				old, err := term.MakeRaw(stdin)
				if err != nil {
					return err
				}
				defer term.Restore(stdin, old)
			}
			return talk(cmd.Context(), conn, os.Stdin, os.Stdout)
		},
	}
}

// talk copies both ways until the blade is switched off, the leave key comes or the context ends. The end of input does
// not end the talk: "echo | nubo-lab console" shows what follows.
func talk(ctx context.Context, conn io.ReadWriter, in io.Reader, out io.Writer) error {
	done := make(chan error, 2)
	go func() {
		_, err := io.Copy(out, conn)
		done <- err
	}()
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := in.Read(buf)
			keys, _, left := bytes.Cut(buf[:n], []byte{leave})
			if _, werr := conn.Write(keys); werr != nil || left {
				done <- werr
				return
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
	}
}

func logsCommand(c *choice) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs BLADE", Short: "Print the serial console of a blade's newest power-on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			if _, err := l.Rack.Blade(args[0]); err != nil {
				return err
			}
			f, err := os.Open(l.Dirs.SerialLog(args[0]))
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s was never switched on: %w", args[0], err)
			} else if err != nil {
				return err
			}
			defer f.Close()
			return tail(cmd.Context(), f, cmd.OutOrStdout(), follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	return cmd
}

// tail copies a file that may grow.
func tail(ctx context.Context, f io.Reader, out io.Writer, follow bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(out, f); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
