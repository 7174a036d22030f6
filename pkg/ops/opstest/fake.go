package opstest

import (
	"fmt"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// How long things take in the fake world.
const (
	firmwareTime = 40 * time.Second // from power to a boot loader, and from there to a host that answers
	stepTime     = 10 * time.Second // between two reports of the ramdisk
	newsTime     = 25 * time.Second // that Watch waits
)

// Fake is a world in memory. It goes on by itself, by timers: a ramdisk installs whether or not anybody watches.
type Fake struct {
	desired model.Desired

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change of an order
	blades  map[model.Path]*blade
	vms     map[string]model.ObservedVM
	orders  int
}

var _ Lab = (*Fake)(nil)

// blade is one machine, what is on its disk, and the order for it.
type blade struct {
	node  model.Node
	fault Fault
	power model.Power
	boot  string
	life  int // counts what ends all that was going on: power off and on, a reboot

	rec     *order.Record // as the relay keeps it
	version int
	bootID  string
	kept    *order.Installed // as the state keeps it
	disk    string           // the nonce that the root disk carries
	begun   int

	installed order.Installed
	up        bool
	ovs       []model.Bridge
	libvirt   string
}

// NewFake is a New.
func NewFake(d model.Desired) Lab {
	f := &Fake{desired: d, changed: make(chan struct{}), blades: map[model.Path]*blade{}, vms: map[string]model.ObservedVM{}}
	for _, n := range d.Nodes {
		f.blades[n.Path] = &blade{node: n, power: model.PowerOn}
	}
	return f
}

// World implements Lab.
func (f *Fake) World() ops.World {
	return ops.World{Desired: f.desired, Machines: machines{f}, Installs: installs{f}, Hosts: hosts{f}, VMs: vms{f}}
}

// Break implements Lab.
func (f *Fake) Break(n model.Path, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blades[n].fault = fault
}

// Begun implements Lab.
func (f *Fake) Begun(n model.Path) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.blades[n].begun
}

// reply is what the caller of a write that took effect is told.
func (b *blade) reply(what string) error {
	if b.fault != LostReply {
		return nil
	}
	b.fault = Sound
	return fmt.Errorf("%s: %s: connection reset by peer", b.node.Path, what)
}

// after lets something happen to a machine, unless its power or a reboot ends that before.
func (f *Fake) after(b *blade, d time.Duration, then func()) {
	life := b.life
	time.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if b.life == life {
			then()
		}
	})
}

// news wakes those who watch orders.
func (f *Fake) news(b *blade) {
	b.version++
	close(f.changed)
	f.changed = make(chan struct{})
}

// start is what firmware does.
func (f *Fake) start(b *blade) {
	b.life++
	once := b.boot
	b.boot = ""
	if b.fault == Hung {
		return
	}
	f.after(b, firmwareTime, func() {
		if once != "" && b.rec != nil && b.rec.Boots(time.Now()) {
			f.ramdisk(b)
			return
		}
		f.disk(b)
	})
}

// disk boots what is installed.
func (f *Fake) disk(b *blade) {
	if b.installed.Nonce != "" {
		b.up = true
	}
}

// stop ends everything on a machine.
func (f *Fake) stop(b *blade) {
	b.life++
	b.up = false
	for name, vm := range f.vms {
		if vm.Node == b.node.Path {
			vm.State = "shutoff"
			f.vms[name] = vm
		}
	}
}
