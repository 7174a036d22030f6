package rack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// slot is what a root file system holds.
type slot struct{ image, config model.Digest }

func (s slot) spec() model.Digest {
	if s == (slot{}) {
		return ""
	}
	return facts.HostSpec(s.image, s.config)
}

func (b *blade) runs() slot { return slot{b.installed.Image, b.installed.Config} }

// swap makes the idle slot the running one.
func (b *blade) swap() {
	was := b.runs()
	if b.def == (slot{}) {
		b.def = was
	}
	b.installed.Image, b.installed.Config = b.idle.image, b.idle.config
	b.installed.Slot = map[string]string{"a": "b"}[b.installed.Slot]
	if b.installed.Slot == "" {
		b.installed.Slot = "a"
	}
	b.idle = was
}

// Ready makes every machine an installed host that runs what the inventory says, with its virtual machines and its Ceph daemons.
func (f *Rack) Ready() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.desired.Nodes {
		b := f.blades[n.Path]
		f.orders++
		b.installed = order.Installed{Nonce: fmt.Sprintf("%032x", f.orders), Slot: "a", Image: n.Image.Digest, Config: n.Config, HostKeys: []string{"ssh-ed25519 AAAA"}}
		kept := b.installed
		if a, ok := facts.Migration(f.desired, n); ok {
			b.move = a.String()
		}
		b.disks = facts.Disks(f.desired, n)
		b.daemons = nil
		for _, role := range n.Roles {
			if slices.Contains(facts.CephRoles(), role) {
				b.daemons = append(b.daemons, role)
			}
		}
		f.settled[n.Path.Region()] = true
		b.known = kept.Nonce
		b.kept, b.up, b.ceph, b.libvirt, b.ovs = &kept, true, true, "11.3.0", append([]model.Bridge{{Name: "br-int"}}, facts.Bridges(f.desired, n)...)
	}
	for _, vm := range f.desired.VMs {
		f.vms[vm.Name] = model.ObservedVM{Name: vm.Name, Node: vm.Node, State: stateRunning, Spec: facts.VMSpec(vm, vm.Image.Digest), OnDrain: vm.OnDrain}
	}
}

// Place lets somebody start a virtual machine on a node, whatever we think of it.
func (f *Rack) Place(vm model.ObservedVM) {
	f.mu.Lock()
	defer f.mu.Unlock()
	vm.State = stateRunning
	f.vms[vm.Name] = vm
}

// The states of virtual machines. A held one was stopped by us.
const (
	stateRunning = "running"
	stateHeld    = "held"
	stateOff     = "shutoff"
)

// host finds a blade whose host answers.
func (f *Rack) host(ctx context.Context, n model.Node) (*blade, error) {
	b := f.blades[n.Path]
	if b == nil || !b.answers() {
		return nil, fmt.Errorf("%s does not answer", n.Path)
	}
	return b, ctx.Err()
}

// at looks at a host.
func at[T any](ctx context.Context, f *Rack, n model.Node, look func(*blade) T) (out T, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.host(ctx, n)
	if err != nil {
		return out, err
	}
	return look(b), nil
}

// change acts on a host, unless somebody says no.
func (f *Rack) change(ctx context.Context, n model.Node, what string, do func(*blade) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.host(ctx, n)
	if err != nil {
		return err
	}
	if err := do(b); err != nil {
		return err
	}
	return b.reply(what)
}

type slots struct{ f *Rack }

func (p slots) State(ctx context.Context, n model.Node) (ops.SlotState, error) {
	return at(ctx, p.f, n, func(b *blade) ops.SlotState {
		def := b.def
		if def == (slot{}) {
			def = b.runs()
		}
		return ops.SlotState{Idle: b.idle.spec(), Default: def.spec()}
	})
}

// writeTime is what laying an image down takes.
const writeTime = 90 * time.Second

func (p slots) Write(ctx context.Context, n model.Node, spec model.Digest, report func(plan.Progress)) error {
	new := slot{n.Image.Digest, n.Config}
	if new.spec() != spec {
		return fmt.Errorf("%s: the slot would hold %s, not %s", n.Path, new.spec().Short(), spec.Short())
	}
	if _, err := at(ctx, p.f, n, func(b *blade) bool { b.idle = slot{}; return true }); err != nil {
		return err
	}
	report(plan.Progress{Text: "image", Done: 1, Total: 2})
	if err := p.f.clock.Sleep(ctx, writeTime); err != nil {
		return err
	}
	return p.f.change(ctx, n, "write the slot", func(b *blade) error { b.idle = new; return nil })
}

func (p slots) BootOnce(ctx context.Context, n model.Node) error {
	return p.f.change(ctx, n, "restart", func(b *blade) error {
		b.once = true
		p.f.stop(b)
		p.f.start(b)
		return nil
	})
}

func (p slots) Abandon(ctx context.Context, n model.Node) error {
	return p.f.change(ctx, n, "restart", func(b *blade) error {
		b.once = false
		p.f.stop(b)
		p.f.start(b)
		return nil
	})
}

func (p slots) Commit(ctx context.Context, n model.Node) error {
	return p.f.change(ctx, n, "set the default slot", func(b *blade) error { b.def = b.runs(); return nil })
}

type cordons struct{ f *Rack }

func (p cordons) Cordon(ctx context.Context, n model.Node) (ops.Mark, error) {
	return at(ctx, p.f, n, func(b *blade) ops.Mark {
		if !b.cordon.Is(p.f.clock.Now()) {
			return ops.Mark{}
		}
		return b.cordon
	})
}

func (p cordons) SetCordon(ctx context.Context, n model.Node, m ops.Mark) error {
	return p.f.change(ctx, n, "set the cordon", func(b *blade) error { b.cordon = m; return nil })
}

// until is a mark's end, or zero once it is past.
func until(t time.Time, clock ops.Clock) time.Time {
	if clock.Now().After(t) {
		return time.Time{}
	}
	return t
}

type guests struct{ f *Rack }

func (p guests) List(ctx context.Context, n model.Node) ([]ops.Guest, error) {
	return at(ctx, p.f, n, func(*blade) (out []ops.Guest) {
		for _, name := range slices.Sorted(maps.Keys(p.f.vms)) {
			if vm := p.f.vms[name]; vm.Node == n.Path && (vm.State == stateRunning || vm.State == stateHeld) {
				out = append(out, ops.Guest{Name: name, DirtyMiBs: vm.DirtyMiBs, Fixed: vm.Fixed != "", Consent: vm.OnDrain == "stop_start", Held: vm.State == stateHeld})
			}
		}
		return out
	})
}

// migrateTime is what a migration takes.
const migrateTime = 20 * time.Second

func (p guests) Migrate(ctx context.Context, vm string, from, to model.Node, report func(plan.Progress)) error {
	arrived, err := at(ctx, p.f, to, func(b *blade) bool { return p.f.vms[vm].Node == to.Path })
	if err != nil || arrived {
		return err
	}
	err = p.f.change(ctx, to, "take the machine", func(b *blade) error {
		if b.cordon.Is(p.f.clock.Now()) {
			return fmt.Errorf("%s is cordoned: %w", to.Path, ops.ErrNoRoom)
		}
		if v := p.f.vms[vm]; v.Fixed != "" {
			return fmt.Errorf("%s cannot be migrated: %s", vm, v.Fixed)
		}
		return nil
	})
	if err != nil {
		return err
	}
	report(plan.Progress{Text: "memory", Done: 1, Total: 2})
	if err := p.f.clock.Sleep(ctx, migrateTime); err != nil {
		return err
	}
	return p.f.change(ctx, from, "migrate", func(b *blade) error {
		v := p.f.vms[vm]
		if b.fault == Immovable || v.Node != from.Path {
			return fmt.Errorf("migration of %s was aborted: it does not converge", vm)
		}
		v.Node = to.Path
		p.f.vms[vm] = v
		return nil
	})
}

func (p guests) Hold(ctx context.Context, vm string, n model.Node) error {
	return p.f.change(ctx, n, "stop the machine", func(*blade) error {
		v := p.f.vms[vm]
		if v.OnDrain != "stop_start" {
			return fmt.Errorf("the owner of %s does not consent to its being stopped", vm)
		}
		v.State = stateHeld
		p.f.vms[vm] = v
		return nil
	})
}

func (p guests) Release(ctx context.Context, vm string, n model.Node) error {
	return p.f.change(ctx, n, "start the machine", func(*blade) error {
		v := p.f.vms[vm]
		v.State = stateRunning
		p.f.vms[vm] = v
		return nil
	})
}

type storage struct{ f *Rack }

// Observe shows one pool of two copies and one placement group for each pair of neighbours, each blade one OSD.
func (p storage) Observe(ctx context.Context, n model.Node) (ops.Ceph, error) {
	return at(ctx, p.f, n, func(b *blade) ops.Ceph {
		c := ops.Ceph{Noout: until(b.noout, p.f.clock), Daemons: map[bool]string{true: plan.Up, false: plan.Stopped}[b.ceph],
			Pools: []ops.CephPool{{Name: "vms", Size: 2, MinSize: 1}}}
		for i, other := range p.f.desired.Nodes {
			if other.Path == n.Path {
				c.OSDs, c.Data = []int32{int32(i)}, facts.OSDData(map[int]string{i: b.data})
				if b.fault == OtherData {
					c.Data = facts.OSDData(map[int]string{i: "another"})
				}
			}
		}
		count := int32(len(p.f.desired.Nodes))
		osd := func(i int32) int32 {
			if o := p.f.blades[p.f.desired.Nodes[i].Path]; !o.ceph || (b.fault == Degraded && o != b) {
				return -1
			}
			return i
		}
		for i := range count {
			c.Pools[0].Acting = append(c.Pools[0].Acting, osd(i), osd((i+1)%count))
		}
		return c
	})
}

func (p storage) SetNoout(ctx context.Context, n model.Node, until time.Time) error {
	return p.f.change(ctx, n, "set noout", func(b *blade) error { b.noout = until; return nil })
}

func (p storage) OKToStop(ctx context.Context, n model.Node) error {
	_, err := at(ctx, p.f, n, func(*blade) bool { return true })
	return err
}

func (p storage) SetDaemons(ctx context.Context, n model.Node, run bool) error {
	return p.f.change(ctx, n, "switch the daemons", func(b *blade) error {
		if run {
			p.f.after(b, daemonTime, func() { b.ceph = true })
		} else {
			b.ceph = false
		}
		return nil
	})
}

type batches struct{ f *Rack }

// batch finds the blade of a batch: there is one batch for each.
func (p batches) batch(ctx context.Context, i int) (*blade, error) {
	if i >= len(p.f.desired.Nodes) {
		return nil, fmt.Errorf("batch %d: %w", i+1, ops.ErrNotInInventory)
	}
	return p.f.blades[p.f.desired.Nodes[i].Path], ctx.Err()
}

func (p batches) Certify(ctx context.Context, i int) error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b, err := p.batch(ctx, i)
	if err == nil && b.fault == Unsafe {
		err = &ops.HaltedError{What: fmt.Sprintf("certify batch %d", i+1), Why: []string{"memory is short by 2 GiB"}}
	}
	return err
}

// Destination sends everything to the next blade; a blade that is alone has none.
func (p batches) Destination(ctx context.Context, n model.Node, name string, again bool) (to model.Path, over func(error), err error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	nodes := p.f.desired.Nodes
	i := slices.IndexFunc(nodes, func(m model.Node) bool { return m.Path == n.Path })
	if vm := p.f.vms[name]; len(nodes) > 1 && vm.Node == n.Path && (again || vm.Spec != "") { // what is not ours came after the batch was certified
		to = nodes[(i+1)%len(nodes)].Path
	}
	return to, func(error) {}, ctx.Err()
}

func (p batches) Stoppable(ctx context.Context, n model.Node) error { return ctx.Err() }

func (p batches) Health(ctx context.Context, i int) ([]string, error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	b, err := p.batch(ctx, i)
	if err == nil && b.fault == Alarming {
		return []string{"HEALTH_WARN: 3 placement groups degraded"}, nil
	}
	return nil, err
}
