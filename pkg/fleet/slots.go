package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/slot"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Slots implements ops.Slots over SSH: the agents of running hosts.
type Slots struct {
	Links *Links
	Epoch int64 // goes with every change
	// Order signs an order for the writing of a node's idle slot, and sees that the relay at the returned address has the image (provision.SlotOrder).
	Order func(ctx context.Context, n model.Node, spec model.Digest, report func(text string, done, total int64)) (envelope []byte, relay string, err error)
	// RateMiBs limits what each host fetches while it writes, MiB/s; 0: DefaultSlotRate.
	RateMiBs int
}

// DefaultSlotRate leaves nearly all of a 10 Gbit/s card to virtual machines, in MiB/s. An image of 300 MiB takes six seconds at that rate.
const DefaultSlotRate = 50

// trial is how long a host that was booted into its idle slot may run before it must have been declared good: as long as noout holds, in which its OSDs
// have to be back. After that it restarts into its default slot by itself.
const trial = 30 * time.Minute

func (s *Slots) agent(n model.Node) slot.Agent {
	return slot.Agent{Host: remote.Fenced{Host: s.Links.To(n), Epoch: s.Epoch}, Epoch: s.Epoch}
}

// status looks at a host's slots.
func (s *Slots) status(ctx context.Context, n model.Node) (slot.Status, error) {
	link := s.Links.To(n)
	st, err := slot.Agent{Host: link}.Status(ctx)
	if errors.Is(err, remote.ErrUnreachable) {
		link.Drop() // a host that was restarted is reached anew
	}
	if err != nil {
		return st, fmt.Errorf("%s: %w", n.Path, err)
	}
	return st, nil
}

// State tells what the slots hold, by the digests of image and configuration; one that is not complete holds nothing.
func (s *Slots) State(ctx context.Context, n model.Node) (ops.SlotState, error) {
	st, err := s.status(ctx, n)
	if err != nil {
		return ops.SlotState{}, err
	}
	return ops.SlotState{Idle: holds(st, st.Idle()), Default: holds(st, st.Default)}, nil
}

func holds(st slot.Status, name string) model.Digest {
	one, ok := st.Slot(name)
	if !ok || (one.Condition != slot.Written && one.Condition != slot.Good) {
		return ""
	}
	return facts.HostSpec(one.Image, one.Config)
}

// followPatience is how long a host may not answer while its slot is being written, which goes on without us.
const followPatience = 10 * time.Minute

// Write lays the node's image and configuration down in the idle slot. The host goes on by itself when the connection is lost, and is found at it again.
func (s *Slots) Write(ctx context.Context, n model.Node, spec model.Digest, report func(plan.Progress)) error {
	st, err := s.status(ctx, n)
	if err != nil {
		return err
	}
	if holds(st, st.Idle()) == spec {
		return nil
	}
	envelope, relay, err := s.Order(ctx, n, spec, func(text string, done, total int64) { report(plan.Progress{Text: text, Done: done, Total: total}) })
	if err != nil {
		return err
	}
	job := slot.Job{Slot: st.Idle(), Relay: relay, Envelope: envelope, Spec: spec, RateMiBs: cmp.Or(s.RateMiBs, DefaultSlotRate)}
	if err := s.agent(n).Begin(ctx, job); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if st, err = s.follow(ctx, n, report); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if got := holds(st, st.Idle()); got != spec {
		return fmt.Errorf("%s: the idle slot was written, and holds %s, not %s", n.Path, cmp.Or(got.Short(), "nothing complete"), spec.Short())
	}
	return nil
}

// follow watches the writing until it ends, over as many connections as that takes.
func (s *Slots) follow(ctx context.Context, n model.Node, report func(plan.Progress)) (slot.Status, error) {
	heard, link := time.Now(), s.Links.To(n) // it only looks, and must not keep a newer holder waiting
	return backoff.Retry(ctx, func() (slot.Status, error) {
		st, err := slot.Agent{Host: link}.Follow(ctx, func(step slot.Step) {
			heard = time.Now()
			report(progressOf(step))
		})
		if errors.Is(err, remote.ErrUnreachable) && time.Since(heard) < followPatience {
			link.Drop()
			return st, err
		}
		if err != nil {
			err = backoff.Permanent(err)
		}
		return st, err
	}, backoff.WithMaxElapsedTime(0))
}

func progressOf(step slot.Step) plan.Progress {
	p := plan.Progress{Text: step.Step, Done: step.Done, Total: step.Total}
	if step.Text != "" {
		p.Text += ": " + step.Text
	}
	return p
}

// BootOnce restarts the host into its idle slot, once. It returns when the restart is ordered. The hardware watchdog is armed by the host itself, before it
// goes down and again by the new slot before its systemd runs.
func (s *Slots) BootOnce(ctx context.Context, n model.Node) error {
	a := s.agent(n)
	st, err := s.status(ctx, n)
	if err != nil {
		return err
	}
	if holds(st, st.Idle()) == "" {
		return fmt.Errorf("%s: slot %s holds nothing complete, so it is not booted", n.Path, st.Idle())
	}
	if _, err := a.Try(ctx, st.Idle(), trial); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if err := slot.Reboot(ctx, a.Host); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// Abandon restarts a host that runs a slot on trial into its default slot.
func (s *Slots) Abandon(ctx context.Context, n model.Node) error {
	a := s.agent(n)
	if _, err := a.Cancel(ctx); err != nil { // nothing is booted once from here on
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if err := slot.Reboot(ctx, a.Host); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// Commit makes the running slot the default.
func (s *Slots) Commit(ctx context.Context, n model.Node) error {
	if _, err := s.agent(n).Good(ctx); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}
