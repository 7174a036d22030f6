package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Options are what a run needs from outside.
type Options struct {
	// Run names a new run; empty: made from the time and the plan's digest. A run that goes on keeps its name.
	Run string
	// Scope is the scope of the lease under which the run takes place.
	Scope string
	// Approver is who approved the plan. It is needed for a new run that can destroy data; a run that goes on does so under the approval it
	// began with.
	Approver string
	// Checked is the plan's digest, when its caller has validated the plan already and runs it often; empty: Run validates it.
	Checked model.Digest
	// Lost is closed when the lease is lost; nil: it cannot be.
	Lost <-chan struct{}
	// Journal and Drivers are needed.
	Journal Journal
	// Drivers finds the driver of a kind.
	Drivers func(plan.Kind) (Driver, bool)
	Limits  Limits
	// Clock is SystemClock unless set.
	Clock Clock
	// Executor runs the ops; Goroutines unless set.
	Executor Executor
	// Observer may be nil.
	Observer Observer
	// Control may be nil.
	Control *Control
	// Log may be nil.
	Log *slog.Logger
}

// Limits bound what runs at once. What does not fit waits; nothing is refused. Zero means no limit.
type Limits struct {
	// Overall bounds all ops together.
	Overall int
	// Class bounds each resource of a class; the class of "bmc:10.0.0.1" is "bmc".
	Class map[string]int
	// Name bounds single resources, in the place of their class.
	Name map[string]int
}

// DefaultLimits suit a few hundred blades: one op at a time on a BMC, which has few sessions, and files from this machine to sixteen hosts at once.
func DefaultLimits() Limits {
	return Limits{Overall: 256, Class: map[string]int{"bmc": 1, "relay": 64, "files": 16}}
}

// of is the limit of a resource; the empty resource is the run as a whole.
func (l Limits) of(resource string) int {
	if resource == "" {
		return l.Overall
	}
	if n, ok := l.Name[resource]; ok {
		return n
	}
	class, _, _ := strings.Cut(resource, ":")
	return l.Class[class]
}

func (o Options) withDefaults(p plan.Plan) (Options, error) {
	if o.Journal == nil || o.Drivers == nil {
		return o, errors.New("engine: a run needs a journal and drivers")
	}
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.Executor == nil {
		o.Executor = Goroutines()
	}
	if o.Control == nil {
		o.Control = NewControl()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	seen := map[plan.Kind]bool{}
	for _, s := range p.Stages {
		for _, op := range s.Ops {
			if _, ok := o.Drivers(op.Kind); !ok && !seen[op.Kind] {
				errs = append(errs, fmt.Errorf("engine: no driver for ops of kind %q", op.Kind))
			}
			seen[op.Kind] = true
		}
	}
	return o, errors.Join(errs...)
}

// runName names a new run.
func (o Options) runName(p model.Digest) string {
	if o.Run != "" {
		return o.Run
	}
	return o.Clock.Now().UTC().Format("20060102T150405Z") + "-" + p.Short()
}
