package ops

import (
	"context"
	"errors"
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
	h, err := w.firstAnswer(ctx, n, report)
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

func hostConfig(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "the host to take its files"})
	return w.Hosts.EnsureFiles(ctx, n)
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

func kvmStorage(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "a monitor of its Ceph cluster"})
	return w.Hypervisors.EnsureStorage(ctx, n)
}

func kvmMigrate(ctx context.Context, w World, op plan.Op, report func(plan.Progress)) error {
	n, err := w.node(op.Target)
	if err != nil {
		return err
	}
	report(plan.Progress{Waiting: "libvirt to listen for other hosts"})
	return w.Hypervisors.EnsureMigration(ctx, n)
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

// coldAfter is how long a host that was just laid down may take to answer before its machine is started cold, once. Servers with a lot of memory
// spend ten minutes in their firmware.
const coldAfter = 12 * time.Minute

// firstAnswer waits for a host that was laid down. One that has never answered is started cold, once: a warm restart leaves devices as the ramdisk
// had them, and a machine that hangs there carries nothing that could be lost. A host that has answered before is never touched.
func (w World) firstAnswer(ctx context.Context, n model.Node, report func(plan.Progress)) (model.ObservedHost, error) {
	h, err := w.answers(ctx, n, w.Clock.Now().Add(coldAfter), report)
	if err == nil || h.Reachable || ctx.Err() != nil {
		return h, err
	}
	did, coldErr := w.startCold(ctx, n, report)
	if coldErr != nil {
		return h, errors.Join(err, coldErr)
	}
	if h, err = w.answers(ctx, n, time.Time{}, report); err != nil && did {
		err = fmt.Errorf("%w; its machine was switched off and on once, after %s", err, coldAfter)
	}
	return h, err
}

// startCold switches a machine off and on, if that may be done now. It reports whether it was.
func (w World) startCold(ctx context.Context, n model.Node, report func(plan.Progress)) (bool, error) {
	if w.FirstBoots == nil {
		return false, nil
	}
	if may, err := w.FirstBoots.Cold(ctx, n); err != nil || !may {
		return false, err
	}
	report(plan.Progress{Waiting: fmt.Sprintf("the machine to be off and on: its host has not answered for %s since it was laid down", coldAfter)})
	return true, w.powerCycle(ctx, n, func(h model.ObservedHost) bool { return h.Reachable })
}

// observeHost looks at a host, and records that it has answered.
func (w World) observeHost(ctx context.Context, n model.Node) (model.ObservedHost, error) {
	h, err := w.Hosts.Observe(ctx, n)
	if err == nil && h.Reachable && w.FirstBoots != nil {
		err = w.FirstBoots.Answered(ctx, n)
	}
	return h, err
}

// answers waits until a host answers over SSH; at until, when it is set, the wait is over.
func (w World) answers(ctx context.Context, n model.Node, until time.Time, report func(plan.Progress)) (h model.ObservedHost, err error) {
	err = w.poll(ctx, func() (bool, error) {
		if h, err = w.observeHost(ctx, n); err != nil || h.Reachable {
			return true, err
		}
		report(plan.Progress{Waiting: "the host to answer over SSH: " + h.Error})
		over := !until.IsZero() && !w.Clock.Now().Before(until)
		return over, fmt.Errorf("%s does not answer over SSH: %s; look at its console (nuboctl bmc console %s)", n.Path, h.Error, n.Name)
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
