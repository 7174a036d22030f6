package bmc

import (
	"context"
	"errors"
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
		return struct{}{}, asked(last)
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

// asked adds the pause that a BMC asked for, which backoff then keeps instead of its own.
func asked(err error) error {
	var known *Error
	if errors.As(err, &known) && known.pause > 0 {
		return errors.Join(err, &backoff.RetryAfterError{Duration: known.pause})
	}
	return err
}

var errNotYet = errors.New("not yet")

// until looks again and again until seen, or a look fails for good, or the time is up, which is
// false: the context's, and within where it is not zero. A look that has begun is finished.
func until(ctx context.Context, within time.Duration, look func() (bool, error)) (bool, error) {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		var seen bool
		seen, last = look()
		switch {
		case last != nil && ctx.Err() == nil && !transient(last):
			return struct{}{}, backoff.Permanent(last)
		case last == nil && !seen:
			return struct{}{}, errNotYet
		}
		return struct{}{}, asked(last)
	}, backoff.WithBackOff(schedule(200*time.Millisecond, 2*time.Second)), backoff.WithMaxElapsedTime(within))
	switch {
	case err == nil:
		return true, nil
	case last == nil, ctx.Err() != nil && (errors.Is(last, context.DeadlineExceeded) || errors.Is(last, context.Canceled)):
		// Seen is not. A look that failed because the time was up says nothing else.
		return false, nil
	}
	return false, last
}

// settled gives a look the time that a write may take to show. The context's end is an error.
func settled(ctx context.Context, within time.Duration, look func() (bool, error)) (bool, error) {
	seen, err := until(ctx, within, look)
	if !seen && err == nil {
		err = ctx.Err()
	}
	return seen, err
}
