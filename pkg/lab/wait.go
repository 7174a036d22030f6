package lab

import (
	"context"
	"fmt"
	"time"
)

// poll is how often a condition is looked at.
const poll = 20 * time.Millisecond

// waitFor looks at a condition until it holds, an error comes or the deadline passes. The error says what was awaited.
func waitFor(ctx context.Context, what string, deadline time.Duration, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if ok, err := holds(); err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		} else if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: gave up after %s: %w", what, deadline, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
