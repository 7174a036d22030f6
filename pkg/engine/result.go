package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Kind is how a run ended, as a whole.
type Kind string

// The kinds. Failed, Halted and Interrupted runs go on when the same plan is run again.
const (
	Done        Kind = "done"        // everything the plan asks for holds
	Failed      Kind = "failed"      // at least one op failed, or its outcome is not known
	Stale       Kind = "stale"       // a precondition no longer held, and nothing failed
	Halted      Kind = "halted"      // a batch could not be certified, or a gate did not open
	Interrupted Kind = "interrupted" // the context ended, the lease was lost, or the run gave way
	Aborted     Kind = "aborted"     // ended for good on request
)

// Status is what came of one op.
type Status string

// The statuses. Held means that it was so without doing anything, or was done before in the same run.
const (
	OpDone        Status = "done"
	OpHeld        Status = "held"
	OpFailed      Status = "failed"
	OpStale       Status = "stale"
	OpUnknown     Status = "unknown"
	OpInterrupted Status = "interrupted"
	OpSkipped     Status = "skipped"
)

// good reports whether what needs the op may go on.
func (s Status) good() bool { return s == OpDone || s == OpHeld }

// OpResult is what came of one op.
type OpResult struct {
	Op      plan.Op
	Stage   int // from 0
	Status  Status
	Err     error  // nil when it is done or held
	Reason  string // why it was skipped or held
	Started time.Time
	Ended   time.Time
}

// Result is what came of a run.
type Result struct {
	Run     string
	Plan    model.Digest
	Kind    Kind
	Resumed bool
	Started time.Time
	Ended   time.Time
	// Ops holds every op of the plan, in the order in which they ended; those that never began stand last, in the plan's order.
	Ops []OpResult
	// Err is why the run as a whole stopped, when that was not an op.
	Err error
}

// With lists the ops of the given statuses.
func (r Result) With(statuses ...Status) []OpResult {
	var out []OpResult
	for _, o := range r.Ops {
		for _, s := range statuses {
			if o.Status == s {
				out = append(out, o)
			}
		}
	}
	return out
}

// Error joins what went wrong, nil when nothing did.
func (r Result) Error() error {
	errs := []error{r.Err}
	for _, o := range r.With(OpFailed, OpStale, OpUnknown, OpInterrupted) {
		errs = append(errs, fmt.Errorf("%s: %w", o.Op.ID, o.Err))
	}
	return errors.Join(errs...)
}

// kind finds how a run ended from what its ops came to.
func (r Result) kind() Kind {
	switch {
	case errors.Is(r.Err, ErrAborted):
		return Aborted
	case errors.Is(r.Err, ErrJournal):
		return Failed
	case r.Err != nil || len(r.With(OpInterrupted)) > 0:
		return Interrupted
	case len(r.With(OpUnknown)) > 0 || slices.ContainsFunc(r.With(OpFailed), func(o OpResult) bool { return !isHalted(o.Err) }):
		return Failed
	case len(r.With(OpFailed)) > 0:
		return Halted
	case len(r.With(OpStale)) > 0:
		return Stale
	}
	return Done
}
