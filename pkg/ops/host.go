package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// pollEvery is the pause between two looks at a host that is starting; it grows to pollAtMost.
const (
	pollEvery  = 2 * time.Second
	pollAtMost = 10 * time.Second
)

// hostVerify waits until the host answers under the key that its installer reported, and runs what was laid down.
func hostVerify(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the host to answer over SSH"})
	want := facts.HostSpec(model.Digest(op.Args["image"]), model.Digest(op.Args["config"]))
	h, err := poll(ctx, func() (model.ObservedHost, error) {
		h, err := w.Hosts.Observe(ctx, n)
		if err != nil {
			return h, backoff.Permanent(err)
		}
		if !h.Reachable {
			report(plan.Progress{Waiting: "the host to answer over SSH: " + h.Error})
			return h, fmt.Errorf("%s does not answer over SSH: %s; look at its console (nuboctl bmc console %s)", n.Path, h.Error, n.Name)
		}
		return h, nil
	})
	if err != nil {
		return err
	}
	if got := facts.HostSpec(h.Image, h.Config); got != want {
		return fmt.Errorf("%s runs image %s with configuration %s, not image %s with configuration %s; it has booted something else than what was laid down",
			n.Path, h.Image.Short(), h.Config.Short(), model.Digest(op.Args["image"]).Short(), model.Digest(op.Args["config"]).Short())
	}
	report(plan.Progress{Text: fmt.Sprintf("%s, kernel %s, slot %s", h.Release, h.Kernel, h.Slot)})
	return nil
}

func ovsEnsure(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "Open vSwitch"})
	return w.Hosts.EnsureBridges(ctx, n)
}

func kvmEnsure(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "libvirt"})
	return w.Hosts.EnsureHypervisor(ctx, n)
}

func vmEnsure(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	vm, err := w.vm(op.Target)
	if err != nil {
		return err
	}
	var spec model.Digest
	for _, f := range op.Post {
		if f.Attr == plan.AttrVM {
			spec = model.Digest(f.Value)
		}
	}
	report(plan.Progress{Waiting: "the virtual machine to run"})
	return w.VMs.Ensure(ctx, vm, spec)
}

// poll tries until try succeeds, fails for good, or ctx ends; then the error tells that and what the last try came to.
func poll[T any](ctx context.Context, try func() (T, error)) (T, error) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = pollEvery, pollAtMost
	var last error
	got, err := backoff.Retry(ctx, try, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, _ time.Duration) { last = err }))
	if err != nil && last != nil && context.Cause(ctx) != nil && !errors.Is(err, last) {
		err = fmt.Errorf("%w; %w", last, err)
	}
	return got, err
}
