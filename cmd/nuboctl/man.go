package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/nuboctl/nuboctl/pkg/app"
)

// manCommand writes the man pages of all commands.
func manCommand() *cobra.Command {
	return &cobra.Command{Use: "man DIR", Short: "Write the man pages of all commands into a directory", Args: cobra.ExactArgs(1),
		Example: "  nuboctl man /usr/local/share/man/man1 && man nuboctl-plan",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man pages: %w", err)
			}
			date := time.Unix(0, 0) // pages of the same program are the same bytes
			root := cmd.Root()
			root.DisableAutoGenTag = true
			head := &doc.GenManHeader{Title: "NUBOCTL", Section: "1", Source: "nuboctl " + app.Version, Manual: "nuboctl", Date: &date}
			if err := doc.GenManTree(root, head, args[0]); err != nil {
				return fmt.Errorf("man pages: %w", err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote the man pages into %s\n", args[0])
			return err
		}}
}
