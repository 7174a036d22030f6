// Command nubo-lab keeps a rack of virtual blades on one Linux machine: firmware, disks, networks and BMCs as real as
// they get without hardware. The demo and the end-to-end tests provision these blades; see package lab.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run carries out one command line and gives its exit code: 0 done, 1 error.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := rootCommand()
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "nubo-lab:", err)
		return 1
	}
	return 0
}
