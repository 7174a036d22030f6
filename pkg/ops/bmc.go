package ops

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// identify needs no more than to open the session: the driver compares the serial number there.
func identify(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the BMC to answer"})
	return w.machine(ctx, op, func(Machine) error { return nil })
}

// powerOff looks once more, right before, whether virtual machines are there, when the op expects that there are none: behind the cordon, which it sets again
// where somebody has taken it away. A BMC that lets it wait has it look again.
func powerOff(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(op.Pre, func(f plan.Fact) bool { return f.Attr == plan.AttrGuests })
	return w.patient(ctx, n, func() error {
		if err := w.restore(ctx, op, report); err != nil {
			return err
		}
		if i >= 0 {
			if err := w.still(ctx, op.Pre[i:i+1]); err != nil {
				return err
			}
		}
		report(plan.Progress{Waiting: "the machine to be off"})
		return w.session(ctx, n, func(m Machine) error { return m.SetPower(ctx, model.PowerOff) })
	})
}

// still looks whether facts hold right before an act.
func (w World) still(ctx context.Context, list []plan.Fact) error {
	err := newReader(w).unmet(ctx, list)
	if m := asMismatch(err); m != nil {
		return &StaleError{m}
	}
	return err
}

// bootNetwork sets the next boot of a machine that is off: one that somebody has switched on meanwhile would boot the installer at some later time.
func bootNetwork(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the BMC to keep the boot override"})
	off := slices.IndexFunc(op.Pre, func(f plan.Fact) bool { return f.Attr == plan.AttrPower && f.Value == string(model.PowerOff) })
	return w.machine(ctx, op, func(m Machine) error {
		if off >= 0 {
			if p, err := m.Power(ctx); err != nil {
				return err
			} else if p != model.PowerOff {
				return &StaleError{&Mismatch{Want: op.Pre[off : off+1], Found: []string{string(p)}}}
			}
		}
		return m.SetBoot(ctx, facts.NetBoot)
	})
}

// hostStart powers on a machine that is to boot its own disk.
func hostStart(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	report(plan.Progress{Waiting: "the machine to be on"})
	return w.machine(ctx, op, func(m Machine) error { return m.SetPower(ctx, model.PowerOn) })
}

// askWithin is how long a machine that was switched on before may take to ask for its boot: firmware of large machines takes minutes to come to that.
const askWithin = 4 * time.Minute

// powerOn returns when the relay has seen the machine boot from the network: what a BMC says of its boot override is no proof. An order that was
// begun before is not enough either: the machine must have been heard since it was powered on. One that is on already was switched on by an earlier try,
// and may have asked while nobody answered: when it does not ask again it is started anew.
func powerOn(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	was, _, err := w.Installs.Watch(ctx, n, 0)
	if err != nil {
		return err
	}
	seen, err := w.observeBMC(ctx, n)
	if err != nil {
		return err
	}
	if seen.Power == model.PowerOn {
		report(plan.Progress{Waiting: "the machine, which is on since an earlier try, to ask the relay for its boot"})
		if _, err = w.follow(ctx, n, was, askWithin, report, asked); errors.Is(err, ErrSilent) {
			report(plan.Progress{Text: "it has not asked for its boot; once more from the network"})
			err = w.netCycle(ctx, n, was)
		}
	} else {
		report(plan.Progress{Waiting: "the machine to be on"})
		err = w.machine(ctx, op, func(m Machine) error { return netOn(ctx, m) })
	}
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the machine to ask the relay for its boot"})
	if _, err = w.attempts(ctx, n, op, was, report, asked); err != nil {
		return err
	}
	return w.machine(ctx, op, func(m Machine) error { return bootAsSet(ctx, m) })
}

// asked reports whether a machine has asked for its boot.
func asked(s order.Status) bool {
	return s.Phase == order.PhaseBooted || s.Phase == order.PhaseConsumed || s.Phase == order.PhaseInstalled
}

// netOn switches a machine on that is off, to boot from the network; an earlier try may have used the override up, and there are BMCs that forget one which
// is not soon used. One that is on is left as it is: an earlier try may have come through unheard.
func netOn(ctx context.Context, m Machine) error {
	if p, err := m.Power(ctx); err != nil || p == model.PowerOn {
		return err
	}
	if from, err := m.Boot(ctx); err != nil {
		return err
	} else if from != facts.NetBoot {
		if err := m.SetBoot(ctx, facts.NetBoot); err != nil {
			return err
		}
	}
	return m.SetPower(ctx, model.PowerOn)
}

// bootAsSet removes a boot override that is still there once it has done its work: some BMCs know none for once, and would boot the installer's network for ever.
func bootAsSet(ctx context.Context, m Machine) error {
	if from, err := m.Boot(ctx); err != nil || from == "" {
		return err
	}
	return m.SetBoot(ctx, "")
}

func (w World) machine(ctx context.Context, op plan.Op, use func(Machine) error) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	return w.withMachine(ctx, n, use)
}
