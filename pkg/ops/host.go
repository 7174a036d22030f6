package ops

import (
	"context"
	"fmt"
	"time"

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
	h, err := w.answers(ctx, n, report)
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

// answers waits until a host answers over SSH.
func (w World) answers(ctx context.Context, n model.Node, report func(plan.Progress)) (h model.ObservedHost, err error) {
	err = w.poll(ctx, func() (bool, error) {
		if h, err = w.Hosts.Observe(ctx, n); err != nil || h.Reachable {
			return true, err
		}
		report(plan.Progress{Waiting: "the host to answer over SSH: " + h.Error})
		return false, fmt.Errorf("%s does not answer over SSH: %s; look at its console (nuboctl bmc console %s)", n.Path, h.Error, n.Name)
	})
	return h, err
}

// poll tries until try is final or ctx ends; then the error tells that and what the last try came to.
func (w World) poll(ctx context.Context, try func() (final bool, err error)) error {
	for pause := pollEvery; ; pause = min(pause*3/2, pollAtMost) {
		final, err := try()
		if final {
			return err
		}
		if ended := w.Clock.Sleep(ctx, pause); ended != nil {
			return fmt.Errorf("%w; %w", err, ended)
		}
	}
}
