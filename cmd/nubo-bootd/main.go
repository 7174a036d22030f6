// Command nubo-bootd is the relay of one network on a host that stands on it. nuboctl pushes it there and drives it over SSH.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/relay/bootd"
)

func main() {
	dir := flag.String("dir", ".", "the daemon's `directory`, with config.json in it")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bootd.Run(ctx, *dir, relay.StoreImages, log); err != nil {
		fmt.Fprintln(os.Stderr, "nubo-bootd: "+err.Error())
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}
