package bmc_test

import (
	"context"
	"errors"
	"io"
	"log"
	"testing"
	"time"
)

type ctx = context.Context

// quiet is a log for servers whose complaints are expected.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// eventually waits for a condition; last is what was in the way.
func eventually(t *testing.T, what string, condition func() bool, last *error) {
	t.Helper()
	deadline := time.NewTimer(3 * time.Minute) // on a busy machine
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s: %v", what, *last)
		}
	}
}

func isKind(err, kind error) bool { return errors.Is(err, kind) }
