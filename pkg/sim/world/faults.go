package world

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Faults are what goes wrong. Probabilities are of each try, rates of an hour.
type Faults struct {
	Death     float64       `json:"death"`     // rate of each host: it dies, and comes back after 20 minutes to 2 hours
	Disk      float64       `json:"disk"`      // rate of each host: one of its OSDs fails
	Split     float64       `json:"split"`     // rate of the fleet: a zone cannot be reached from the workstation for 2 to 40 minutes
	Cut       float64       `json:"cut"`       // rate of the fleet: hosts do not reach the others, see cut.go
	Hang      float64       `json:"hang"`      // a restart hangs; two of three come back by their watchdog
	FallBack  float64       `json:"fall_back"` // a new slot does not come up the first time
	Install   float64       `json:"install"`   // writing a slot fails
	Migration float64       `json:"migration"` // a migration is aborted at its end
	Reply     float64       `json:"reply"`     // the reply is lost after the work was done
	Silent    float64       `json:"silent"`    // a host does not answer once
	BMC       float64       `json:"bmc"`       // a BMC refuses or lies
	Slow      time.Duration `json:"slow"`      // a BMC takes up to this long
	Operator  float64       `json:"operator"`  // rate of the fleet: somebody interferes
	Tenant    float64       `json:"tenant"`    // rate of each host: a virtual machine comes or goes
	Kill      float64       `json:"kill"`      // of each journal record: nuboctl is killed there
}

// Profiles are the faults by name.
var Profiles = map[string]Faults{
	"none": {Slow: time.Second},
	"default": {Death: 1.0 / 1000, Disk: 1.0 / 1000, Split: 1.0 / 20, Hang: 0.02, FallBack: 0.01, Install: 0.01, Migration: 0.01, Reply: 0.005, Silent: 0.001, BMC: 0.05, Slow: 20 * time.Second,
		Operator: 0.2, Tenant: 0.05, Kill: 0.002},
	"harsh": {Death: 1.0 / 200, Disk: 1.0 / 200, Split: 1.0 / 4, Hang: 0.08, FallBack: 0.05, Install: 0.05, Migration: 0.05, Reply: 0.02, Silent: 0.005, BMC: 0.2, Slow: time.Minute,
		Operator: 2, Tenant: 0.3, Kill: 0.01},
	// The usual ones, in a data centre whose networks split between its hosts.
	"splits": {Death: 1.0 / 1000, Disk: 1.0 / 1000, Cut: 1.0 / 3, Hang: 0.02, FallBack: 0.01, Install: 0.01, Migration: 0.01, Reply: 0.005, Silent: 0.001, BMC: 0.05, Slow: 20 * time.Second,
		Operator: 0.2, Tenant: 0.05, Kill: 0.002},
}

// Chance is true with a probability, by the world's own dice.
func (w *World) chance(p float64) bool { return p > 0 && !w.over && w.rng.Float64() < p }

var errReply = errors.New("connection reset by peer")

// reply is what the caller of a write that took effect on a host is told; -1 where the rack has told what is broken.
func (w *World) reply(host int32) error {
	if w.broken[host] == rack.LostReply {
		delete(w.broken, host)
		return errReply
	}
	if w.broken[host] == rack.HostSilent || w.chance(w.opt.Faults.Reply) {
		return errReply
	}
	return nil
}

func (f Faults) silent(w *World) bool { return w.chance(f.Silent) }

// firmware says how a restart goes.
func (w *World) firmware(model.Path) (time.Duration, rack.Fault) {
	takes := 90*time.Second + time.Duration(w.rng.Int64N(int64(3*time.Minute)))
	switch {
	case w.chance(w.opt.Faults.Hang):
		if w.rng.IntN(3) == 0 {
			return 0, rack.Hung
		}
		return 8 * time.Minute, rack.FallsBack // the watchdog's time, and the boot after it
	case w.chance(w.opt.Faults.FallBack):
		return 2 * takes, rack.FallsBack
	}
	return takes, rack.Sound
}

// every lets something happen at random times, so often in an hour.
func (w *World) every(rate float64, do func()) {
	if rate <= 0 {
		return
	}
	hours := -math.Log(1-w.rng.Float64()) / rate
	w.Time.After(time.Duration(hours*float64(time.Hour)), func() {
		if !w.over {
			do()
			w.every(rate, do)
		}
	})
}

// disturb starts what happens by itself.
func (w *World) disturb() {
	f, hosts := w.opt.Faults, float64(len(w.Truth.Hosts))
	w.every(f.Death*hosts, w.die)
	w.every(f.Disk*hosts, func() { w.LoseOSD(w.rng.IntN(len(w.Truth.Hosts))) })
	w.every(f.Split, w.split)
	w.every(f.Cut, w.cutOff)
	w.every(f.Operator, w.interfere)
	w.every(f.Tenant*hosts, w.tenant)
}

func (w *World) kill(i int32) {
	h := &w.Truth.Hosts[i]
	h.Dead, w.cause = true, true
	w.rack.Kill(w.Truth.Fleet.Hosts[i].Path)
	w.cause = false
}

// Lose lets a fault take a host for good.
func (w *World) Lose(host int) { w.kill(int32(host)) }

// die takes a host, and gives it back later.
func (w *World) die() {
	i := int32(w.rng.IntN(len(w.Truth.Hosts)))
	if w.Truth.Hosts[i].Dead {
		return
	}
	w.kill(i)
	w.Time.After(20*time.Minute+time.Duration(w.rng.Int64N(int64(100*time.Minute))), func() {
		w.Truth.Hosts[i].Dead = false
		w.rack.Revive(w.Truth.Fleet.Hosts[i].Path)
	})
}

// split cuts a zone off from the workstation for a while, hosts and BMCs. What runs there goes on, and so does Ceph.
func (w *World) split() {
	zone := w.Truth.Fleet.Hosts[w.rng.IntN(len(w.Truth.Hosts))].Path.Zone()
	if len(w.broken) > 0 {
		return // one at a time
	}
	for _, h := range w.Truth.Fleet.Hosts {
		if h.Path.Zone() == zone {
			w.Break(h.Path, rack.HostSilent)
		}
	}
	w.Time.After(2*time.Minute+time.Duration(w.rng.Int64N(int64(38*time.Minute))), func() {
		for _, h := range w.Truth.Fleet.Hosts {
			if h.Path.Zone() == zone {
				w.Break(h.Path, rack.Sound)
			}
		}
	})
}

// interfere is an operator who does not know of the rollout, or does not care.
func (w *World) interfere() {
	t := &w.Truth
	var cordoned, noout []int32
	for i := range t.Hosts {
		if t.Hosts[i].Cordon.After(w.Time.Now()) && t.Hosts[i].Up && t.Class(int32(i)) >= 0 {
			cordoned = append(cordoned, int32(i))
		}
		if t.Hosts[i].Noout.After(w.Time.Now()) {
			noout = append(noout, int32(i))
		}
	}
	switch n := w.rng.IntN(4); {
	case n == 0 && len(cordoned) > 0:
		w.start(cordoned[w.rng.IntN(len(cordoned))], w.rng.IntN(len(t.Fleet.Shapes)))
	case n == 1 && len(noout) > 0:
		t.Hosts[noout[w.rng.IntN(len(noout))]].Noout = time.Time{}
	case n == 2 && len(cordoned) > 0:
		t.Hosts[cordoned[w.rng.IntN(len(cordoned))]].Cordon = time.Time{}
	default:
		h := &t.Hosts[w.rng.IntN(len(t.Hosts))]
		h.Foreign = true
		w.Time.After(30*time.Minute+time.Duration(w.rng.Int64N(int64(time.Hour))), func() { h.Foreign = false })
	}
}

// tenant starts a virtual machine somewhere, or deletes one.
func (w *World) tenant() {
	t := &w.Truth
	if len(t.VMs) > 0 && w.rng.IntN(2) == 0 {
		w.remove(int32(w.rng.IntN(len(t.VMs))))
		return
	}
	for range 4 { // the scheduler's tries
		i := int32(w.rng.IntN(len(t.Hosts)))
		h := &t.Hosts[i]
		if h.Up && !h.Foreign && !h.Cordon.After(w.Time.Now()) && w.start(i, w.rng.IntN(len(t.Fleet.Shapes))) {
			return
		}
	}
}

func (w *World) remove(v int32) {
	vm := &w.Truth.VMs[v]
	if vm.State != Running || vm.moving != nil {
		return
	}
	vm.State = Gone
	w.claim(vm, vm.Host, vm.Cells, -1)
	w.leave(v)
}

// start puts a new virtual machine on a host that can run it and has room. Pinned ones are ordered in advance, and do not come by chance.
func (w *World) start(host int32, shape int) bool {
	t := &w.Truth
	s, class := &t.Fleet.Shapes[shape], t.Class(host)
	if s.Cells > 0 || class < 0 || !suits(&t.Fleet.Classes[class], s) {
		return false
	}
	if _, ok := w.fits(int32(shape), host); !ok {
		return false
	}
	w.tenants++
	v := int32(len(t.VMs))
	t.VMs = append(t.VMs, VM{Name: fmt.Sprintf("zz-%06d", w.tenants), Shape: int32(shape)}) // behind all names of the fleet
	w.byName[t.VMs[v].Name] = v
	w.enter(v, host)
	w.claim(&t.VMs[v], host, 0, 1)
	w.tell(Act{Kind: Arrived, Host: host, From: -1, VM: v})
	return true
}

func suits(c *plan.Class, s *plan.Shape) bool {
	if !slices.Contains(c.CPUs, s.CPU) || !slices.Contains(c.Machines, s.Machine) {
		return false
	}
	return !slices.ContainsFunc(s.Networks, func(n string) bool { return !slices.Contains(c.Networks, n) })
}
