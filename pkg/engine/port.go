package engine

import (
	"context"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// Driver knows how ops of one kind touch the world. Every method returns soon after its context ends; the context of Apply carries the
// op's deadline. Check, Verify and Probe change nothing and do not wait for the world to change, but for who is to be asked to answer; while an op is carried
// out they tell that to plan.Listener of their context.
type Driver interface {
	// Check asks the world whether the op may begin: nil when its preconditions hold; an error that is stale (see ErrStale) when one does
	// not; one that holds (see ErrHolds) when there is nothing left to do. Every other error means that it could not be found out.
	Check(ctx context.Context, op plan.Op) error
	// Apply does it, telling progress, which may be called from any goroutine until Apply returns.
	Apply(ctx context.Context, op plan.Op, progress func(plan.Progress)) error
	// Verify observes that the postconditions hold; an error says what is otherwise, or that it cannot be seen.
	Verify(ctx context.Context, op plan.Op) error
	// Probe tells of an op that was begun, perhaps by a process that died, whether it took effect.
	Probe(ctx context.Context, op plan.Op) (plan.Outcome, error)
}

// Journal is where the engine records. state/journal implements it.
type Journal interface {
	// Append returns when the record is safely on disk.
	Append(ctx context.Context, r state.Record) (state.Record, error)
	// Runs are the runs that are neither finished nor closed.
	Runs() []state.RunState
	// Finished is the newest record of a run that carried out a plan to its end.
	Finished(p model.Digest) (state.Record, bool)
}

// Observer is told what happens, one event at a time, in order. It must not wait.
type Observer interface {
	Event(e Event)
}

// Clock is the time in which a run takes place.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d, unless stopped before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
