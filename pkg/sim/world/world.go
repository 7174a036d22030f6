package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/vtime"
)

// Options are what a world is made of.
type Options struct {
	Seed   uint64
	Faults Faults
	// Watch is told what happens; it may be nil.
	Watch Watcher
	// Packages is what hosts get, in place of another image; the zero value: they get the image.
	Packages model.Snapshot
	// Careless takes the authority's and Ceph's own refusals away, to see whether ours are worth anything.
	Careless bool
}

// World is a simulated data centre. It is not safe for concurrent use: everything in it happens in the goroutine that lets its time pass.
type World struct {
	Time  *vtime.Time
	Truth Truth

	opt     Options
	rng     *rand.Rand
	rack    *rack.Rack
	desired model.Desired // after the rollout
	index   map[model.Path]int32
	byName  map[string]int32
	moves   []*migration
	links   [][]int32 // by host: the links it is behind
	moved   time.Duration
	turn    int // counts changes of the set of migrations
	tenants int
	cause   bool // what goes down now does so by a fault
	broken  map[int32]rack.Fault
	islands int  // how often hosts were cut off
	over    bool // nothing happens by itself any more
	// declared says that the inventory tells what every host does in its cluster, so that clusters can be asked.
	declared bool
}

// The images of a rollout.
var (
	imageOld = model.ImageRef{Name: "debian", Digest: model.DigestBytes([]byte("debian-13"))}
	imageNew = model.ImageRef{Name: "debian", Digest: model.DigestBytes([]byte("debian-14"))}
)

// New makes a world in which the fleet is as it says: hosts run, those that need no change run the new image already, and those that are down are dead
// for good.
func New(f plan.Fleet, opt Options) *World {
	before := model.Desired{Cloud: model.Cloud{Name: "simulated"}}
	after := before
	for i, h := range f.Hosts {
		n := model.Node{Path: h.Path, Name: h.Path.Name(), Image: imageNew, Config: model.DigestBytes([]byte(h.Path)), Serial: h.Path.Name(), RootDevice: model.DeviceHints{Serial: "root-*"},
			NICs: []model.NIC{{Name: "eth0", MAC: fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff), Network: "provision"}}}
		after.Nodes = append(after.Nodes, n)
		if (h.Change || h.Down) && !opt.inPlace() {
			n.Image = imageOld
		}
		before.Nodes = append(before.Nodes, n)
	}
	after.Rollout.Snapshot = opt.Packages
	w := assemble(f, before, opt)
	w.desired = after
	if slices.ContainsFunc(f.Clusters, func(c plan.Cluster) bool { return c.Require > 0 }) {
		w.declare()
	}
	w.rack.Ready()
	for i, h := range f.Hosts {
		if h.Down {
			w.kill(int32(i))
		}
	}
	w.disturb()
	return w
}

// assemble makes a world of machines with empty disks, which believes them to be what the fleet says.
func assemble(f plan.Fleet, d model.Desired, opt Options) *World {
	w := &World{Time: vtime.New(), opt: opt, rng: rand.New(rand.NewPCG(opt.Seed, 0x73696d)), desired: d, index: make(map[model.Path]int32, len(f.Hosts)),
		byName: make(map[string]int32, len(f.VMs.Names)), links: make([][]int32, len(f.Hosts)), broken: map[int32]rack.Fault{}}
	for i, h := range f.Hosts {
		w.index[h.Path] = int32(i)
	}
	w.rack = rack.New(d, w.Time)
	w.rack.Booted, w.rack.Down, w.rack.Firmware = w.booted, w.down, w.firmware
	w.rack.Installed = w.installed
	w.rack.Installer = func(model.Path) rack.Fault {
		if !w.chance(opt.Faults.Install) {
			return rack.Sound
		}
		return []rack.Fault{rack.Failed, rack.Silent}[w.rng.IntN(2)]
	}
	w.rack.Written = func(n model.Path, again bool) {
		w.tell(Act{Kind: Began, Host: w.index[n], Ours: true, Again: again})
	}
	w.build(f)
	return w
}

// Bare makes a world of the inventory's machines, powered on and with empty disks: what an install begins with.
func Bare(d model.Desired, opt Options) *World {
	var f plan.Fleet
	for _, n := range d.Nodes {
		f.Hosts = append(f.Hosts, plan.Host{Path: n.Path, Change: true, Class: -1, ClassAfter: -1})
	}
	w := assemble(f, d, opt)
	for i := range w.Truth.Hosts {
		w.Truth.Hosts[i].Up, w.Truth.Hosts[i].Daemons = false, false
	}
	w.disturb()
	return w
}

// Break makes what belongs to a host fail from now on; rack.Sound mends it.
func (w *World) Break(n model.Path, f rack.Fault) {
	w.rack.Break(n, f)
	if w.broken[w.index[n]] = f; f == rack.Sound {
		delete(w.broken, w.index[n])
	}
}

func (w *World) build(f plan.Fleet) {
	t := &w.Truth
	f.Clusters = slices.Clone(f.Clusters)
	t.Fleet, t.Switch, t.Ceph = f, w.opt.touches(plan.SwitchPackage), w.opt.touches(plan.CephPackage)
	t.Hosts, t.PGsOf = make([]Host, len(f.Hosts)), make([][]int32, len(f.Hosts))
	for i, h := range f.Hosts {
		t.Hosts[i] = Host{Up: true, New: !h.Change && !h.Down, Daemons: true, Cells: make([]plan.Cell, len(h.Cells))}
	}
	t.VMs = make([]VM, len(f.VMs.Names), len(f.VMs.Names)+64)
	for i, name := range f.VMs.Names {
		v := VM{Name: name, Host: f.VMs.Host[i], Shape: f.VMs.Shape[i]}
		if len(f.VMs.Cells) > 0 {
			v.Cells = f.VMs.Cells[i]
		}
		t.VMs[i] = v
		w.byName[name] = int32(i)
		w.enter(int32(i), v.Host)
		w.claim(&t.VMs[i], v.Host, v.Cells, 1)
	}
	for _, i := range f.VMs.Fixed {
		t.VMs[i].Fixed = true
	}
	for _, i := range f.VMs.Consent {
		t.VMs[i].Consent = true
	}
	for c := range f.Clusters {
		for p := range f.Clusters[c].Pools {
			w.pool(int32(c), int32(p))
		}
	}
	for i, l := range f.Links {
		for _, h := range l.Hosts {
			w.links[h] = append(w.links[h], int32(i))
		}
	}
}

func (w *World) pool(c, p int32) {
	pool := &w.Truth.Fleet.Clusters[c].Pools[p]
	acting := slices.Clone([]int32(pool.Acting))
	for i := 0; i+pool.Size <= len(acting); i += pool.Size {
		pg := PG{Cluster: c, Pool: p, Hosts: acting[i : i+pool.Size]}
		for _, h := range pg.Hosts {
			if h >= 0 {
				w.Truth.PGsOf[h] = append(w.Truth.PGsOf[h], int32(len(w.Truth.PGs)))
			}
		}
		w.Truth.PGs = append(w.Truth.PGs, pg)
	}
}

// Ports are what ops reach; the certificate's is somebody else's.
func (w *World) Ports(b ops.Batches) ops.World {
	r := w.rack.World()
	r.Desired, r.Machines, r.Guests, r.Slots, r.Cordons, r.Storage, r.Batches = w.desired, machines{w, r.Machines}, guests{w}, slots{w, r.Slots}, cordons{w}, storage{w}, b
	r.Hosts, r.Installs, r.Packages = hosts{w, r.Hosts}, installs{w, r.Installs}, packages{w, r.Packages}
	if w.declared {
		r.Clusters = clusters{w, r.Clusters}
	}
	return r
}

// Desired is the inventory after the rollout.
func (w *World) Desired() model.Desired { return w.desired }

// Spec is what a host runs before the rollout, and after it: the same where it gets packages.
func (w *World) Spec(host int) (was, want model.Digest) {
	config := w.desired.Nodes[host].Config
	if was, want = facts.HostSpec(imageOld.Digest, config), facts.HostSpec(imageNew.Digest, config); w.opt.inPlace() {
		was = want
	}
	return was, want
}

// Watch has every act from now on told to somebody else.
func (w *World) Watch(by Watcher) { w.opt.Watch = by }

// Quiet ends all that happens by itself: no fault, tenant or operator from now on.
func (w *World) Quiet() { w.over = true }

func (w *World) tell(a Act) {
	if w.opt.Watch != nil {
		w.opt.Watch.Act(&w.Truth, w.Time.Now(), a)
	}
}

func (w *World) host(n model.Node) (int32, error) {
	i, ok := w.index[n.Path]
	if !ok {
		return -1, fmt.Errorf("%s: %w", n.Path, ops.ErrNotInInventory)
	}
	return i, nil
}

// daemonTime is from a host that answers to its Ceph daemons.
const daemonTime = 30 * time.Second

// booted takes in that a host is up again.
func (w *World) booted(path model.Path, spec model.Digest) {
	i := w.index[path]
	h := &w.Truth.Hosts[i]
	_, want := w.Spec(int(i))
	if h.Up, h.Ours = true, false; !w.opt.inPlace() { // packages stay in the slot that boots
		h.New = spec == want
	}
	w.tell(Act{Kind: HostUp, Host: i})
	for _, v := range h.Guests {
		if vm := &w.Truth.VMs[v]; vm.State == Lost {
			vm.State = Running
		}
	}
	w.Time.After(daemonTime, func() {
		if h.Up {
			w.daemonsUp(i)
		}
	})
}

// down takes in that a host goes out of service.
func (w *World) down(path model.Path) {
	i := w.index[path]
	h := &w.Truth.Hosts[i]
	ours := !w.cause
	h.Up, h.Ours = false, ours
	w.daemonsDown(i, ours)
	w.tell(Act{Kind: HostDown, Host: i, Ours: ours})
	for _, v := range h.Guests {
		if vm := &w.Truth.VMs[v]; vm.State == Running {
			vm.State = Lost
			w.tell(Act{Kind: Stopped, Host: i, VM: v, Ours: ours})
		}
	}
	w.abort(i)
	w.rescueLater(i)
}

// rescueTime is how long a host is down until somebody goes and looks.
const rescueTime = 2 * time.Hour

func (w *World) rescueLater(i int32) {
	w.Time.After(rescueTime, func() {
		h := &w.Truth.Hosts[i]
		if h.Up || h.Gone {
			return
		}
		if !h.Dead {
			w.rack.Rescue(w.Truth.Fleet.Hosts[i].Path)
		}
		w.rescueLater(i)
	})
}
