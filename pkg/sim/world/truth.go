// Package world is a simulated data centre: hosts with two slots and a BMC, a Ceph cluster for each region, virtual machines that migrate over links of
// finite speed, tenants, operators and faults, all in the virtual time of package vtime and from one seed. Ops reach it through the ports of
// package ops. What is true in it, as opposed to what it shows, is in Truth.
package world

import (
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Truth is how things are. Only the world changes it.
type Truth struct {
	// Fleet is what the world was made from: its classes, shapes, groups, clusters and capacities hold throughout, its virtual machines do not. What a cluster
	// requires is as it is now.
	Fleet plan.Fleet
	Hosts []Host // as Fleet.Hosts
	VMs   []VM   // those of the fleet first, in its order
	PGs   []PG
	// PGsOf are the placement groups with a copy on a host, by index.
	PGsOf [][]int32
	// Switch and Ceph say that packages of Open vSwitch and of Ceph's daemons are among those that hosts get.
	Switch, Ceph bool
}

// Host is what is true of a host.
type Host struct {
	Up   bool // it runs, and answers
	New  bool // it runs what the rollout brings
	Dead bool // a fault has taken it
	// Ours says that it is out of service because of us: restarted or powered off, until it is back.
	Ours bool
	// Daemons says that its Ceph daemons are in service; OursCeph that they are not because of us.
	Daemons, OursCeph bool
	// Cut says that it reaches no majority of its region's monitors over the storage network: what its daemons do is for nothing, and machines there have no disks.
	Cut bool
	// Alone says that its uplink is cut: neither it nor its BMC is reached from the workstation.
	Alone            bool
	Cordon, Noout    time.Time // our marks' ends; zero: not set
	Drained          bool      // the cordon is a drain's
	Foreign          bool      // an operator's own cordon
	Guests           []int32   // the virtual machines whose place it is, in no order
	VCPUs, MemoryMiB int64     // promised to floating virtual machines, those on their way included
	Cells            []plan.Cell
	Out, Gone        bool          // its OSDs are out; they, its monitor and its manager are no more, for good
	downAt           time.Duration // when its daemons went out of service or came back last
	island           int           // with which hosts it shares a storage network; 0: with all that are not cut off
	catching         bool          // its copies are not complete yet
	deadOSDs         int           // whose copies are not made anew yet
}

// Serves reports whether a host's daemons take part in its cluster.
func (h *Host) Serves() bool { return h.Daemons && !h.Cut }

// State is what a virtual machine does.
type State uint8

// The states.
const (
	Running State = iota
	Held          // stopped by us with consent
	Lost          // its host is down
	Gone          // its tenant has deleted it
)

// VM is what is true of a virtual machine.
type VM struct {
	Name           string
	Host, Shape    int32
	Cells          int32
	State          State
	Fixed, Consent bool
	moving         *migration
}

// PG stands for placement groups with the same acting set.
type PG struct {
	Cluster, Pool int32
	Hosts         []int32 // of the copies; -1 is one that was missing from the start
	Behind        uint32  // bit i: copy i is not complete
	Dead          uint32  // bit i: the OSD of copy i has failed; such a copy is behind as well
}

// Serves reports whether copy i of a placement group takes part in I/O.
func (t *Truth) Serves(pg *PG, i int) bool {
	return pg.Hosts[i] >= 0 && t.Hosts[pg.Hosts[i]].Serves() && pg.Dead&(1<<i) == 0
}

// Serving counts the copies that take part in I/O, and those of them that are complete.
func (t *Truth) Serving(pg *PG) (serving, complete int) {
	for i := range pg.Hosts {
		if t.Serves(pg, i) {
			serving++
			if pg.Behind&(1<<i) == 0 {
				complete++
			}
		}
	}
	return serving, complete
}

// Pool is the pool of a placement group.
func (t *Truth) Pool(pg *PG) *plan.Pool { return &t.Fleet.Clusters[pg.Cluster].Pools[pg.Pool] }

// Member reports whether a member of a group is in service. Gateways and key services are on the host itself, the others are Ceph's
// daemons.
func (t *Truth) Member(g *plan.Group, host int32) bool {
	if OnHost(g) {
		return t.Hosts[host].Up
	}
	return t.Hosts[host].Serves()
}

// Stores reports whether a host has daemons of Ceph.
func (t *Truth) Stores(host int32) bool {
	return slices.ContainsFunc(t.Fleet.Clusters, func(c plan.Cluster) bool { return slices.Contains(c.OSDHosts, host) }) ||
		slices.ContainsFunc(t.Fleet.Groups, func(g plan.Group) bool { return !OnHost(&g) && slices.Contains(g.Hosts, host) })
}

// OnHost reports whether a group's members go with their hosts, and not with Ceph's daemons.
func OnHost(g *plan.Group) bool { return g.Kind == plan.Key || strings.Contains(g.Name, "gateway") }

// MembersUp counts the members of a group that are in service.
func (t *Truth) MembersUp(g *plan.Group) int {
	up := 0
	for _, h := range g.Hosts {
		if t.Member(g, h) {
			up++
		}
	}
	return up
}

// Class is the class that a host has now.
func (t *Truth) Class(host int32) int32 {
	if t.Hosts[host].New {
		return t.Fleet.Hosts[host].ClassAfter
	}
	return t.Fleet.Hosts[host].Class
}

// Release is the release of Ceph that a host has now; 0: not known.
func (t *Truth) Release(host int32) int {
	if t.Hosts[host].New {
		return t.Fleet.Hosts[host].CephAfter
	}
	return t.Fleet.Hosts[host].Ceph
}

// older gives a monitor of a host's cluster that has an older release of Ceph than its OSDs, if there is one.
func (t *Truth) older(host int32) (mon int32, found bool) {
	for _, c := range t.Fleet.Clusters {
		if !slices.Contains(c.OSDHosts, host) {
			continue
		}
		for _, m := range c.Mons {
			if m != host && t.Release(m) > 0 && t.Release(m) < t.Release(host) {
				return m, true
			}
		}
	}
	return -1, false
}

// share is what a pinned virtual machine takes of each of its cells.
func share(s *plan.Shape) plan.Cell {
	n := int64(max(s.Cells, 1))
	return plan.Cell{CPUs: (s.VCPUs + n - 1) / n, HugeMiB: (s.MemoryMiB + n - 1) / n}
}

// Act is a change of the world that somebody may want to judge; the world is already as it is after it.
type Act struct {
	Kind ActKind
	Host int32
	VM   int32 // of the acts about virtual machines
	From int32 // of Arrived: the source, -1 when it was started here
	Ours bool  // we did it
	// Again says of Began that the disk carries the nonce of the same order, which goes on.
	Again bool
}

// ActKind says what happened.
type ActKind uint8

// The kinds.
const (
	HostDown    ActKind = iota // Host is out of service
	HostUp                     // it is back, and Truth says with which slot
	DaemonsDown                // the Ceph daemons of Host are out of service
	DaemonsUp
	TooNew   // the OSDs of Host were to start, and do not: a monitor, on the host From, has an older release of Ceph
	TooOld   // they do not: their cluster requires a newer release
	Required // the cluster of Host starts no OSD any more of a release below what it requires now
	Stopped  // VM, which ran, does not run any more
	Arrived  // VM runs on Host now
	Restart  // Host is told to restart; it is not down yet
	NooutSet
	CordonSet
	Committed // what Host runs is what it boots from now on: there is no way back to the other slot by itself
	Armed     // an order to lay Host down anew is out
	Began     // the root disk of Host is written by an installer
	Packages  // they begin to be installed on Host, as Truth.Switch and Truth.Ceph say
	OSDsGone  // the OSDs of Host are removed from their cluster, and with them whatever copies Truth still has there
	Left      // Host's monitor and manager are members of no group any more
)

// Watcher is told every act, in order.
type Watcher interface {
	Act(t *Truth, now time.Time, a Act)
}
