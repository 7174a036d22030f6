package world

import (
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A host is on two networks: that of management, over which the workstation reaches it and its BMC, and that of storage, over which Ceph's daemons, their clients
// and machines that move reach each other. A cut takes hosts off the second one, together: they go on reaching each other, and nobody else. Where the
// cut is that of an uplink, the workstation does not reach them either.
//
// Ceph goes on where a majority of a region's monitors reach each other. Daemons elsewhere run, and take no part: their copies are behind when they are
// back, and copies of hosts that stay away are made anew. That is known at once here; on real clusters it takes the heartbeats' grace, half a minute.

// cutTime bounds how long a cut lasts; one of so many is not mended while anybody looks.
const (
	cutTime = 90 * time.Minute
	forever = 8
)

// cutOff cuts hosts off by chance: a rack or a zone behind its uplink, a rack behind its storage switch, or the storage network of one host.
func (w *World) cutOff() {
	t := &w.Truth
	at := w.rng.IntN(len(t.Hosts))
	path, kind := t.Fleet.Hosts[at].Path, w.rng.IntN(4)
	takes := 2*time.Minute + time.Duration(w.rng.Int64N(int64(cutTime)))
	heals := w.rng.IntN(forever) > 0
	var hosts []int32
	for i, h := range t.Fleet.Hosts {
		same := []bool{h.Path.Rack() == path.Rack(), h.Path.Zone() == path.Zone(), h.Path.Rack() == path.Rack(), i == at}[kind]
		if _, broken := w.broken[int32(i)]; same && (broken || t.Hosts[i].island > 0) {
			return // one at a time
		}
		if same {
			hosts = append(hosts, int32(i))
		}
	}
	uplink := kind < 2
	w.Cut(hosts, uplink)
	if heals {
		w.Time.After(takes, func() { w.Mend(hosts, uplink) })
	}
}

// Cut takes hosts off the storage network of the others, together, and with uplink also off the workstation.
func (w *World) Cut(hosts []int32, uplink bool) {
	w.islands++
	for _, h := range hosts {
		w.Truth.Hosts[h].island = w.islands
		if uplink {
			w.Truth.Hosts[h].Alone = true
			w.Break(w.Truth.Fleet.Hosts[h].Path, rack.HostSilent)
		}
	}
	w.peer()
}

// Mend ends a cut.
func (w *World) Mend(hosts []int32, uplink bool) {
	for _, h := range hosts {
		w.Truth.Hosts[h].island = 0
		if uplink {
			w.Truth.Hosts[h].Alone = false
			w.Break(w.Truth.Fleet.Hosts[h].Path, rack.Sound)
		}
	}
	w.peer()
}

// peer finds out anew who takes part in Ceph: those who reach a majority of the region's monitors, over the storage network.
func (w *World) peer() {
	if w.islands == 0 {
		return
	}
	var off, back []int32
	for i := range w.Truth.Hosts {
		switch h, cut := &w.Truth.Hosts[i], w.Truth.Hosts[i].island != w.quorum(int32(i)); {
		case cut && !h.Cut:
			off = append(off, int32(i))
			h.Cut = true
		case !cut && h.Cut:
			back = append(back, int32(i))
			h.Cut = false
		}
	}
	for _, i := range off {
		w.lag(i)
		w.abort(i)
	}
	for _, i := range back {
		w.catchUp(i)
	}
}

// nobody is the island of a quorum that there is not.
const nobody = -1

// quorum tells the island in which the monitors of a host's region have their majority.
func (w *World) quorum(host int32) (island int) {
	t := &w.Truth
	region := t.Fleet.Hosts[host].Path.Region()
	for k := range t.Fleet.Groups {
		g := &t.Fleet.Groups[k]
		if g.Kind != plan.Quorum || !isMon(g) || !region.Contains(t.Fleet.Hosts[g.Hosts[0]].Path) {
			continue
		}
		up := map[int]int{}
		for _, m := range g.Hosts {
			if h := &t.Hosts[m]; h.Daemons {
				if up[h.island]++; up[h.island] >= Least(g) {
					return h.island
				}
			}
		}
		return nobody
	}
	return 0 // its monitors are nobody's business here, and are with the others
}

// isMon reports whether a group is that of a cluster's monitors: "REGION mon" in generated fleets, "mon of REGION" in observed ones.
func isMon(g *plan.Group) bool { return slices.Contains(strings.Fields(g.Name), "mon") }

// lag has the copies of a host that takes no part any more fall behind where the others go on, and be made anew elsewhere in the end.
func (w *World) lag(i int32) {
	h := &w.Truth.Hosts[i]
	h.downAt = w.Time.Since()
	w.goesOn(i)
	w.outLater(i, h.downAt, outAfter)
}

// goesOn has those copies fall behind that take no part in a placement group which has one on a host, and is written to.
func (w *World) goesOn(i int32) {
	t := &w.Truth
	if w.islands == 0 {
		return // what is down is behind already
	}
	for _, g := range t.PGsOf[i] {
		pg := &t.PGs[g]
		if serving, _ := t.Serving(pg); serving < t.Pool(pg).MinSize {
			continue
		}
		for k := range pg.Hosts {
			if pg.Hosts[k] >= 0 && !t.Serves(pg, k) {
				pg.Behind |= 1 << k
			}
		}
	}
}

// asked reports whether a region's cluster can be asked: by a monitor in quorum whose host the workstation reaches.
func (w *World) asked(host int32) bool {
	t := &w.Truth
	region := t.Fleet.Hosts[host].Path.Region()
	for k := range t.Fleet.Groups {
		if g := &t.Fleet.Groups[k]; isMon(g) && region.Contains(t.Fleet.Hosts[g.Hosts[0]].Path) {
			return slices.ContainsFunc(g.Hosts, func(m int32) bool {
				h := &t.Hosts[m]
				return h.Daemons && !h.Cut && h.Up && w.broken[m] != rack.HostSilent
			})
		}
	}
	return true
}

// monitor reports whether a host has a monitor.
func (w *World) monitor(host int32) bool {
	return slices.ContainsFunc(w.Truth.Fleet.Groups, func(g plan.Group) bool { return isMon(&g) && slices.Contains(g.Hosts, host) })
}

// stores reports whether a host has OSDs.
func (w *World) stores(host int32) bool {
	return slices.ContainsFunc(w.Truth.Fleet.Clusters, func(c plan.Cluster) bool { return slices.Contains(c.OSDHosts, host) })
}
