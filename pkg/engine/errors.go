package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// What a run can end with beside the errors of drivers.
var (
	// ErrStale: a precondition no longer holds. A driver says so with an error that wraps this one, or has a method Stale() []plan.Fact
	// naming what does not hold.
	ErrStale = errors.New("stale: the world is no longer as the plan expects")
	// ErrHolds: there is nothing left to do. A driver says so with an error that wraps this one, or has a method Holds() bool.
	ErrHolds = errors.New("already so")
	// ErrHalted: a batch is not safe to begin, or the health that must hold behind it does not; nothing is broken, and the run can go on later. A
	// driver says so with an error that wraps this one, or has a method Halts() bool.
	ErrHalted = errors.New("halted")
	// ErrUnknown: an op was begun and nobody can tell what came of it.
	ErrUnknown = errors.New("outcome is not known")
	// ErrDeadline: an op did not end in its time.
	ErrDeadline = errors.New("did not end in time")
	// ErrNotApproved: a plan that can destroy data needs somebody who approved it.
	ErrNotApproved = errors.New("nobody approved this plan")
	// ErrAborted: somebody ended the run for good.
	ErrAborted = errors.New("run was aborted")
	// ErrYielded: the run gave way to somebody else, and can go on later.
	ErrYielded = errors.New("run gave way")
	// ErrLeaseLost: somebody else may change the same machines from now on.
	ErrLeaseLost = errors.New("lease was lost")
	// ErrJournal: what happens cannot be recorded, so nothing may happen.
	ErrJournal = errors.New("journal cannot be written")
)

// isStale reports whether a driver's error says that a precondition does not hold.
func isStale(err error) bool {
	var s interface{ Stale() []plan.Fact }
	return errors.Is(err, ErrStale) || errors.As(err, &s)
}

// isHeld reports whether a driver's error says that there is nothing left to do.
func isHeld(err error) bool {
	var h interface{ Holds() bool }
	return errors.Is(err, ErrHolds) || (errors.As(err, &h) && h.Holds())
}

// isHalted reports whether a driver's error says that the rollout is to stop here.
func isHalted(err error) bool {
	var h interface{ Halts() bool }
	return errors.Is(err, ErrHalted) || (errors.As(err, &h) && h.Halts())
}

// remedy is what an error says to do, from whatever it wraps.
func remedy(err error) string {
	var r interface{ Remedy() string }
	if errors.As(err, &r) {
		return r.Remedy()
	}
	return ""
}

// lastLines are what a machine said last, from whatever the error wraps.
func lastLines(err error) []string {
	var l interface{ Log() []string }
	if errors.As(err, &l) {
		return l.Log()
	}
	return nil
}

// unknownError stops a target whose op has no known outcome.
type unknownError struct {
	op  plan.OpID
	err error
}

func (e *unknownError) Error() string {
	s := fmt.Sprintf("%s was begun, and its %s", e.op, ErrUnknown)
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

func (e *unknownError) Unwrap() []error { return []error{ErrUnknown, e.err} }

// Remedy is the same for all of them: nothing is guessed.
func (e *unknownError) Remedy() string {
	return "make its target reachable and run the command again; or look at it by hand and record what you found"
}

// deadlineError says how long an op had. It is a context.DeadlineExceeded to whoever asks.
type deadlineError struct {
	after time.Duration
	cause error
}

func (e *deadlineError) Error() string { return fmt.Sprintf("%s: it had %s", ErrDeadline, e.after) }

func (e *deadlineError) Unwrap() []error { return []error{ErrDeadline, e.cause} }
