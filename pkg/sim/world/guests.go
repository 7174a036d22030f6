package world

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/vtime"
)

// migration is a virtual machine on its way. It goes on whether or not anybody waits for it.
type migration struct {
	vm, from, to int32
	left         float64 // MiB
	rate         float64 // MiB/s
	fails        bool    // when it has copied everything
	err          error
	signals      []*vtime.Signal
}

// How migrations behave. A machine that writes to its memory faster than is copied is slowed down by the hypervisor, to a fifth of the speed at worst.
const (
	nicMiBs    = 1100.0 // of a host whose card nobody describes
	settleTime = 2.0    // seconds of a migration beside copying
	slowest    = 0.2
)

func (w *World) enter(v, host int32) {
	h := &w.Truth.Hosts[host]
	h.Guests = append(h.Guests, v)
	w.Truth.VMs[v].Host = host
}

func (w *World) leave(v int32) {
	h := &w.Truth.Hosts[w.Truth.VMs[v].Host]
	i := slices.Index(h.Guests, v)
	h.Guests[i] = h.Guests[len(h.Guests)-1]
	h.Guests = h.Guests[:len(h.Guests)-1]
}

// claim takes (or, with -1, gives back) what a virtual machine needs on a host.
func (w *World) claim(vm *VM, host, cells int32, sign int64) {
	s, h := &w.Truth.Fleet.Shapes[vm.Shape], &w.Truth.Hosts[host]
	if s.Cells == 0 {
		h.VCPUs += sign * s.VCPUs
		h.MemoryMiB += sign * s.MemoryMiB
		return
	}
	part := share(s)
	for c := range h.Cells {
		if cells&(1<<c) != 0 {
			h.Cells[c].CPUs += sign * part.CPUs
			h.Cells[c].HugeMiB += sign * part.HugeMiB
		}
	}
}

// fits reports whether a host has room for a shape, and in which cells.
func (w *World) fits(shape, host int32) (cells int32, ok bool) {
	s, h, all := &w.Truth.Fleet.Shapes[shape], &w.Truth.Hosts[host], &w.Truth.Fleet.Hosts[host]
	if s.Cells == 0 {
		return 0, h.VCPUs+s.VCPUs <= all.VCPUs && h.MemoryMiB+s.MemoryMiB <= all.MemoryMiB
	}
	part, n := share(s), 0
	for c := range h.Cells {
		if n < s.Cells && h.Cells[c].CPUs+part.CPUs <= all.Cells[c].CPUs && h.Cells[c].HugeMiB+part.HugeMiB <= all.Cells[c].HugeMiB {
			cells |= 1 << c
			n++
		}
	}
	return cells, n == s.Cells
}

type guests struct{ w *World }

// List implements ops.Guests.
func (g guests) List(ctx context.Context, n model.Node) ([]ops.Guest, error) {
	_, h, err := g.w.reach(ctx, n)
	if err != nil {
		return nil, err
	}
	out := make([]ops.Guest, 0, len(h.Guests))
	for _, v := range h.Guests {
		vm := &g.w.Truth.VMs[v]
		out = append(out, ops.Guest{Name: vm.Name, DirtyMiBs: g.w.Truth.Fleet.Shapes[vm.Shape].DirtyMiBs, Fixed: vm.Fixed, Consent: vm.Consent, Held: vm.State == Held})
	}
	return out, nil
}

var errAborted = errors.New("migration was aborted, and the machine goes on where it was")

// Migrate implements ops.Guests.
func (g guests) Migrate(ctx context.Context, name string, from, to model.Node, report func(plan.Progress)) error {
	w := g.w
	src, _, err := w.reach(ctx, from)
	if err != nil {
		return err
	}
	dst, err := w.host(to)
	if err != nil {
		return err
	}
	v := w.byName[name]
	vm := &w.Truth.VMs[v]
	if vm.State != Running || vm.Host != src {
		return nil // it has gone already, and the drain looks again
	}
	m := vm.moving
	if m == nil {
		if m, err = w.begin(v, dst); err != nil {
			return err
		}
	}
	report(plan.Progress{Text: "memory", Total: int64(m.left) << 20})
	var s vtime.Signal
	m.signals = append(m.signals, &s)
	if err := s.Wait(ctx, w.Time); err != nil {
		return err
	}
	return errors.Join(m.err, w.reply(src))
}

// begin starts a migration. The authority promises the room before anything moves.
func (w *World) begin(v, to int32) (*migration, error) {
	vm, h := &w.Truth.VMs[v], &w.Truth.Hosts[to]
	cells, ok := w.fits(vm.Shape, to)
	switch {
	case vm.Fixed && !w.opt.Careless:
		return nil, fmt.Errorf("%s cannot be migrated", vm.Name)
	case h.Cordon.After(w.Time.Now()) && !w.opt.Careless:
		return nil, fmt.Errorf("%s is cordoned: %w", w.Truth.Fleet.Hosts[to].Path, ops.ErrNoRoom)
	case h.Cut && !w.opt.Careless:
		return nil, fmt.Errorf("%s: its QEMU does not reach the pools of the machine's disks: timed out", w.Truth.Fleet.Hosts[to].Path)
	case h.island != w.Truth.Hosts[vm.Host].island && !w.opt.Careless:
		return nil, fmt.Errorf("%s does not reach %s: no route to host", w.Truth.Fleet.Hosts[vm.Host].Path, w.Truth.Fleet.Hosts[to].Path)
	case !h.Up:
		return nil, fmt.Errorf("%s is down: %w", w.Truth.Fleet.Hosts[to].Path, ops.ErrNoRoom)
	case !ok && !w.opt.Careless:
		return nil, fmt.Errorf("%s is full: %w", w.Truth.Fleet.Hosts[to].Path, ops.ErrNoRoom)
	}
	s := &w.Truth.Fleet.Shapes[vm.Shape]
	m := &migration{vm: v, from: vm.Host, to: to, left: float64(s.MemoryMiB), fails: w.chance(w.opt.Faults.Migration) || w.broken[vm.Host] == rack.Immovable}
	vm.moving = m
	w.claim(vm, to, cells, 1)
	if s.Cells > 0 {
		vm.Cells |= cells << 16 // kept apart until it has arrived
	}
	w.advance()
	w.moves = append(w.moves, m)
	w.schedule()
	return m, nil
}

// advance lets every migration copy until now.
func (w *World) advance() {
	seconds := (w.Time.Since() - w.moved).Seconds()
	w.moved = w.Time.Since()
	for _, m := range w.moves {
		m.left -= m.rate * seconds
	}
}

// schedule shares cards and links fairly among the migrations that cross them, and waits for the first that is done.
func (w *World) schedule() {
	if w.turn++; len(w.moves) == 0 {
		return
	}
	on := map[int32]int{} // card: host; link: -1-link
	for _, m := range w.moves {
		w.crossed(m, func(k int32, _ float64) { on[k]++ })
	}
	first := math.Inf(1)
	for _, m := range w.moves {
		m.rate = math.Inf(1)
		w.crossed(m, func(k int32, speed float64) { m.rate = min(m.rate, speed/float64(on[k])) })
		dirty := w.Truth.Fleet.Shapes[w.Truth.VMs[m.vm].Shape].DirtyMiBs
		m.rate = max(m.rate-dirty, m.rate*slowest)
		first = min(first, m.left/m.rate)
	}
	turn := w.turn
	w.Time.After(time.Duration((max(first, 0)+0.001)*float64(time.Second)), func() {
		if w.turn == turn {
			w.arrivals()
		}
	})
}

func (w *World) crossed(m *migration, each func(key int32, speed float64)) {
	for _, h := range [2]int32{m.from, m.to} {
		speed := float64(w.Truth.Fleet.Hosts[h].MiBs)
		if speed == 0 {
			speed = nicMiBs
		}
		each(h, speed)
	}
	for _, l := range w.links[m.from] {
		if !slices.Contains(w.links[m.to], l) {
			each(-1-l, float64(w.Truth.Fleet.Links[l].MiBs))
		}
	}
	for _, l := range w.links[m.to] {
		if !slices.Contains(w.links[m.from], l) {
			each(-1-l, float64(w.Truth.Fleet.Links[l].MiBs))
		}
	}
}

// arrivals ends the migrations that have copied everything.
func (w *World) arrivals() {
	w.advance()
	var done []*migration
	w.moves = slices.DeleteFunc(w.moves, func(m *migration) bool {
		if m.left <= m.rate*0.002 {
			done = append(done, m)
			return true
		}
		return false
	})
	for _, m := range done {
		w.Time.After(time.Duration(settleTime*float64(time.Second)), func() { w.settle(m) })
	}
	w.schedule()
}

// settle switches a machine over, or leaves it where it was.
func (w *World) settle(m *migration) {
	vm := &w.Truth.VMs[m.vm]
	if vm.moving != m {
		return
	}
	if m.fails {
		w.end(m, errAborted)
		return
	}
	was, cells := vm.Cells&0xffff, vm.Cells>>16
	w.claim(vm, m.from, was, -1)
	w.leave(m.vm)
	vm.Cells, vm.moving = cells, nil
	w.enter(m.vm, m.to)
	w.tell(Act{Kind: Arrived, Host: m.to, From: m.from, VM: m.vm, Ours: true})
	m.finish(w, nil)
}

// end gives a migration up.
func (w *World) end(m *migration, err error) {
	vm := &w.Truth.VMs[m.vm]
	w.claim(vm, m.to, vm.Cells>>16, -1)
	vm.Cells &= 0xffff
	vm.moving = nil
	m.finish(w, err)
}

func (m *migration) finish(w *World, err error) {
	m.err = err
	for _, s := range m.signals {
		s.Fire(w.Time)
	}
}

// abort gives up what moves from or to a host.
func (w *World) abort(host int32) {
	w.advance()
	for i := range w.Truth.VMs {
		if m := w.Truth.VMs[i].moving; m != nil && (m.from == host || m.to == host) {
			w.moves = slices.DeleteFunc(w.moves, func(x *migration) bool { return x == m })
			w.end(m, errAborted)
		}
	}
	w.schedule()
}

// Hold implements ops.Guests.
func (g guests) Hold(ctx context.Context, name string, n model.Node) error {
	if vm := &g.w.Truth.VMs[g.w.byName[name]]; !vm.Consent && !g.w.opt.Careless {
		return fmt.Errorf("the owner of %s does not consent to its being stopped", name)
	}
	return g.change(ctx, name, n, func(v int32, vm *VM) {
		if vm.State == Running {
			vm.State = Held
			g.w.tell(Act{Kind: Stopped, Host: vm.Host, VM: v, Ours: true})
		}
	})
}

// Release implements ops.Guests.
func (g guests) Release(ctx context.Context, name string, n model.Node) error {
	return g.change(ctx, name, n, func(_ int32, vm *VM) {
		if vm.State == Held {
			vm.State = Running
		}
	})
}

func (g guests) change(ctx context.Context, name string, n model.Node, do func(int32, *VM)) error {
	i, _, err := g.w.reach(ctx, n)
	if err != nil {
		return err
	}
	v := g.w.byName[name]
	do(v, &g.w.Truth.VMs[v])
	return g.w.reply(i)
}
