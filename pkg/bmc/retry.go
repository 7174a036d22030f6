package bmc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxTries = 4
	// powerTime bounds SetPower when the context does not.
	powerTime = 5 * time.Minute
)

// schedule is how long to wait between tries and between looks.
func schedule(first, most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, most, 2, 0.2
	return b
}

// transient tells which failures may pass by themselves. A wrong password never does, and
// trying it again locks accounts.
func transient(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy)
}

// retry runs one operation, again when its failure may pass, at most maxTries times and as long
// as the context lasts. do must be safe to repeat.
func (c *client) retry(ctx context.Context, op string, do func(context.Context) error) error {
	var last error
	try := func() (struct{}, error) {
		last = c.call(ctx, op, do)
		if last != nil && !transient(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}
	_, err := backoff.Retry(ctx, try,
		backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(0), backoff.WithBackOff(schedule(250*time.Millisecond, 5*time.Second)),
		backoff.WithNotify(func(err error, wait time.Duration) {
			c.log.Warn("BMC: trying again", "op", op, "address", c.addr.String(), "in", wait, "error", err)
		}))
	if err == nil {
		return nil
	}
	if last == nil {
		last = c.wrap(op, err)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(last, ended) {
		return errors.Join(last, ended)
	}
	return last
}

// until looks again and again until seen, the context ends or a look fails for good. It returns
// false when the time was up.
func until(ctx context.Context, first, most time.Duration, look func() (bool, error)) (bool, error) {
	errNotYet := errors.New("not yet")
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		seen, err := look()
		switch {
		case err != nil && ctx.Err() == nil && !transient(err):
			return struct{}{}, backoff.Permanent(err)
		case err != nil:
			last = err
			return struct{}{}, err
		case !seen:
			last = nil
			return struct{}{}, errNotYet
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(schedule(first, most)), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		// A look that failed because the time was up says nothing.
		if last != nil && !errors.Is(last, context.DeadlineExceeded) && !errors.Is(last, context.Canceled) {
			return false, last
		}
		return false, nil
	}
	return false, err
}

// settled gives a look the time that a write may take to show.
func settled(ctx context.Context, within time.Duration, look func(context.Context) (bool, error)) (bool, error) {
	limited, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the write did not show within %s", within))
	defer cancel()
	seen, err := until(limited, 200*time.Millisecond, 2*time.Second, func() (bool, error) { return look(limited) })
	if !seen && err == nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	return seen, err
}
