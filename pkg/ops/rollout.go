package ops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// How long marks hold that end by themselves. Noout is that of Rook: longer than a restart takes, shorter than a night.
const (
	cordonFor = 24 * time.Hour
	nooutFor  = 30 * time.Minute
)

// downFrom is what a host that goes down has to be, in this order.
var downFrom = []plan.Attr{plan.AttrCordon, plan.AttrNoout, plan.AttrGuests, plan.AttrCeph, plan.AttrGuests}

// restores are the preconditions that an op brings about again when somebody has undone them since the op that did so first: an operator who starts a
// machine on a drained host, a flag that has expired, daemons that came back with a host that restarted by itself. In this order.
var restores = map[plan.Kind][]plan.Attr{
	plan.HostDrain: {plan.AttrCordon},
	plan.CephStop:  {plan.AttrNoout},
	plan.CephPurge: {plan.AttrEmpty}, // it waits again
	plan.PowerOff:  {plan.AttrCordon},
	plan.SlotBoot:  downFrom, // guests are proven gone last
	plan.OrderArm:  downFrom,
	plan.HostOff:   downFrom,

	plan.PackagesInstall: downFrom,
}

// restorer is what brings a precondition about; nil when nothing does.
func restorer(f plan.Fact) apply {
	switch {
	case f.Attr == plan.AttrCordon && (f.Value == plan.Set || f.Value == plan.Drained):
		return cordon
	case f.Attr == plan.AttrNoout && f.Value == plan.Set:
		return noout
	case f.Attr == plan.AttrGuests && f.Value == plan.None:
		return empty
	case f.Attr == plan.AttrCeph && f.Value == plan.Stopped:
		return stopDaemons
	case f.Attr == plan.AttrEmpty && f.Value == plan.Yes:
		return cephEmpty
	}
	return nil
}

// restorable reports whether the op brings a precondition about again by itself.
func restorable(op plan.Op, f plan.Fact) bool {
	if f.Subject != op.Target || restorer(f) == nil {
		return false
	}
	if f.Value == plan.Drained && op.Kind != plan.HostDrain && op.Kind != plan.PowerOff {
		return false // who has undrained a host in the middle of a rollout meant it: the plan is stale
	}
	for _, a := range restores[op.Kind] {
		if a == f.Attr {
			return true
		}
	}
	return false
}

// restore brings about what an op restores, one after the other; each is read from the world right before, and after whatever was restored before it.
func (w World) restore(ctx context.Context, op plan.Op, report func(plan.Progress)) error {
	r := newReader(w)
	for _, a := range restores[op.Kind] {
		for _, f := range op.Pre {
			if f.Attr != a || !restorable(op, f) {
				continue
			}
			err := r.unmet(ctx, []plan.Fact{f})
			if asMismatch(err) != nil {
				report(plan.Progress{Text: fmt.Sprintf("%s is not %s any more", f.Attr, f.Value)})
				err = restorer(f)(ctx, w, op, report)
				r = newReader(w)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func cordon(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	hold, err := holdTime(op, "for", cordonFor)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the scheduler to leave the host alone"})
	drained := plan.Fact{Attr: plan.AttrCordon, Subject: op.Target, Value: plan.Drained}
	return w.Cordons.SetCordon(ctx, n, Mark{Until: w.Clock.Now().Add(hold), Drained: slices.Contains(op.Pre, drained) || slices.Contains(op.Post, drained)})
}

// holdTime is how long a mark of the op holds: as its argument says, or as usual.
func holdTime(op plan.Op, arg string, usual time.Duration) (time.Duration, error) {
	text := op.Args[arg]
	if text == "" {
		return usual, nil
	}
	hold, err := time.ParseDuration(text)
	if err != nil || hold <= 0 {
		return 0, fmt.Errorf("%s: the time for which it is to hold (%s) is %q, which is no duration", op.ID, arg, text)
	}
	return hold, nil
}

// uncordon starts what was stopped with consent, and then lets the host be used again.
func uncordon(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	if err := w.idle(ctx, n); err != nil {
		return err
	}
	guests, err := w.Guests.List(ctx, n)
	if err != nil {
		return err
	}
	for _, g := range guests {
		if !g.Held && !g.Marked {
			continue
		}
		report(plan.Progress{Waiting: g.Name + " to start"})
		if err := w.Guests.Release(ctx, g.Name, n); err != nil {
			return fmt.Errorf("start %s, which was stopped with its owner's consent: %w", g.Name, err)
		}
	}
	report(plan.Progress{Waiting: "the scheduler to use the host"})
	return w.Cordons.SetCordon(ctx, n, Mark{})
}

// guestsHeld is the value of plan.AttrCordon of a host that is not cordoned and has machines that wait to be started again.
const guestsHeld = "not set, and guests are held"

// holds reports whether virtual machines that we stopped wait on a host.
func (w World) holds(ctx context.Context, n model.Node) (bool, error) {
	if w.Guests == nil {
		return false, nil
	}
	guests, err := w.Guests.List(ctx, n)
	return slices.ContainsFunc(guests, func(g Guest) bool { return g.Held }), err
}

// loadRollout reads the facts of a rollout from one source.
func (w World) loadRollout(ctx context.Context, s plan.Subject, n model.Node, source string) (plan.State, error) {
	st := plan.State{}
	set := func(a plan.Attr, v string) { st.Set(plan.Fact{Subject: s, Attr: a, Value: v}) }
	switch source {
	case fromSlots:
		slots, err := w.Slots.State(ctx, n)
		set(plan.AttrIdle, string(slots.Idle))
		set(plan.AttrDefault, string(slots.Default))
		return st, err
	case fromPackages:
		p, err := w.Packages.State(ctx, n)
		set(plan.AttrStaged, string(p.Staged))
		set(plan.AttrPackages, string(p.Installed))
		return st, err
	case fromCordon:
		mark, err := w.Cordons.Cordon(ctx, n)
		if !mark.Until.IsZero() {
			set(plan.AttrCordon, map[bool]string{true: plan.Drained, false: plan.Set}[mark.Drained])
			return st, err
		}
		// A host whose cordon has ended by itself is not given back while machines that we stopped wait on it.
		if held, err2 := w.holds(ctx, n); err == nil && held {
			set(plan.AttrCordon, guestsHeld)
		} else if err == nil {
			err = err2
		}
		return st, err
	case fromGuests:
		guests, err := w.Guests.List(ctx, n)
		if len(running(guests)) == 0 {
			set(plan.AttrGuests, plan.None)
		}
		return st, err
	}
	c, err := w.Storage.Observe(ctx, n)
	set(plan.AttrCeph, c.Daemons)
	set(plan.AttrKept, c.Data)
	if !c.Noout.IsZero() {
		set(plan.AttrNoout, plan.Set)
	}
	return st, err
}
