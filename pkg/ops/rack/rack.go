// Package rack plays blades in memory: firmware, BMC, relay, ramdisk, two slots and a host, each as slow as it is. It goes on by itself whether or not
// anybody watches, in whatever time its clock keeps. The tests of ops use it as their world; the simulated data centre builds on it.
package rack

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
	lookTime     = time.Second      // between two looks of Watch
	daemonTime   = 30 * time.Second // from a host that answers to its Ceph daemons
)

// Rack is a world in memory.
type Rack struct {
	desired model.Desired
	clock   ops.Clock
	// Booted is told of every host that has come up and what it runs, and Down of every one that goes down, before anything else happens. Firmware is
	// asked at every power-on and restart how long it takes until the boot loader, and what goes wrong: Hung, FallsBack or Sound. They may be nil, are
	// called with the rack locked, and must not call it.
	Booted   func(n model.Path, spec model.Digest)
	Down     func(n model.Path)
	Firmware func(n model.Path) (time.Duration, Fault)
	// Installed is told of every host whose packages have been installed to the end.
	Installed func(n model.Path)
	// Installer is asked what goes wrong with a ramdisk that has begun to write: Failed, Silent or Sound. It may be nil, as the others.
	Installer func(n model.Path) Fault
	// Written is told when an install begins to write a root disk; again: one that carries its nonce already.
	Written func(n model.Path, again bool)

	mu     sync.Mutex
	blades map[model.Path]*blade
	vms    map[string]model.ObservedVM
	orders int
	// settled are the regions whose pools and keys are as declared.
	settled map[model.Path]bool
	// requires are the releases of Ceph below which no OSD of a region starts. All daemons are of nowRuns.
	requires map[model.Path]int
}

// blade is one machine, what is on its disk, and the order for it.
type blade struct {
	node  model.Node
	fault Fault
	dead  bool
	power model.Power
	boot  string
	life  int // counts what ends all that was going on: power off and on, a reboot

	rec     *order.Record // as the relay keeps it
	version int
	bootID  string
	kept    *order.Installed // as the state keeps it
	known   string           // the nonce of the install whose host keys the state has; an order that is only armed changes nothing of that
	disk    string           // the nonce that the root disk carries
	unseen  bool             // laid down, and not seen to answer
	begun   int

	installed order.Installed // the running slot
	idle      slot
	def       slot // empty: the only one that there is
	once      bool // the next boot is from the idle slot
	boots     int  // of hosts
	up        bool
	cordon    ops.Mark
	ceph      bool
	noout     time.Time
	data      string // of the OSD on its other disk
	ovs       []model.Bridge
	libvirt   string
	files     string       // as observed; empty: nobody looked
	daemons   []model.Role // of Ceph
	out       time.Time    // when its OSD was marked out; zero: it is in
	purged    bool         // its OSD is no more
	wiped     bool         // nothing is on its OSD's disk
	packages  ops.PackageState
	unpacks   bool   // packages are being installed
	disks     string // pools that libvirt has a key to
	move      string // address for migration
}

// New makes a rack in which every machine of the inventory is powered on, runs nothing of ours and has an empty root disk.
func New(d model.Desired, clock ops.Clock) *Rack {
	f := &Rack{desired: d, clock: clock, blades: make(map[model.Path]*blade, len(d.Nodes)), vms: map[string]model.ObservedVM{}, settled: map[model.Path]bool{}, requires: map[model.Path]int{}}
	for _, n := range d.Nodes {
		f.blades[n.Path] = &blade{node: n, power: model.PowerOn, data: n.Name}
	}
	return f
}

// World is what ops reach; it is the same world each time.
func (f *Rack) World() ops.World {
	return ops.World{Desired: f.desired, Machines: machines{f}, Installs: installs{f}, FirstBoots: boots{f}, Hosts: hosts{f}, Hypervisors: hosts{f}, VMs: vms{f},
		Clock: f.clock, Guests: guests{f}, Slots: slots{f}, Packages: packages{f}, Cordons: cordons{f}, Storage: storage{f}, Clusters: clusters{f}, Departures: departures{f}, Batches: batches{f}}
}

// Break makes what belongs to a node fail from now on; Sound mends it.
func (f *Rack) Break(n model.Path, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blades[n].fault = fault
}

// Kill takes a machine out of the world: whatever it did ends, and nothing but Revive starts it again.
func (f *Rack) Kill(n model.Path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.blades[n]
	b.dead = true
	f.stop(b)
}

// Revive mends a machine, which boots if its power is on.
func (f *Rack) Revive(n model.Path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.blades[n]
	b.dead = false
	if b.power == model.PowerOn {
		f.start(b)
	}
}

// Rescue is somebody who presses the power button of a machine that does nothing.
func (f *Rack) Rescue(n model.Path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.blades[n]
	if b.up {
		return
	}
	if b.installed.Nonce == "" && b.rec != nil { // its install came to no end: they carry it out
		f.layDown(b)
	}
	b.power = model.PowerOn
	f.start(b)
}

// Begun counts how often an install began to write the node's root disk.
func (f *Rack) Begun(n model.Path) int {
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
func (f *Rack) after(b *blade, d time.Duration, then func()) {
	life := b.life
	f.clock.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if b.life == life {
			then()
		}
	})
}

// news is for those who watch orders.
func (f *Rack) news(b *blade) { b.version++ }

// start is what firmware does.
func (f *Rack) start(b *blade) {
	b.life++
	once := b.boot
	if b.fault != Keeper {
		b.boot = ""
	}
	takes, fault := firmwareTime, b.fault
	if f.Firmware != nil {
		if takes, fault = f.Firmware(b.node.Path); fault == Sound {
			fault = b.fault
		}
	}
	if fault == Hung || b.dead {
		return
	}
	f.after(b, takes, func() {
		if once != "" && b.fault != RelayLost && b.rec != nil && b.rec.Boots(f.clock.Now()) {
			f.ramdisk(b)
			return
		}
		f.disk(b, fault)
	})
}

// disk boots what is installed: the idle slot when it is asked to, once, and otherwise the default.
func (f *Rack) disk(b *blade, fault Fault) {
	if b.installed.Nonce == "" {
		return
	}
	once := b.once && fault != FallsBack && b.idle != slot{}
	b.once = false
	if once || (b.def != slot{} && b.def != b.runs()) {
		b.swap()
	}
	b.up = true
	b.boots++
	if f.Booted != nil {
		f.Booted(b.node.Path, b.runs().spec())
	}
	f.after(b, daemonTime, func() { b.ceph = true })
}

// stop ends everything on a machine.
func (f *Rack) stop(b *blade) {
	b.life++
	if b.up && f.Down != nil {
		f.Down(b.node.Path)
	}
	b.up, b.ceph, b.unpacks = false, false, false
	for name, vm := range f.vms {
		if vm.Node == b.node.Path && vm.State == stateRunning {
			vm.State = stateOff
			f.vms[name] = vm
		}
	}
}
