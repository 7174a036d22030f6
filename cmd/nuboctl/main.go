// Command nuboctl takes a written description of a cloud's hardware and makes the hardware so.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/app"
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit code. The first Ctrl-C stops cleanly; a second one ends the process at once.
func run(args []string) int {
	// A library of the BMC drivers prints login bodies when this is set.
	_ = os.Unsetenv("DEBUG_BMCLIB")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot()
	root.SetArgs(doubleDash(args))
	err := root.ExecuteContext(ctx)
	var e *app.Exit
	if err != nil && !(errors.As(err, &e) && e.Shown) {
		fmt.Fprintln(os.Stderr, "nuboctl: "+err.Error())
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return app.ExitInterrupted
	}
	return app.ExitCode(err)
}

// doubleDash turns -var, as other tools of this kind have it, into --var: flags with one dash and several letters would otherwise be read as
// several short flags.
func doubleDash(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if a == "--" {
			return append(out[:i], args[i:]...)
		}
		if a == "-var" || strings.HasPrefix(a, "-var=") {
			a = "-" + a
		}
		out[i] = a
	}
	return out
}
