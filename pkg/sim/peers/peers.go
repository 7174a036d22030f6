// Package peers holds the rules by which other systems, and people without a planner, take hosts out of service, written from what these systems
// publish, and counts what the rules break on the same fleets that nuboctl plans for. It imports neither planner nor verifier.
package peers

import (
	"cmp"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Round is a set of hosts that are out of service together, and what became of their virtual machines.
type Round struct {
	Hosts plan.Ints
	Moves plan.Moves
	Stops plan.Ints // stopped with their owner's consent
	// Nowhere are those that found no place: to change the host they would have to be stopped.
	Nowhere plan.Ints
}

// Rule decides who goes together. It is told the fleet as it is before the next round by way of the cloud.
type Rule struct {
	Name string
	// Rounds are the sets of hosts in order.
	Rounds func(f *plan.Fleet) []plan.Ints
	// Backup makes the rule try one host for all of a host's virtual machines before it asks the scheduler.
	Backup bool
}

// Run plays a rule on a fleet. Virtual machines go where Nova's scheduler would put them: to the host of their zone with the most free memory that has what
// they need, holds no member of their anti-affinity group, and is not part of the round. That is more than the rules themselves ask for.
func Run(f plan.Fleet, r Rule) []Round {
	c := newCloud(&f)
	var out []Round
	for _, hosts := range r.Rounds(&f) {
		out = append(out, c.round(hosts, r.Backup))
	}
	return out
}

// Planned are the rounds of a certificate, to be counted like the others.
func Planned(c *plan.Certificate) []Round {
	var out []Round
	for _, b := range c.Batches {
		out = append(out, Round{Hosts: b.Hosts, Moves: b.Moves, Stops: b.Stops})
	}
	return out
}

// regions are the hosts to be changed, by region, in the order of their paths.
func regions(f *plan.Fleet) []plan.Ints {
	var out []plan.Ints
	last := ""
	for i, h := range f.Hosts {
		if region := string(h.Path.Region()); len(out) == 0 || region != last {
			out, last = append(out, nil), region
		}
		if h.Change {
			out[len(out)-1] = append(out[len(out)-1], int32(i))
		}
	}
	return out
}

// OneByOne takes every host by itself, in the order of their paths.
func OneByOne() Rule {
	return Rule{Name: "one host at a time", Rounds: func(f *plan.Fleet) []plan.Ints {
		var out []plan.Ints
		for _, region := range regions(f) {
			for _, h := range region {
				out = append(out, plan.Ints{h})
			}
		}
		return out
	}}
}

// Watcher is OpenStack Watcher's host maintenance strategy (watcher/decision_engine/strategy/strategies/host_maintenance.py, and its page in Watcher's
// documentation): one node at a time; when the sums of vCPU and memory in use on it fit what is free on one backup node, everything goes there; else the
// machines are migrated one by one and the scheduler finds their places. The operator names the backup node; here it is the emptiest of the zone.
func Watcher() Rule {
	r := OneByOne()
	r.Name, r.Backup = "Watcher", true
	return r
}

// StarlingX is the rule by which StarlingX's VIM makes its lists of hosts (nfv-vim, strategy/_strategy.py: _create_storage_host_lists and
// _create_worker_host_lists with the apply type "parallel"), one region after the other as it manages one cloud. most is max-parallel-worker-hosts, 2 to 10.
//
//   - Hosts with the controller personality, which hold the monitors: each in a list of its own, first.
//   - Storage hosts: the first list without a peer of the same replication group, that is, of which none keeps copies of the same data.
//   - Workers without instances together; workers with instances: the first list that is not full, holds no host with an instance of the same
//     anti-affinity group, and stays below its aggregate's limit. The limit is the aggregate's hosts × min(most/workers, 0.5), rounded down, 1 at
//     least. An aggregate is a zone here.
//
// Room for the instances is not asked for, nor are placement groups of workers that keep data.
func StarlingX(most int) Rule {
	return Rule{Name: "StarlingX", Rounds: func(f *plan.Fleet) []plan.Ints {
		v := newVIM(f, most)
		var out []plan.Ints
		for _, region := range regions(f) {
			out = append(out, v.lists(region)...)
		}
		return out
	}}
}

// vim is what StarlingX's lists are made from.
type vim struct {
	f          *plan.Fleet
	most       int
	controller map[int32]bool
	storage    map[int32]bool
	shared     map[[2]int32]bool // pairs of hosts that keep copies of the same data
	groups     map[int32][]int32 // host → anti-affinity groups of its instances
	busy       map[int32]bool    // hosts with instances
}

func newVIM(f *plan.Fleet, most int) *vim {
	v := &vim{f: f, most: most, controller: map[int32]bool{}, storage: map[int32]bool{}, shared: map[[2]int32]bool{}, groups: map[int32][]int32{}, busy: map[int32]bool{}}
	for _, g := range f.Groups {
		for _, h := range g.Hosts {
			v.controller[h] = v.controller[h] || g.Kind == plan.Quorum
		}
	}
	for _, c := range f.Clusters {
		for _, h := range c.OSDHosts {
			v.storage[h] = f.Hosts[h].Class < 0
		}
		for _, p := range c.Pools {
			v.pairs(p)
		}
	}
	for _, h := range f.VMs.Host {
		v.busy[h] = true
	}
	for i, g := range f.Apart {
		for _, vm := range g.VMs {
			h := f.VMs.Host[vm]
			v.groups[h] = append(v.groups[h], int32(i))
		}
	}
	return v
}

func (v *vim) pairs(p plan.Pool) {
	for i := range p.Count {
		set := p.Acting[i*p.Size : (i+1)*p.Size]
		for _, a := range set {
			for _, b := range set {
				if a >= 0 && b >= 0 && v.storage[a] && v.storage[b] && a != b {
					v.shared[[2]int32{a, b}] = true
				}
			}
		}
	}
}

func (v *vim) lists(region plan.Ints) []plan.Ints {
	var controllers, storage, workers []plan.Ints
	var idle plan.Ints
	limit := v.limits(region)
	for _, h := range region {
		switch {
		case v.controller[h]:
			controllers = append(controllers, plan.Ints{h})
		case v.storage[h]:
			storage = firstFit(storage, h, func(list plan.Ints) bool {
				return !slices.ContainsFunc(list, func(peer int32) bool { return v.shared[[2]int32{h, peer}] })
			})
		case !v.busy[h]:
			idle = append(idle, h)
		default:
			workers = firstFit(workers, h, func(list plan.Ints) bool { return v.fits(list, h, limit) })
		}
	}
	for part := range slices.Chunk(idle, v.most) {
		workers = slices.Insert(workers, 0, part)
	}
	return slices.Concat(controllers, storage, workers)
}

func firstFit(lists []plan.Ints, h int32, fits func(plan.Ints) bool) []plan.Ints {
	for i, list := range lists {
		if fits(list) {
			lists[i] = append(list, h)
			return lists
		}
	}
	return append(lists, plan.Ints{h})
}

// limits are the hosts of each aggregate that may be in one list.
func (v *vim) limits(region plan.Ints) map[string]int {
	workers, of := 0, map[string]int{}
	for _, h := range region {
		if v.f.Hosts[h].Class >= 0 {
			workers++
			of[string(v.f.Hosts[h].Path.Zone())]++
		}
	}
	for zone, n := range of {
		of[zone] = max(1, int(float64(n)*min(float64(v.most)/float64(workers), 0.5)))
	}
	return of
}

func (v *vim) fits(list plan.Ints, h int32, limit map[string]int) bool {
	if len(list) >= v.most {
		return false
	}
	zone, same := v.f.Hosts[h].Path.Zone(), 0
	for _, peer := range list {
		if v.f.Hosts[peer].Path.Zone() == zone {
			same++
		}
		if slices.ContainsFunc(v.groups[peer], func(g int32) bool { return slices.Contains(v.groups[h], g) }) {
			return false
		}
	}
	return same < limit[string(zone)]
}

// Seconds predicts a round as nuboctl predicts its batches: each host sends one machine after the other, what arrives at a host shares its card, then the
// restart, the recovery of its OSDs, and the bake.
func Seconds(f *plan.Fleet, p plan.Policy, r Round) int64 {
	chain, arrive := map[int32]float64{}, map[int32]float64{}
	longest := 0.0
	for i, vm := range r.Moves.VM {
		s := &f.Shapes[f.VMs.Shape[vm]]
		from, to := f.VMs.Host[vm], r.Moves.To[i]
		speed := float64(cmp.Or(min(f.Hosts[from].MiBs, f.Hosts[to].MiBs), max(f.Hosts[from].MiBs, f.Hosts[to].MiBs)))
		chain[from] += float64(p.Times.Settle)
		if speed > 0 {
			sent := float64(s.MemoryMiB) / (1 - min(s.DirtyMiBs/speed, 0.5))
			chain[from] += sent / speed
			arrive[to] += sent / speed
		}
		longest = max(longest, chain[from], arrive[to])
	}
	total := int64(longest) + p.Times.Host + p.BakeSeconds
	for _, c := range f.Clusters {
		if slices.ContainsFunc(r.Hosts, func(h int32) bool { _, ok := slices.BinarySearch(c.OSDHosts, h); return ok }) {
			return total + p.Times.Recovery
		}
	}
	return total
}
