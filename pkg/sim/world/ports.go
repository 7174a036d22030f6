package world

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// machines are BMCs that are slow, refuse, and lose replies.
type machines struct {
	w *World
	ops.Machines
}

// Open implements ops.Machines.
func (m machines) Open(ctx context.Context, n model.Node) (ops.Machine, error) {
	f := m.w.opt.Faults
	if err := m.w.Time.Sleep(ctx, time.Second+time.Duration(m.w.rng.Int64N(int64(f.Slow)+1))); err != nil {
		return nil, err
	}
	if m.w.broken[m.w.index[n.Path]] == rack.HostSilent && f.Split+f.Cut > 0 {
		return nil, fmt.Errorf("%s: %s: %w", n.Path, n.BMC.Address, rack.BMCFault("does not answer: connection timed out"))
	}
	if m.w.chance(f.BMC) {
		return nil, fmt.Errorf("%s: %s: %w", n.Path, n.BMC.Address, rack.BMCFault("is busy: all sessions are in use"))
	}
	inner, err := m.Machines.Open(ctx, n)
	return machine{inner, m.w}, err
}

type machine struct {
	ops.Machine
	w *World
}

// SetPower implements ops.Machine. A BMC that says yes and does nothing is found out by the driver, which reads back.
func (m machine) SetPower(ctx context.Context, want model.Power) error {
	if m.w.chance(m.w.opt.Faults.BMC) {
		return rack.BMCFault("said yes, and its power state is still the other one after a minute")
	}
	if err := m.Machine.SetPower(ctx, want); err != nil {
		return err
	}
	if m.w.reply(-1) != nil {
		return rack.BMCFault("has not answered to the end: " + errReply.Error())
	}
	return nil
}

// slots are those of the rack, with what goes wrong.
type slots struct {
	w *World
	ops.Slots
}

// Write implements ops.Slots.
func (s slots) Write(ctx context.Context, n model.Node, spec model.Digest, report func(plan.Progress)) error {
	if s.w.chance(s.w.opt.Faults.Install) {
		return fmt.Errorf("%s: chunk 17 of the image has a wrong digest", n.Path)
	}
	return errors.Join(s.Slots.Write(ctx, n, spec, report), s.w.reply(-1))
}

// BootOnce implements ops.Slots.
func (s slots) BootOnce(ctx context.Context, n model.Node) error {
	if i, h, err := s.w.reach(ctx, n); err != nil {
		return err
	} else if h.Up {
		s.w.tell(Act{Kind: Restart, Host: i, Ours: true})
	}
	return errors.Join(s.Slots.BootOnce(ctx, n), s.w.reply(-1))
}

// Abandon implements ops.Slots.
func (s slots) Abandon(ctx context.Context, n model.Node) error {
	i, _, err := s.w.reach(ctx, n)
	if err != nil {
		return err
	}
	s.w.tell(Act{Kind: Restart, Host: i, Ours: true})
	return errors.Join(s.Slots.Abandon(ctx, n), s.w.reply(-1))
}

// Commit implements ops.Slots.
func (s slots) Commit(ctx context.Context, n model.Node) error {
	i, _, err := s.w.reach(ctx, n)
	if err != nil {
		return err
	}
	if err := s.Slots.Commit(ctx, n); err != nil {
		return err
	}
	s.w.tell(Act{Kind: Committed, Host: i, Ours: true})
	return s.w.reply(-1)
}

// hosts are those of the rack, which tell before they go down because of us.
type hosts struct {
	w *World
	ops.Hosts
}

// Shutdown implements ops.Hosts.
func (h hosts) Shutdown(ctx context.Context, n model.Node) error {
	i, _, err := h.w.reach(ctx, n)
	if err != nil {
		return err
	}
	h.w.tell(Act{Kind: Restart, Host: i, Ours: true})
	return errors.Join(h.Hosts.Shutdown(ctx, n), h.w.reply(-1))
}

// installs are those of the rack, with a relay that fails now and then.
type installs struct {
	w *World
	ops.Installs
}

// Arm implements ops.Installs.
func (p installs) Arm(ctx context.Context, n model.Node, goal order.Goal, spec model.Digest, report func(string, int64, int64)) error {
	if p.w.chance(p.w.opt.Faults.Install) {
		return fmt.Errorf("%s: the relay has no room for chunk 17 of the image", n.Path)
	}
	if err := p.Installs.Arm(ctx, n, goal, spec, report); err != nil {
		return err
	}
	p.w.tell(Act{Kind: Armed, Host: p.w.index[n.Path], Ours: true})
	return p.w.reply(-1)
}

type cordons struct{ w *World }

// Cordon implements ops.Cordons.
func (c cordons) Cordon(ctx context.Context, n model.Node) (ops.Mark, error) {
	_, h, err := c.w.reach(ctx, n)
	if err != nil {
		return ops.Mark{}, err
	}
	if until := h.Cordon; until.After(c.w.Time.Now()) {
		return ops.Mark{Until: until, Drained: h.Drained}, nil
	}
	return ops.Mark{}, nil
}

// SetCordon implements ops.Cordons.
func (c cordons) SetCordon(ctx context.Context, n model.Node, m ops.Mark) error {
	i, h, err := c.w.reach(ctx, n)
	if err != nil {
		return err
	}
	h.Cordon, h.Drained = m.Until, m.Drained
	c.w.tell(Act{Kind: CordonSet, Host: i, Ours: true})
	return c.w.reply(i)
}
