package wave

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A cluster's daemons go to another major release of Ceph in an order: all monitors, then managers, then OSDs, then everything else. An OSD that is newer than a
// monitor does not start. So the hosts of a region whose release rises are solved in turns, each on top of where the one before has left the machines.

// mostReleases is how many releases Ceph goes ahead at once.
const mostReleases = 2

// leastMons is how few monitors a cluster may have when its release rises: with fewer, one that does not come back is the end of their majority.
const leastMons = 3

// risen are the clusters, by index, in which a host that is changed gets another release.
func risen(f *plan.Fleet) (out []int) {
	for k := range f.Clusters {
		if slices.ContainsFunc(f.Hosts, func(h plan.Host) bool { return rises(&h) && h.Path.Region() == f.Clusters[k].Region }) {
			out = append(out, k)
		}
	}
	return out
}

func rises(h *plan.Host) bool { return h.Change && h.Ceph > 0 && h.CephAfter > h.Ceph }

// The turns of a cluster's hosts.
const (
	turnMons = iota
	turnMgrs
	turnOSDs
	turnRest
	turns
)

// turnOf says when a host's turn is.
func turnOf(c *plan.Cluster, h int32) int {
	return slices.IndexFunc([]bool{memberOf(c.Mons, h), memberOf(c.Mgrs, h), memberOf(c.OSDHosts, h), true}, func(b bool) bool { return b })
}

func memberOf(list plan.Ints, h int32) bool {
	_, ok := slices.BinarySearch(list, h)
	return ok
}

// inTurns solves a rollout in which one region's release rises.
func inTurns(f plan.Fleet, p plan.Policy, risen []int) (plan.Certificate, error) {
	c := &f.Clusters[risen[0]]
	if reasons := unordered(&f, risen); len(reasons) > 0 {
		return plan.Certificate{}, &plan.Refusal{Reasons: reasons}
	}
	out, now, canary := plan.Certificate{Fleet: f, Policy: p}, f, p.Canary
	for turn := range turns {
		g := now
		g.Hosts = slices.Clone(now.Hosts)
		for i := range g.Hosts {
			g.Hosts[i].Change = g.Hosts[i].Change && turnOf(c, int32(i)) == turn
		}
		q := p
		q.Canary = canary
		part, err := solve(g, q)
		if err != nil {
			return plan.Certificate{}, err
		}
		if len(part.Batches) > 0 {
			canary = 0 // the site has had it
		}
		for _, b := range part.Batches {
			b.Stage = len(out.Batches)
			out.Batches = append(out.Batches, b)
		}
		Advance(&now, part.Batches)
	}
	out.Bound, out.Grade = Bounds(f, p, out.Batches), Grade(out.Batches)
	return out, nil
}

// Advance brings a fleet to where it is after some batches.
func Advance(f *plan.Fleet, over []plan.Batch) {
	f.Hosts, f.VMs.Host, f.VMs.Cells = slices.Clone(f.Hosts), slices.Clone(f.VMs.Host), slices.Clone(f.VMs.Cells)
	for _, b := range over {
		for _, h := range b.Hosts {
			host := &f.Hosts[h]
			host.Change, host.Class, host.Ceph = false, host.ClassAfter, host.CephAfter
		}
		for i, v := range b.Moves.VM {
			f.VMs.Host[v] = b.Moves.To[i]
			if len(b.Moves.Cells) > 0 {
				f.VMs.Cells[v] = b.Moves.Cells[i]
			}
		}
	}
}

// unordered says why a release cannot rise in order.
func unordered(f *plan.Fleet, risen []int) (out []plan.Reason) {
	wrong := func(at model.Path, remedy, format string, args ...any) {
		out = append(out, plan.Reason{Invariant: "I7", Place: at, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	c := &f.Clusters[risen[0]]
	for i := range f.Hosts {
		if region := f.Hosts[i].Path.Region(); region != c.Region && f.Hosts[i].Change {
			wrong(region, "upgrade one region after the other: nuboctl upgrade "+string(c.Region),
				"the release of Ceph rises in %s, which takes an order of its own, and the rollout changes hosts of %s as well", c.Region, region)
			return out
		}
	}
	if len(c.Mons) < leastMons {
		wrong(c.Region, "add monitors first", "its cluster has %d monitors, and its release rises only with %d or more", len(c.Mons), leastMons)
	}
	for _, fs := range c.Filesystems {
		if fs.Ranks > 1 {
			wrong(c.Region, "have one first: ceph fs set "+fs.Name+" max_mds 1, and wait until ceph fs status shows one rank",
				"file system %s has %d ranks: metadata servers of different releases that share one do not understand each other", fs.Name, fs.Ranks)
		}
		if fs.StandbyReplay {
			wrong(c.Region, "have them stand by only: ceph fs set "+fs.Name+" allow_standby_replay false",
				"standbys of file system %s follow the journal of the metadata server that serves, which one of another release may not be able to read", fs.Name)
		}
	}
	apart := "put monitors on hosts of their own first, or hold Ceph's release across this upgrade with an image that brings the same one"
	for _, m := range c.Mons {
		if h := &f.Hosts[m]; h.Down {
			wrong(h.Path, "bring it back first", "it holds a monitor and is down, and the release of Ceph rises only with all monitors in quorum")
		}
	}
	for i := range f.Hosts {
		h := &f.Hosts[i]
		if !rises(h) {
			continue
		}
		if h.CephAfter-h.Ceph > mostReleases {
			wrong(h.Path, "go by an image with a release between them", "Ceph goes at most %d releases ahead at once, and not from %d to %d", mostReleases, h.Ceph, h.CephAfter)
		}
		if !memberOf(c.OSDHosts, int32(i)) {
			continue
		}
		for _, m := range c.Mons {
			switch mon := &f.Hosts[m]; {
			case m == int32(i) || mon.Down:
				continue
			case memberOf(c.Mons, int32(i)) && mon.Ceph < h.CephAfter:
				wrong(h.Path, apart, "it holds a monitor and OSDs: its OSDs would run Ceph %d while the monitor of %s still has %d", h.CephAfter, mon.Path.Name(), mon.Ceph)
			case max(mon.Ceph, mon.CephAfter) < h.CephAfter:
				wrong(h.Path, "upgrade the monitors' hosts as well, or first: nuboctl upgrade "+mon.Path.Name(),
					"its OSDs would run Ceph %d, and the monitor of %s stays with %d", h.CephAfter, mon.Path.Name(), mon.Ceph)
			default:
				continue
			}
			break
		}
	}
	return out
}
