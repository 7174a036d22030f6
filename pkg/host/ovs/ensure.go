package ovs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

func stringReader(s string) io.Reader { return strings.NewReader(s) }

// Reconnect makes a new connection to the host and gives it with the function that ends it.
type Reconnect func(ctx context.Context) (remote.Host, func(), error)

// Fresh is the Reconnect of a Link: it waits until the host can be reached.
func Fresh(l *remote.Link) Reconnect {
	return func(ctx context.Context) (remote.Host, func(), error) {
		c, err := remote.WaitReachable(ctx, l.Fresh, nil)
		if err != nil {
			return nil, nil, err
		}
		return c, func() { _ = c.Close() }, nil
	}
}

// Guard says how a change is kept from cutting the host off.
type Guard struct {
	ID        string        // names the change on the host
	Window    time.Duration // how long it may stay unconfirmed; 0 means DefaultWindow
	Reconnect Reconnect
	// Prove, which may be nil, is asked over the new connection before the change is confirmed: ping a gateway, for instance.
	Prove func(ctx context.Context, h remote.Host) error
}

// Outcome is what Ensure found and did.
type Outcome struct {
	Changes []Change // empty: the host was as wanted
	After   State
	Settled []string // changes of an earlier run that were unconfirmed, and were undone first
}

// Ensure brings the host's bridges to the wanted state. Where something has to change, the undo is armed first, and the change is confirmed
// over a new connection once the host shows the wanted state without faults. What an earlier run left unconfirmed is undone first. On error the host has, or will have when the window ends, the
// state from before: see ErrNoUndo, ErrUndone, ErrUnproven.
func (d Driver) Ensure(ctx context.Context, h remote.Host, wanted Spec, guard Guard) (Outcome, error) {
	if err := wanted.Check(); err != nil {
		return Outcome{}, fmt.Errorf("wanted Open vSwitch configuration: %w", err)
	}
	settled, err := d.Settle(ctx, h)
	if err != nil {
		return Outcome{}, err
	}
	before, err := d.Observe(ctx, h)
	if err != nil {
		return Outcome{}, err
	}
	changes := Diff(before, wanted)
	if len(changes) == 0 {
		return Outcome{After: before, Settled: settled}, nil
	}
	window := guard.Window
	if window <= 0 {
		window = DefaultWindow
	}
	proof, cancel := context.WithTimeout(ctx, window) // ends before the host's timer does, which starts later
	defer cancel()
	undo, err := d.Arm(ctx, h, guard.ID, window)
	if err != nil {
		return Outcome{}, err
	}
	if err := d.apply(proof, h, changes, window/3); err != nil {
		return Outcome{Changes: changes, Settled: settled}, d.abandon(ctx, h, undo, err)
	}
	after, err := d.prove(proof, undo, wanted, guard)
	return Outcome{Changes: changes, After: after, Settled: settled}, err
}

// apply makes the transaction. That no answer comes is no failure: whether the host can be reached is what prove finds out.
func (d Driver) apply(ctx context.Context, h remote.Host, changes []Change, patience time.Duration) error {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := h.Run(asking, remote.Command{Argv: d.vsctl(transaction(changes)...), Limit: 45 * time.Second})
	silent := errors.Is(err, remote.ErrUnreachable) || asking.Err() != nil
	if err != nil && (!silent || ctx.Err() != nil) {
		return fmt.Errorf("change Open vSwitch: %w", err)
	}
	return nil
}

// prove connects anew, looks, and confirms; ctx ends with the window.
func (d Driver) prove(ctx context.Context, undo Undo, wanted Spec, guard Guard) (State, error) {
	h, done, err := guard.Reconnect(ctx)
	if err != nil {
		return State{}, fmt.Errorf("reach the host after the change of Open vSwitch: %w", errors.Join(ErrUnproven, err))
	}
	defer done()
	after, err := d.Observe(ctx, h)
	if err == nil {
		err = unlike(after, wanted)
	}
	if err == nil && guard.Prove != nil {
		err = guard.Prove(ctx, h)
	}
	if err != nil {
		return after, d.abandon(ctx, h, undo, err)
	}
	return after, undo.Confirm(ctx, h)
}

// unlike gives what is still not as wanted.
func unlike(after State, wanted Spec) error {
	var errs []error
	for _, c := range Diff(after, wanted) {
		errs = append(errs, fmt.Errorf("after the change there is still to do: %s", c))
	}
	for _, f := range Faults(after, wanted) {
		errs = append(errs, fmt.Errorf("ovs-vswitchd reports: %s", f))
	}
	return errors.Join(errs...)
}

// abandon undoes the change at once where it can; where it cannot, the timer will.
func (d Driver) abandon(ctx context.Context, h remote.Host, undo Undo, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := undo.Now(ctx, h); err != nil {
		return errors.Join(ErrUnproven, why, err)
	}
	return errors.Join(ErrUndone, why)
}
