package ops

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// SilenceLimit is how long an install may say nothing before it is taken for dead. The ramdisk reports every few seconds; firmware and boot
// loader, which say nothing, take less than this on machines with a lot of memory.
const SilenceLimit = 8 * time.Minute

// ErrSilent says that a machine stopped reporting in the middle of its install.
var ErrSilent = errors.New("the machine has stopped reporting")

// arm gives an order for a machine. That of a host which is to be laid down anew is given when nothing runs on it any more, which it brings about again where somebody
// has undone it: from here on a boot of the machine from the network lays it down.
func arm(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	var spec model.Digest
	for _, f := range op.Post {
		if f.Attr == plan.AttrOrder {
			spec = model.Digest(f.Value)
		}
	}
	if err := w.restore(ctx, op, report); err != nil {
		return err
	}
	return w.Installs.Arm(ctx, n, order.Goal(op.Args["goal"]), spec, func(text string, done, total int64) {
		report(plan.Progress{Text: text, Done: done, Total: total})
	})
}

func recall(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the relay to forget the order"})
	return w.Installs.Recall(ctx, n)
}

func installWait(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the ramdisk to report"})
	s, err := w.attempts(ctx, n, op, order.Status{}, report, func(s order.Status) bool { return s.Phase == order.PhaseInstalled })
	if err != nil {
		return err
	}
	if s.Result == nil || len(s.Result.HostKeys) == 0 {
		return fmt.Errorf("%s: the install ended without reporting the host's keys, so it cannot be trusted over SSH; reinstall it", n.Path)
	}
	for _, note := range s.Result.Notes {
		report(plan.Progress{Text: "note: " + note})
	}
	return w.Installs.Keep(ctx, n, *s.Result)
}

// attempts follows an order, and boots a machine that has died or failed in the middle once more from the network, as often as the op allows ("boots"): the
// order goes on with a disk that carries its nonce. A host of a rollout has no other way back.
func (w World) attempts(ctx context.Context, n model.Node, op plan.Op, was order.Status, report func(plan.Progress), there func(order.Status) bool) (order.Status, error) {
	boots := 1
	if text := op.Args["boots"]; text != "" {
		var err error
		if boots, err = strconv.Atoi(text); err != nil {
			return was, fmt.Errorf("%s: the number of boots is %q, not a number", op.ID, text)
		}
	}
	for first := true; ; first = false {
		s, err := w.follow(ctx, n, was, SilenceLimit, report, there)
		if err == nil && !first {
			err = w.withMachine(ctx, n, func(m Machine) error { return bootAsSet(ctx, m) })
		}
		var failed *InstallError
		again := errors.Is(err, ErrSilent) || errors.As(err, &failed) && failed.Phase == order.PhaseFailed
		if boots--; !again || boots < 1 || w.Machines == nil {
			return s, err
		}
		report(plan.Progress{Text: err.Error() + "; once more from the network"})
		if was, _, err = w.Installs.Watch(ctx, n, 0); err == nil {
			err = w.netCycle(ctx, n, was)
		}
		if err != nil {
			return s, err
		}
	}
}

// netCycle switches a machine off and on, so that it boots from the network. One that has booted its own disk after all runs a host again, on which somebody may
// have started something: it is left alone. So is one that has been heard since its order was as it was: it boots, or writes, or is a host by now under keys
// that nobody knows yet.
func (w World) netCycle(ctx context.Context, n model.Node, was order.Status) error {
	err := w.withMachine(ctx, n, func(m Machine) error {
		if s, _, err := w.Installs.Watch(ctx, n, 0); err != nil {
			return err
		} else if news(s, was) {
			return errHeard
		}
		if h, err := w.Hosts.Observe(ctx, n); err != nil {
			return fmt.Errorf("%s: it booted its own disk and not the installer, and whether its host answers is not known, so it is not switched off: %w", n.Path, err)
		} else if h.Reachable {
			return fmt.Errorf("%s: it booted its own disk and not the installer, and its host answers, so it is not switched off; plan again, which empties it first", n.Path)
		}
		return m.SetPower(ctx, model.PowerOff)
	})
	if errors.Is(err, errHeard) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.withMachine(ctx, n, func(m Machine) error { return netOn(ctx, m) })
}

// errHeard says that a machine which was to be switched off since it was silent is so no more.
var errHeard = errors.New("it is heard again")

// news reports whether an order is not as it was.
func news(s, was order.Status) bool { return s.Phase != was.Phase || s.Updated.After(was.Updated) }

// follow waits until an order is where it should be, reports what the agent says, and ends early when the install cannot go on, or nothing is heard for as long
// as the limit. What is still as it was counts for neither.
func (w World) follow(ctx context.Context, n model.Node, was order.Status, limit time.Duration, report func(plan.Progress), there func(order.Status) bool) (order.Status, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hush := func() (stop func() bool) { return w.Clock.AfterFunc(limit, func() { cancel(silent(n, limit)) }) }
	stop := hush()
	defer func() { stop() }()
	for version := 0; ; {
		s, next, err := w.Installs.Watch(ctx, n, version)
		if err != nil {
			if errors.Is(context.Cause(ctx), ErrSilent) {
				return s, context.Cause(ctx)
			}
			return s, err
		}
		if news(s, was) {
			if there(s) {
				return s, nil
			}
			if err := ended(n, s); err != nil {
				return s, err
			}
		}
		if next == version {
			continue
		}
		version = next
		stop()
		stop = hush()
		if s.Last != nil && s.Last.Progress != nil {
			p := s.Last.Progress
			report(plan.Progress{Text: strings.TrimSpace(p.Phase + " " + p.Text), Done: p.Done, Total: p.Total})
		}
	}
}

func silent(n model.Node, limit time.Duration) error {
	return fmt.Errorf("%s: %w for %s; look at its console (nuboctl bmc console %s), then apply again: the same approval goes on",
		n.Path, ErrSilent, limit, n.Name)
}

// ended says why an install cannot go on, nil when it can.
func ended(n model.Node, s order.Status) error {
	switch s.Phase {
	case order.PhaseRefused, order.PhaseFailed:
		p := order.Problem{Got: "it gave no reason"}
		if s.Problem != nil {
			p = *s.Problem
		}
		return &InstallError{Node: n.Path, Phase: s.Phase, Problem: p}
	default:
		return nil
	}
}
