package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// ErrUnreachable says that etcd did not answer, or has no majority. What was asked of it may have been done.
var ErrUnreachable = errors.New("etcd does not answer")

// boottime tells the time since the machine was started, sleep included (clock_gettime(2), CLOCK_BOOTTIME).
func boottime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0 // cannot fail on Linux
	}
	return time.Duration(ts.Nano())
}

// call tries until it gets an answer that is one, or ctx ends; each attempt is bounded. do must bear being done twice.
func (s *Store) call(ctx context.Context, what string, do func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		attempt, cancel := context.WithTimeout(ctx, tryTime)
		defer cancel()
		err := do(attempt)
		if err == nil {
			return struct{}{}, nil
		}
		if !passing(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errAsked) {
		err = cause
		if last != nil {
			err = fmt.Errorf("%w; last: %w", cause, translate(last))
		}
	} else {
		err = translate(err)
	}
	return fmt.Errorf("%s, etcd at %s: %w", what, strings.Join(s.cfg.Endpoints, ", "), err)
}

// errAsked ends a call that had no other bound.
var errAsked = errors.New("no answer in time")

// bounded gives a call that no lease bounds its time.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, askTime, errAsked)
}

// passing reports whether an error may pass by itself: no connection, no leader, no answer in time, a member that does not know yet who has logged in
// with another.
func passing(err error) bool {
	if errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) {
		return true
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Aborted:
		return !errors.Is(err, rpctypes.ErrLeaseNotFound)
	case codes.ResourceExhausted:
		return errors.Is(err, rpctypes.ErrTooManyRequests)
	}
	return false
}

func code(err error) codes.Code {
	var e rpctypes.EtcdError
	switch {
	case errors.As(err, &e):
		return e.Code()
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return status.Code(err)
}

// translate gives an error of etcd in the words of package state, with what to do.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: %w; compact and defragment it, raise its quota, then disarm its alarm", state.ErrFull, err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w; the user needs a role that may read and write everything under the prefix", err)
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), code(err) == codes.Unauthenticated && !passing(err):
		return fmt.Errorf("%w; check the secret that credentials names in the state block", err)
	case passing(err) || code(err) == codes.Unknown:
		return fmt.Errorf("%w: %w; see whether a majority of its members runs and can be reached, and whether their certificates are signed by ca", ErrUnreachable, err)
	}
	return err
}
