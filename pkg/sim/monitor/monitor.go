// Package monitor watches a simulated data centre and reports what must never happen. It knows neither planner nor verifier nor ops: it looks at what
// is true, at the moment of every change, and asks only whether an action of ours did harm. What a fault does is the fault's.
package monitor

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// The invariants, by what is watched.
const (
	Stopped  = "I8 no virtual machine is stopped without consent"
	Inactive = "I2 no placement group falls below min_size because of us"
	Complete = "C no placement group loses its last complete copies because of us"
	Quorum   = "I1 every quorum keeps its majority"
	Standby  = "I5 every service with standbys keeps a member, and they go one at a time"
	Capacity = "I3 no host runs more than it has room for"
	Suits    = "I3 every virtual machine finds what it needs where it is moved"
	Reach    = "I3 no virtual machine is moved to where its disks cannot be reached"
	Apart    = "I4 groups stay apart"
	Key      = "I9 what hosts and the rollout need does not go with what is rolled"
	Version  = "I7 no virtual machine moves to an older hypervisor"
	Release  = "I7 no OSD is newer than a monitor"
	Left     = "I7 no OSD is left behind by what its cluster requires"
	Zones    = "I6 zones never go together"
	Domain   = "I6 one failure domain at a time"
	Twice    = "no host that is changed is restarted again"
	Erased   = "no disk is written twice under one approval"
	Emptied  = "I8 no disk is written of a host that is not emptied"
	Back     = "I12 a way back exists until the new is proven, or the step says that there is none"
	Ready    = "I8 no order is out for a host that is not emptied"
	Flags    = "I10 every flag has an end, and is gone at the end"
)

// Violation is what happened against an invariant.
type Violation struct {
	Seed      uint64  `json:"seed"`
	Seconds   float64 `json:"time"` // of the simulation
	Invariant string  `json:"invariant"`
	Detail    string  `json:"detail"`
}

// The longest that a mark of ours may hold. Only a drain asks for the last.
const (
	longestNoout  = time.Hour
	longestCordon = 25 * time.Hour
	LongestDrain  = 31 * 24 * time.Hour
)

// most bounds what is kept of one simulation.
const most = 100

// Monitor is a world.Watcher.
type Monitor struct {
	Violations []Violation
	// Cordon is the longest that a cordon of ours may hold.
	Cordon time.Duration

	// OneWay tells whether a step about a host is marked as one that leaves no way back; nil: nobody asks.
	OneWay func(host model.Path) bool

	seed  uint64
	start time.Time
	apart map[int32][]int32 // virtual machine → the groups that it is in
	began map[int32]int     // host → how often its disk was begun to be written
}

// New makes the monitor of a simulation that begins at a time.
func New(seed uint64, start time.Time) *Monitor {
	return &Monitor{Cordon: longestCordon, seed: seed, start: start, began: map[int32]int{}}
}

func (m *Monitor) violated(now time.Time, invariant, format string, args ...any) {
	if len(m.Violations) < most {
		m.Violations = append(m.Violations, Violation{Seed: m.seed, Seconds: now.Sub(m.start).Seconds(), Invariant: invariant, Detail: fmt.Sprintf(format, args...)})
	}
}

// Act implements world.Watcher.
func (m *Monitor) Act(t *world.Truth, now time.Time, a world.Act) {
	switch a.Kind {
	case world.Stopped:
		m.stopped(t, now, a)
	case world.DaemonsDown:
		if a.Ours {
			if !t.Hosts[a.Host].Cut { // else nobody had anything of them any more
				m.groups(t, now, a.Host, false)
				m.copies(t, now, a.Host)
			}
			m.together(t, now, a.Host)
		}
	case world.HostDown:
		if a.Ours {
			m.groups(t, now, a.Host, true)
			m.together(t, now, a.Host)
		}
	case world.TooNew:
		m.violated(now, Release, "%s has Ceph %d and %s, with a monitor, %d", name(t, a.Host), t.Release(a.Host), name(t, a.From), t.Release(a.From))
	case world.TooOld:
		m.violated(now, Left, "%s has Ceph %d, and its cluster starts none below %d", name(t, a.Host), t.Release(a.Host), t.Required(a.Host))
	case world.Required:
		m.required(t, now, a.Host)
	case world.Restart:
		if t.Hosts[a.Host].New {
			m.violated(now, Twice, "%s runs the new slot, and is told to restart", name(t, a.Host))
		}
	case world.Packages:
		m.packages(t, now, a.Host)
	case world.Arrived:
		if a.From >= 0 {
			if t.Hosts[a.Host].Cut && !t.Hosts[a.From].Cut {
				m.violated(now, Reach, "%s from %s to %s", t.VMs[a.VM].Name, name(t, a.From), name(t, a.Host))
			}
			m.arrived(t, now, a)
		}
		m.room(t, now, a.Host)
	case world.NooutSet:
		m.flag(t, now, "noout", t.Hosts[a.Host].Noout, longestNoout, a.Host)
	case world.CordonSet:
		m.flag(t, now, "the cordon", t.Hosts[a.Host].Cordon, m.Cordon, a.Host)
	case world.OSDsGone:
		if n := len(t.PGsOf[a.Host]); a.Ours && n > 0 {
			m.violated(now, Complete, "%s: its OSDs are removed with copies of %d acting sets on them", name(t, a.Host), n)
		}
	case world.Left:
		m.left(t, now, a.Host)
	case world.Committed:
		m.committed(t, now, a.Host)
	case world.Armed:
		m.armed(t, now, a.Host)
	case world.Began:
		m.written(t, now, a.Host)
		if m.OneWay != nil && !m.OneWay(name(t, a.Host)) {
			m.violated(now, Back, "%s is laid down anew, and no step about it says that this is one-way", name(t, a.Host))
		}
		if a.Again {
			return
		}
		if m.began[a.Host]++; m.began[a.Host] > 1 {
			m.violated(now, Erased, "%s: %d times", name(t, a.Host), m.began[a.Host])
		}
	}
}

// armed looks at a host whose machine lays it down anew from now on when it boots from the network, for whatever reason: nothing runs on it any more.
func (m *Monitor) armed(t *world.Truth, now time.Time, h int32) {
	host := &t.Hosts[h]
	stores := len(t.PGsOf[h]) > 0 || slices.ContainsFunc(t.Fleet.Groups, func(g plan.Group) bool { return !world.OnHost(&g) && slices.Contains(g.Hosts, h) })
	if stores && host.Daemons {
		m.violated(now, Ready, "%s: its daemons run", name(t, h))
	}
	for _, v := range host.Guests {
		if vm := &t.VMs[v]; vm.State == world.Running {
			m.violated(now, Ready, "%s: %s runs there", name(t, h), vm.Name)
		}
	}
}

// written looks at a host whose root disk an installer begins to write: nothing runs on it, and it is not done already.
func (m *Monitor) written(t *world.Truth, now time.Time, h int32) {
	host := &t.Hosts[h]
	if host.New {
		m.violated(now, Twice, "%s runs what the rollout brings, and is laid down anew", name(t, h))
	}
	if host.Up || host.Daemons {
		m.violated(now, Emptied, "%s is in service (daemons %v) and its disk is written", name(t, h), host.Daemons)
	}
	for _, v := range host.Guests {
		if vm := &t.VMs[v]; vm.State != world.Held {
			m.violated(now, Emptied, "%s is on %s, whose disk is written", vm.Name, name(t, h))
		}
	}
}

// committed looks at a host that will not go back to its other slot by itself any more: it has to be up on the new one, with its daemons.
func (m *Monitor) committed(t *world.Truth, now time.Time, h int32) {
	if host := &t.Hosts[h]; host.New && t.Stores(h) && !host.Daemons {
		m.violated(now, Back, "%s gives its old slot up, and its daemons have not run on the new one", name(t, h))
	}
}

// packages looks at a host on which packages begin to be installed: nothing runs there of which they take the ground away, and the plan says that nothing takes them back.
func (m *Monitor) packages(t *world.Truth, now time.Time, h int32) {
	host := &t.Hosts[h]
	if t.Ceph && host.Daemons && slices.ContainsFunc(t.Fleet.Clusters, func(c plan.Cluster) bool { return slices.Contains(c.OSDHosts, h) }) {
		m.violated(now, Emptied, "the Ceph daemons of %s run while their packages change", name(t, h))
	}
	for _, v := range host.Guests {
		if vm := &t.VMs[v]; t.Switch && vm.State == world.Running && vm.Host == h {
			m.violated(now, Emptied, "%s is on %s, whose Open vSwitch restarts", vm.Name, name(t, h))
		}
	}
	if m.OneWay != nil && !m.OneWay(name(t, h)) {
		m.violated(now, Back, "%s gets packages, and no step about it says that this is one-way", name(t, h))
	}
}

func name(t *world.Truth, h int32) model.Path { return t.Fleet.Hosts[h].Path }

func (m *Monitor) stopped(t *world.Truth, now time.Time, a world.Act) {
	vm := &t.VMs[a.VM]
	if a.Ours && !(vm.State == world.Held && vm.Consent) {
		m.violated(now, Stopped, "%s on %s", vm.Name, name(t, a.Host))
	}
}

// groups looks at every group with a member on a host that we have just taken out of service: was it one too many? Gateways and key services
// go with the host, all others with its Ceph daemons.
func (m *Monitor) groups(t *world.Truth, now time.Time, h int32, host bool) {
	for i := range t.Fleet.Groups {
		g := &t.Fleet.Groups[i]
		if !slices.Contains(g.Hosts, h) || world.OnHost(g) != host {
			continue
		}
		up, ours, kind := 0, 0, Standby
		if g.Kind == plan.Key {
			kind = Key
		}
		for _, x := range g.Hosts {
			if t.Member(g, x) {
				up++
			} else if t.Hosts[x].Ours || t.Hosts[x].OursCeph {
				ours++
			}
		}
		switch {
		case g.Kind == plan.Quorum && 2*up <= len(g.Hosts) && 2*(up+1) > len(g.Hosts):
			m.violated(now, Quorum, "%s has %d of %d members without %s", g.Name, up, len(g.Hosts), name(t, h))
		case g.Kind != plan.Quorum && up == 0:
			m.violated(now, kind, "%s has none without %s", g.Name, name(t, h))
		case g.Kind != plan.Quorum && ours > 1:
			m.violated(now, kind, "%s: %d members are out of service because of us, %s the last", g.Name, ours, name(t, h))
		}
	}
}

// left looks at the groups of a region that a host has just left for good.
func (m *Monitor) left(t *world.Truth, now time.Time, h int32) {
	for i := range t.Fleet.Groups {
		g := &t.Fleet.Groups[i]
		if world.OnHost(g) || !name(t, h).Region().Contains(name(t, g.Hosts[0])) {
			continue
		}
		up := t.MembersUp(g)
		switch {
		case g.Kind == plan.Quorum && 2*up <= len(g.Hosts):
			m.violated(now, Quorum, "%s has %d of %d members after %s has left", g.Name, up, len(g.Hosts), name(t, h))
		case g.Kind != plan.Quorum && up == 0:
			m.violated(now, Standby, "%s has none after %s has left", g.Name, name(t, h))
		}
	}
}

// copies looks at every placement group with a copy on a host whose daemons we have just stopped.
func (m *Monitor) copies(t *world.Truth, now time.Time, h int32) {
	inactive, lost := 0, 0
	var pool string
	for _, k := range t.PGsOf[h] {
		pg := &t.PGs[k]
		if pg.Dead&(1<<slices.Index(pg.Hosts, h)) != 0 {
			continue // that copy was gone before
		}
		p := t.Pool(pg)
		serving, complete := t.Serving(pg)
		if serving < p.MinSize && serving+1 >= p.MinSize {
			inactive++
			pool = p.Name
		}
		if complete < p.Data {
			lost++
			pool = p.Name
		}
	}
	if inactive > 0 {
		m.violated(now, Inactive, "%d acting sets, of pool %s among others, without %s", inactive, pool, name(t, h))
	}
	if lost > 0 {
		m.violated(now, Complete, "%d acting sets, of pool %s among others, without %s", lost, pool, name(t, h))
	}
}

// together looks at all that is out of service because of us at once.
func (m *Monitor) together(t *world.Truth, now time.Time, h int32) {
	for c := range t.Fleet.Clusters {
		cluster := &t.Fleet.Clusters[c]
		if !slices.Contains(cluster.OSDHosts, h) {
			continue
		}
		here := world.Place(&t.Fleet.Hosts[h], cluster.FailureDomain)
		for _, x := range cluster.OSDHosts {
			if there := world.Place(&t.Fleet.Hosts[x], cluster.FailureDomain); t.Hosts[x].OursCeph && there != here {
				m.violated(now, Domain, "%s and %s are out of service", here, there)
				break
			}
		}
	}
	zone := name(t, h).Zone()
	for x := range t.Hosts {
		if (t.Hosts[x].Ours || t.Hosts[x].OursCeph) && name(t, int32(x)).Zone() != zone {
			m.violated(now, Zones, "%s and %s", zone, name(t, int32(x)).Zone())
			return
		}
	}
}

// arrived looks at a virtual machine that we have moved.
func (m *Monitor) arrived(t *world.Truth, now time.Time, a world.Act) {
	vm := &t.VMs[a.VM]
	from, to := t.Class(a.From), t.Class(a.Host)
	where := fmt.Sprintf("%s from %s to %s", vm.Name, name(t, a.From), name(t, a.Host))
	if to < 0 {
		m.violated(now, Suits, "%s, which runs no virtual machines", where)
		return
	}
	s, c := &t.Fleet.Shapes[vm.Shape], &t.Fleet.Classes[to]
	if from >= 0 && c.Version < t.Fleet.Classes[from].Version {
		m.violated(now, Version, "%s: version %d to %d", where, t.Fleet.Classes[from].Version, c.Version)
	}
	missing := slices.ContainsFunc(s.Networks, func(n string) bool { return !slices.Contains(c.Networks, n) })
	if missing || !slices.Contains(c.CPUs, s.CPU) || !slices.Contains(c.Machines, s.Machine) {
		m.violated(now, Suits, "%s", where)
	}
	if name(t, a.From).Zone() != name(t, a.Host).Zone() {
		m.violated(now, Zones, "%s: a virtual machine stays in its zone", where)
	}
	m.neighbours(t, now, a, where)
}

// neighbours looks at the groups of a virtual machine that has arrived.
func (m *Monitor) neighbours(t *world.Truth, now time.Time, a world.Act, where string) {
	if m.apart == nil {
		m.apart = map[int32][]int32{}
		for i, g := range t.Fleet.Apart {
			for _, v := range g.VMs {
				m.apart[v] = append(m.apart[v], int32(i))
			}
		}
	}
	for _, i := range m.apart[a.VM] {
		g := &t.Fleet.Apart[i]
		for _, v := range g.VMs {
			if v != a.VM && t.VMs[v].State != world.Gone &&
				world.Place(&t.Fleet.Hosts[t.VMs[v].Host], g.Level) == world.Place(&t.Fleet.Hosts[a.Host], g.Level) {
				m.violated(now, Apart, "%s: %s, of the same group %s, is there", where, t.VMs[v].Name, g.Name)
			}
		}
	}
}

// room counts what runs on a host, whatever anybody has claimed.
func (m *Monitor) room(t *world.Truth, now time.Time, h int32) {
	host := &t.Fleet.Hosts[h]
	var vcpus, memory int64
	cells := make([]plan.Cell, len(host.Cells))
	for _, v := range t.Hosts[h].Guests {
		vm := &t.VMs[v]
		s := &t.Fleet.Shapes[vm.Shape]
		if s.Cells == 0 {
			vcpus, memory = vcpus+s.VCPUs, memory+s.MemoryMiB
			continue
		}
		if bits.OnesCount32(uint32(vm.Cells&0xffff)) != s.Cells {
			m.violated(now, Capacity, "%s: %s has not the %d cells that it is pinned to", host.Path, vm.Name, s.Cells)
		}
		n := int64(s.Cells)
		for c := range cells {
			if vm.Cells&(1<<c) != 0 {
				cells[c].CPUs += (s.VCPUs + n - 1) / n
				cells[c].HugeMiB += (s.MemoryMiB + n - 1) / n
			}
		}
	}
	if vcpus > host.VCPUs || memory > host.MemoryMiB {
		m.violated(now, Capacity, "%s: %d of %d vCPU, %d of %d MiB", host.Path, vcpus, host.VCPUs, memory, host.MemoryMiB)
	}
	for c := range cells {
		if cells[c].CPUs > host.Cells[c].CPUs || cells[c].HugeMiB > host.Cells[c].HugeMiB {
			m.violated(now, Capacity, "%s: cell %d has %d of %d CPUs, %d of %d MiB", host.Path, c, cells[c].CPUs, host.Cells[c].CPUs, cells[c].HugeMiB, host.Cells[c].HugeMiB)
		}
	}
}

func (m *Monitor) flag(t *world.Truth, now time.Time, what string, until time.Time, longest time.Duration, h int32) {
	if until.Sub(now) > longest {
		m.violated(now, Flags, "%s of %s holds for %s", what, name(t, h), until.Sub(now))
	}
}

// Written tells how often the disks that were written at all have been begun to be written.
func (m *Monitor) Written() []int { return slices.Collect(maps.Values(m.began)) }

// End looks at what is left when a rollout is over: of one that is complete no mark on a host that is changed, and none of its machines stopped. On hosts
// that are not, since they could not be reached when it was planned again, or that cannot be reached now, and after a rollout that is not complete, marks end
// by themselves.
func (m *Monitor) End(t *world.Truth, now time.Time, complete bool) {
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if complete && h.New && !h.Gone && !h.Alone && (h.Noout.After(now) || h.Cordon.After(now)) {
			m.violated(now, Flags, "%s keeps noout until %s and its cordon until %s", name(t, int32(i)), h.Noout, h.Cordon)
		}
		for _, v := range h.Guests {
			if complete && !h.Alone && t.VMs[v].State == world.Held {
				m.violated(now, Stopped, "%s was stopped with consent and is not running again", t.VMs[v].Name)
			}
		}
	}
}
