package opstest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// bmcKinds are the kinds whose ops drive a BMC.
var bmcKinds = []plan.Kind{plan.BMCIdentify, plan.PowerOff, plan.BootNetwork, plan.PowerOn, plan.HostStart, plan.HostOff}

// patience is the part of the suite in which a BMC does not answer for a while, or loses a reply.
func patience(t *testing.T, lab New, planFor Plan) {
	for _, k := range bmcKinds {
		for name, test := range map[string]func(*bench, plan.Op){
			"its BMC is back in time":              (*bench).comesBack,
			"its BMC does not come back":           (*bench).staysAway,
			"its BMC is another's":                 (*bench).impostor,
			"nobody waits any more":                (*bench).givenUp,
			"the question before it waits as well": (*bench).asksPatiently,
		} {
			t.Run(string(k)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { b := benchFor(t, lab, planFor, k); test(b, b.before(k)) })
			})
		}
	}
	for _, k := range []plan.Kind{plan.PowerOff, plan.BootNetwork, plan.PowerOn, plan.HostStart} {
		t.Run(string(k)+"/its BMC loses a reply", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { b := benchFor(t, lab, planFor, k); b.unheard(b.before(k)) })
		})
	}
	t.Run("a machine starts on a host that waits to be switched off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { newReinstall(t, lab).occupied() })
	})
	t.Run("somebody switches a machine on before its boot is set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { newReinstall(t, lab).switchedOn() })
	})
}

// away is less than any kind's patience with a BMC.
const away = 4 * time.Minute

// unreachable makes the node's BMC silent for a while, after which something happens and it answers again.
func (b *bench) unreachable(meanwhile func()) {
	b.lab.Break(b.node.Path, rack.Unreachable)
	b.clock.AfterFunc(away, func() {
		b.lab.Break(b.node.Path, rack.Sound)
		meanwhile()
	})
}

// waits collects what is told of a BMC that is waited for.
type waits []string

func (w *waits) told(p plan.Progress) {
	if strings.Contains(p.Waiting, "trying again for") {
		*w = append(*w, p.Waiting)
	}
}

// check compares the first with what a person is to read.
func (w waits) check(b *bench) {
	b.Helper()
	if want := "its BMC, which does not answer; trying again for 10 more minutes"; len(w) == 0 || w[0] != want {
		b.Errorf("it told %q, want %q first", w, want)
	}
}

func (b *bench) comesBack(op plan.Op) {
	b.unreachable(func() {})
	ctx, cancel := b.deadline(op)
	defer cancel()
	var told waits
	err := b.driver.Apply(ctx, op, told.told)
	if err == nil {
		err = b.driver.Verify(ctx, op)
	}
	if err != nil {
		b.Errorf("with a BMC that was silent for %s: %v", away, err)
	}
	told.check(b)
}

func (b *bench) staysAway(op plan.Op) {
	b.lab.Break(b.node.Path, rack.Unreachable)
	ctx, cancel := b.deadline(op)
	defer cancel()
	began := b.clock.Now()
	err := b.driver.Apply(ctx, op, b.told)
	if err == nil || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), "given up after") {
		b.Errorf("with a BMC that stays silent: %v", err)
	}
	info, _ := op.Kind.Info()
	if took := b.clock.Now().Sub(began); took < info.Patience || took > info.Patience+5*time.Minute || ctx.Err() != nil {
		b.Errorf("it gave up after %s (%v), its patience is %s", took, ctx.Err(), info.Patience)
	}
}

func (b *bench) impostor(op plan.Op) {
	b.lab.Break(b.node.Path, rack.Impostor)
	began := b.clock.Now()
	var told waits
	if err := b.driver.Apply(b.Context(), op, told.told); err == nil || !strings.Contains(err.Error(), "serial number") {
		b.Errorf("with another machine behind the address: %v", err)
	}
	if took := b.clock.Now().Sub(began); took > time.Minute || len(told) > 0 {
		b.Errorf("it waited for %s: %q", took, told)
	}
}

func (b *bench) givenUp(op plan.Op) {
	b.lab.Break(b.node.Path, rack.Unreachable)
	ctx, cancel := b.within(away)
	defer cancel()
	began := b.clock.Now()
	err := b.driver.Apply(ctx, op, b.told)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "does not answer") {
		b.Errorf("when nobody waits any more: %v", err)
	}
	if late := b.clock.Now().Sub(began) - away; late > time.Minute+time.Second {
		b.Errorf("it went on for %s", late)
	}
}

func (b *bench) asksPatiently(op plan.Op) {
	if op.Kind == plan.BMCIdentify {
		return // nothing is asked before it
	}
	b.unreachable(func() {})
	var told waits
	if err := b.driver.Check(plan.Listen(b.Context(), told.told), op); err != nil {
		b.Errorf("it may not begin: %v", err)
	}
	told.check(b)
}

// unheard lets the act take effect and loses what was said of it: the next try sees that.
func (b *bench) unheard(op plan.Op) {
	b.lab.Break(b.node.Path, rack.LostReply)
	ctx, cancel := b.deadline(op)
	defer cancel()
	var told waits
	err := b.driver.Apply(ctx, op, told.told)
	if err == nil {
		err = b.driver.Verify(ctx, op)
	}
	if err != nil || len(told) != 1 {
		b.Errorf("with a reply that was lost: %v; it told %q", err, told)
	}
}

func (b *bench) occupied() {
	sub := b.before(plan.HostOff).Target // it is emptied
	op := plan.Op{ID: plan.ID(plan.PowerOff, sub), Kind: plan.PowerOff, Target: sub, Pre: []plan.Fact{{Subject: sub, Attr: plan.AttrGuests, Value: plan.None}}}
	b.unreachable(func() { b.lab.Place(model.ObservedVM{Name: "stray", Node: b.node.Path}) })
	var s interface{ Stale() []plan.Fact }
	if err := b.driver.Apply(b.Context(), op, b.told); !errors.As(err, &s) {
		b.Errorf("a host on which a machine runs was to be switched off: %v", err)
	}
	b.powered(model.PowerOn)
}

func (b *bench) switchedOn() {
	op := b.before(plan.BootNetwork)
	b.unreachable(func() { b.switchOn() })
	var s interface{ Stale() []plan.Fact }
	if err := b.driver.Apply(b.Context(), op, b.told); !errors.As(err, &s) {
		b.Errorf("a machine that somebody has switched on was set to boot the installer: %v", err)
	}
	if m := b.machine(); m != nil {
		if from, err := m.Boot(b.Context()); from != "" || err != nil {
			b.Errorf("its next boot is from %q, %v", from, err)
		}
	}
}

func (b *bench) machine() ops.Machine {
	b.Helper()
	m, err := b.lab.World().Machines.Open(b.Context(), b.node)
	if err != nil {
		b.Error(err)
		return nil
	}
	return m
}

func (b *bench) switchOn() {
	b.Helper()
	if m := b.machine(); m != nil {
		if err := m.SetPower(b.Context(), model.PowerOn); err != nil {
			b.Error(err)
		}
	}
}

func (b *bench) powered(want model.Power) {
	b.Helper()
	if m := b.machine(); m != nil {
		if got, err := m.Power(b.Context()); got != want || err != nil {
			b.Errorf("its power is %s (%v), want %s", got, err, want)
		}
	}
}
