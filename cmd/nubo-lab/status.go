package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nuboctl/nuboctl/pkg/lab"
)

func statusCommand(c *choice) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show blades, BMCs, stations and where their logs are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.lab()
			if err != nil {
				return err
			}
			status, err := l.Status()
			if err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(status)
			}
			return printStatus(cmd.OutOrStdout(), status)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(out io.Writer, s lab.Status) error {
	fmt.Fprintf(out, "rack %s: %s", s.Rack, word(s.Up, "up", "down"))
	if s.DaemonPID != 0 {
		fmt.Fprintf(out, " (daemon %d)", s.DaemonPID)
	}
	fmt.Fprintf(out, ", files in %s\n\n", s.RuntimeDir)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BLADE\tPOWER\tPID\tFIRMWARE\tNEXT BOOT\tBMC\tSERIAL LOG")
	for _, b := range s.Blades {
		boot := string(b.Boot.Device)
		if b.Boot.Once {
			boot += " once"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s %s\t%s\n", b.Name, word(b.Power, "on", "off"), pid(b.PID), b.Firmware, boot,
			b.BMC.Protocol, b.BMC.Address, b.SerialLog)
	}
	fmt.Fprintln(w, "\nSTATION\tNAMESPACE\tSTATE\tNETWORKS\tSSHD")
	for _, st := range s.Stations {
		networks := ""
		for _, n := range slices.Sorted(maps.Keys(st.Addresses)) {
			networks += n + " " + st.Addresses[n] + "  "
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", st.Name, st.Namespace, word(st.Present, "there", "absent"), networks, pid(st.SSHDPID))
	}
	return w.Flush()
}

func word(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func pid(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
