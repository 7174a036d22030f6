package rack

import (
	"context"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
)

type hosts struct{ f *Rack }

// answers reports whether a host can be reached under the keys that its install reported.
func (b *blade) answers() bool {
	return b.up && b.known != "" && b.known == b.installed.Nonce && b.fault != HostSilent
}

func (p hosts) Observe(ctx context.Context, n model.Node) (model.ObservedHost, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b := p.f.blades[n.Path]
	if !b.answers() {
		return model.ObservedHost{Error: "connection refused"}, ctx.Err()
	}
	h := model.ObservedHost{Reachable: true, Release: "trixie", Slot: b.installed.Slot, BootID: fmt.Sprintf("%s-%d", b.node.Name, b.boots), Image: b.installed.Image, Config: b.installed.Config,
		OVS: b.ovs, Libvirt: b.libvirt, Files: b.files, Disks: b.disks, Migration: b.move}
	if b.fault == Unsound && b.def != (slot{}) && b.runs() != b.def {
		h.Libvirt = ""
	}
	if b.fault == Mute {
		h.Libvirt = ""
	}
	if b.fault == HostOther {
		h.Image = model.DigestBytes([]byte("other"))
	}
	return h, ctx.Err()
}

func (p hosts) EnsureFiles(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) { b.files = facts.FilesKept })
}

// Tamper lets somebody change a file of a host.
func (f *Rack) Tamper(n model.Path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blades[n].files = "/etc/motd (content)"
}

func (p hosts) EnsureBridges(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) { b.ovs = append([]model.Bridge{{Name: "br-int"}}, facts.Bridges(p.f.desired, n)...) })
}

func (p hosts) EnsureHypervisor(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) { b.libvirt = "11.3.0" })
}

// haltTime is what a host takes to shut itself down.
const haltTime = 10 * time.Second

func (p hosts) Shutdown(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) {
		if b.fault == Stubborn {
			return
		}
		p.f.stop(b)
		p.f.after(b, haltTime, func() { b.power = model.PowerOff })
	})
}

func (p hosts) EnsureStorage(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) { b.disks = facts.Disks(p.f.desired, n) })
}

func (p hosts) EnsureMigration(ctx context.Context, n model.Node) error {
	return p.alter(ctx, n, func(b *blade) {
		if a, ok := facts.Migration(p.f.desired, n); ok {
			b.move = a.String()
		}
	})
}

func (p hosts) alter(ctx context.Context, n model.Node, do func(*blade)) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b := p.f.blades[n.Path]
	if !b.answers() {
		return fmt.Errorf("%s does not answer", n.Path)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	do(b)
	return b.reply("change the host")
}

type vms struct{ f *Rack }

func (p vms) Observe(ctx context.Context, vm model.VM) (model.ObservedVM, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if !p.f.blades[vm.Node].answers() {
		return model.ObservedVM{}, fmt.Errorf("%s does not answer", vm.Node)
	}
	return p.f.vms[vm.Name], ctx.Err()
}

func (p vms) Ensure(ctx context.Context, vm model.VM, spec model.Digest) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b := p.f.blades[vm.Node]
	if !b.answers() || b.libvirt == "" {
		return fmt.Errorf("%s: libvirt of %s does not answer", vm.Name, vm.Node)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.f.vms[vm.Name] = model.ObservedVM{Name: vm.Name, Node: vm.Node, State: stateRunning, Spec: spec, OnDrain: vm.OnDrain}
	return b.reply("define the machine")
}
