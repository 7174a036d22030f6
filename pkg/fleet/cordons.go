package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Cordons implements ops.Cordons for hosts under libvirt's authority: a mark that the host itself keeps and ends, and a hook by which its libvirt refuses
// virtual machines while it is valid.
type Cordons struct {
	Links *Links
	Epoch int64 // goes with every change
	// Owner is who sets marks, for those who find one: "alice@ws-3".
	Owner string
	Now   func() time.Time
}

// Cordon tells of the mark on a host.
func (c *Cordons) Cordon(ctx context.Context, n model.Node) (ops.Mark, error) {
	mark, err := kvm.ReadCordon(ctx, c.Links.To(n))
	if err != nil {
		return ops.Mark{}, fmt.Errorf("%s: %w", n.Path, err)
	}
	return ops.Mark{Until: ends(mark, c.Now()), Drained: mark.Drain}, nil
}

// ends is when a mark ends by a clock of ours; zero when there is none. Hosts are asked how long it lasts, so that their clocks need not be ours.
func ends(mark kvm.Cordon, now time.Time) time.Time {
	if mark.Left <= 0 {
		return time.Time{}
	}
	return now.Add(mark.Left).Round(time.Second)
}

// SetCordon sets the mark, or removes it when its end is zero.
func (c *Cordons) SetCordon(ctx context.Context, n model.Node, m ops.Mark) error {
	link := remote.Fenced{Host: c.Links.To(n), Epoch: c.Epoch}
	err := error(nil)
	switch {
	case m.Until.IsZero():
		err = kvm.RemoveCordon(ctx, link)
	default:
		if facts.Carries(n) {
			err = kvm.EnsureHook(ctx, link)
		}
		if err == nil {
			err = kvm.SetCordon(ctx, link, kvm.Cordon{Left: m.Until.Sub(c.Now()), Owner: c.Owner, Drain: m.Drained})
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// cordoned is an error that wraps ops.ErrNoRoom while a host takes no virtual machines.
func cordoned(ctx context.Context, h remote.Host, n model.Node) error {
	mark, err := kvm.ReadCordon(ctx, h)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if mark.Left > 0 {
		return fmt.Errorf("%s: %w: %w by %s, for %s yet", n.Path, ops.ErrNoRoom, kvm.ErrCordoned, mark.Owner, mark.Left)
	}
	return nil
}
