package rack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/order"
)

type machines struct{ f *Rack }

func (p machines) Open(ctx context.Context, n model.Node) (ops.Machine, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch b := p.f.blades[n.Path]; b.fault {
	case Unreachable:
		return nil, fmt.Errorf("%s: %w; check its cable", n.Path, BMCFault("does not answer"))
	case Impostor:
		return nil, fmt.Errorf("%s: serial number is \"OTHER\", the inventory says %q; correct the address", n.Path, n.Serial)
	default:
		return machine{p.f, b}, nil
	}
}

// BMCFault is what is the matter with a BMC for a while, to be read behind its name.
type BMCFault string

// Error says so.
func (e BMCFault) Error() string { return "its BMC " + string(e) }

// Transient says that it may pass by itself.
func (e BMCFault) Transient() bool { return true }

// Brief is for progress.
func (e BMCFault) Brief() string { return string(e) }

// heard is what a lost reply looks like to who has asked a BMC.
func heard(err error) error {
	if err == nil {
		return nil
	}
	return BMCFault("has not answered to the end: " + err.Error())
}

type machine struct {
	f *Rack
	b *blade
}

func (m machine) Power(ctx context.Context) (model.Power, error) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return m.b.power, ctx.Err()
}

func (m machine) SetPower(ctx context.Context, want model.Power) error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if err := ctx.Err(); err != nil || m.b.power == want {
		return err
	}
	m.b.power = want
	if want == model.PowerOff {
		m.f.stop(m.b)
	} else {
		m.f.start(m.b)
	}
	return heard(m.b.reply("set power"))
}

func (m machine) Boot(ctx context.Context) (string, error) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return m.b.boot, ctx.Err()
}

func (m machine) SetBoot(ctx context.Context, from string) error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if err := ctx.Err(); err != nil || m.b.fault == Forgetful {
		return err
	}
	m.b.boot = from
	return heard(m.b.reply("set boot override"))
}

func (m machine) Close(context.Context) error { return nil }

type installs struct{ f *Rack }

var errRelay = errors.New("the relay does not answer")

func (p installs) blade(ctx context.Context, n model.Node) (*blade, error) {
	b := p.f.blades[n.Path]
	if b.fault == RelayLost {
		return b, fmt.Errorf("%s: %w", n.Path, errRelay)
	}
	return b, ctx.Err()
}

func (p installs) Arm(ctx context.Context, n model.Node, goal order.Goal, spec model.Digest, report func(string, int64, int64)) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b, err := p.blade(ctx, n)
	if err != nil {
		return err
	}
	report("hand the image to the relay", 1, 2)
	p.f.orders++
	o := order.Order{FormatVersion: order.FormatVersion, ID: fmt.Sprintf("%s-%d", n.Name, p.f.orders), Goal: goal, Node: n.Path, Hostname: n.Name,
		Machine: order.Machine{Serial: n.Serial, MACs: []string{n.NICs[0].MAC}}, Nonce: fmt.Sprintf("%032x", p.f.orders),
		IssuedAt: p.f.clock.Now(), ExpiresAt: p.f.clock.Now().Add(4 * time.Hour), MaxAttempts: 3, Spec: spec, Image: n.Image, Disks: order.Disks{Root: n.RootDevice}}
	if err := o.Validate(); err != nil {
		return err
	}
	b.rec, b.kept = &order.Record{Order: o, Phase: order.PhaseArmed, Updated: p.f.clock.Now()}, nil
	p.f.news(b)
	return b.reply("arm")
}

func (p installs) Recall(ctx context.Context, n model.Node) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b, err := p.blade(ctx, n)
	switch {
	case err != nil || b.rec == nil || b.kept != nil:
		return err
	case b.rec.Attempts > 0:
		return fmt.Errorf("%s: order %s was begun", n.Path, b.rec.Order.ID)
	}
	b.rec = nil
	p.f.news(b)
	return b.reply("recall")
}

func (p installs) Order(ctx context.Context, n model.Node) (model.ObservedOrder, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b, err := p.blade(ctx, n)
	if err != nil || b.rec == nil {
		return model.ObservedOrder{}, err
	}
	o := model.ObservedOrder{ID: b.rec.Order.ID, Spec: b.rec.Order.Spec}
	switch {
	case b.kept != nil:
		o.Phase = facts.PhaseInstalled
	case b.rec.Phase == order.PhaseArmed:
		o.Phase = facts.PhaseArmed
	case b.rec.Phase == order.PhaseRefused || b.rec.Phase == order.PhaseFailed:
		o.Phase = facts.PhaseFailed
	case b.rec.Phase != order.PhaseInstalled && p.f.clock.Now().Sub(b.rec.Updated) >= ops.SilenceLimit:
		o.Phase = facts.PhaseStalled
	default:
		o.Phase = facts.PhaseStarted
	}
	return o, nil
}

func (p installs) Watch(ctx context.Context, n model.Node, after int) (order.Status, int, error) {
	began := p.f.clock.Now()
	for {
		late := p.f.clock.Now().Sub(began) >= newsTime
		p.f.mu.Lock()
		b, err := p.blade(ctx, n)
		if err == nil && b.rec == nil {
			err = fmt.Errorf("%s has no order", n.Path)
		}
		if err != nil || late || b.version != after {
			defer p.f.mu.Unlock()
			if err != nil {
				return order.Status{}, after, err
			}
			return b.rec.Status(), b.version, nil
		}
		p.f.mu.Unlock()
		if err := p.f.clock.Sleep(ctx, lookTime); err != nil {
			return order.Status{}, after, err
		}
	}
}

func (p installs) Keep(ctx context.Context, n model.Node, result order.Installed) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b := p.f.blades[n.Path]
	b.kept, b.known, b.unseen = &result, result.Nonce, true
	return errors.Join(ctx.Err(), b.reply("keep"))
}

type boots struct{ f *Rack }

func (p boots) Answered(ctx context.Context, n model.Node) error {
	_, err := p.Cold(ctx, n)
	return err
}

func (p boots) Cold(ctx context.Context, n model.Node) (bool, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b := p.f.blades[n.Path]
	was := b.unseen
	b.unseen = false
	return was, ctx.Err()
}
