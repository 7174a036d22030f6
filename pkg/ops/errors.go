package ops

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Mismatch says which facts are not as they should be, and what is there instead.
type Mismatch struct {
	Want  []plan.Fact
	Found []string // parallel to Want
}

// Error lists the facts.
func (m *Mismatch) Error() string {
	parts := make([]string, len(m.Want))
	for i, f := range m.Want {
		parts[i] = fmt.Sprintf("%s of %s is %s, not %s", f.Attr, f.Subject, show(m.Found[i]), show(f.Value))
	}
	return strings.Join(parts, "; ")
}

// show gives a fact's value for people.
func show(v string) string {
	if v == "" {
		return "unknown or absent"
	}
	if d := model.Digest(v); d.Valid() {
		return d.Short()
	}
	return fmt.Sprintf("%q", v)
}

// StaleError says that preconditions do not hold: the world has moved since the plan was made.
type StaleError struct{ *Mismatch }

// Error says so.
func (e *StaleError) Error() string {
	return "the world is not as the plan expects it: " + e.Mismatch.Error()
}

// Stale are the facts that were expected.
func (e *StaleError) Stale() []plan.Fact { return e.Want }

// Remedy is the same for all of them.
func (e *StaleError) Remedy() string {
	return "plan again, read what has changed, and apply the new plan"
}

// HeldError says that there is nothing left to do.
type HeldError struct{ Op plan.OpID }

// Error says so.
func (e *HeldError) Error() string { return string(e.Op) + ": is so already" }

// Holds tells the engine.
func (e *HeldError) Holds() bool { return true }

// HaltedError says that the rollout must not go on now, though nothing is broken.
type HaltedError struct {
	What string // what was tried, and on what
	Why  []string
}

// Error says so.
func (e *HaltedError) Error() string { return e.What + ": " + strings.Join(e.Why, "; ") }

// Halts tells the engine.
func (e *HaltedError) Halts() bool { return true }

// Remedy is the same for all of them.
func (e *HaltedError) Remedy() string {
	return "see to what it names, then apply the same plan again: it goes on where it halted"
}

// InstallError is what the agent on the machine said when it refused or failed.
type InstallError struct {
	Node    model.Path
	Phase   order.Phase // order.PhaseRefused: the disk was not touched
	Problem order.Problem
}

// Error says what was tried, on what, and what came back.
func (e *InstallError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the installer %s", e.Node, map[bool]string{true: "refused, and wrote nothing", false: "failed"}[e.Phase == order.PhaseRefused])
	if e.Problem.Tried != "" {
		fmt.Fprintf(&b, ": tried to %s", e.Problem.Tried)
	}
	if e.Problem.Target != "" {
		fmt.Fprintf(&b, " on %s", e.Problem.Target)
	}
	fmt.Fprintf(&b, ": %s", e.Problem.Got)
	return b.String()
}

// Remedy is what the agent advises.
func (e *InstallError) Remedy() string { return e.Problem.Remedy }

// Log are the agent's last lines.
func (e *InstallError) Log() []string { return e.Problem.Log }

// asMismatch gives the mismatch in an error, nil when it is another kind of error.
func asMismatch(err error) *Mismatch {
	var m *Mismatch
	if errors.As(err, &m) {
		return m
	}
	return nil
}
