package wave_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// world is a fleet in the middle of a rollout, kept as simply as can be: the naive opinion on what the planner claims.
type world struct {
	f       plan.Fleet
	p       plan.Policy
	at      []int32
	cells   []int32
	changed map[int32]bool
	wrong   []string
}

func begin(f plan.Fleet, p plan.Policy) *world {
	w := &world{f: f, p: p, at: slices.Clone(f.VMs.Host), cells: slices.Clone(f.VMs.Cells), changed: map[int32]bool{}}
	if w.cells == nil {
		w.cells = make([]int32, len(w.at))
	}
	return w
}

func contains(list []int32, x int32) bool { return slices.Contains(list, x) }

// check replays a certificate against the words of plan.Certificate.
func check(f plan.Fleet, p plan.Policy, batches []plan.Batch) []string {
	w := begin(f, p)
	sites := map[model.Path]bool{}
	last := -1
	var done []model.Path
	for i, b := range batches {
		before := len(w.wrong)
		if site := b.Zone.Site(); !sites[site] {
			sites[site] = true
			w.expect(p.Canary == 0 || len(b.Hosts) <= p.Canary, "%d hosts in the canary", len(b.Hosts))
		}
		r := slices.IndexFunc(p.Order, func(x model.Path) bool { return x.Contains(b.Zone) })
		if r < 0 {
			r = len(p.Order)
		}
		w.expect(r >= last, "out of order")
		last = r
		if n := len(done); n == 0 || done[n-1] != b.Zone {
			w.expect(!slices.Contains(done, b.Zone), "its zone was done before")
			done = append(done, b.Zone)
		}
		w.batch(b)
		for j := before; j < len(w.wrong); j++ {
			w.wrong[j] = fmt.Sprintf("batch %d: %s", i, w.wrong[j])
		}
	}
	for h, x := range f.Hosts {
		w.expect(w.changed[int32(h)] == (x.Change && !x.Down), "%s: changed %v", x.Path, w.changed[int32(h)])
	}
	return w.wrong
}

func (w *world) expect(ok bool, format string, args ...any) {
	if !ok {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

func (w *world) batch(b plan.Batch) {
	for _, h := range b.Hosts {
		w.expect(w.f.Hosts[h].Path.Zone() == b.Zone && !w.changed[h], "%s is not in its zone, or was changed", w.f.Hosts[h].Path)
	}
	down := w.down(b)
	w.budget(b, down)
	grade := w.grade(b, down)
	w.expect(b.Grade == grade, "grade %s is %s", b.Grade, grade)
	for _, letter := range strings.Split(string(w.p.Survive), "+") {
		w.expect(strings.Contains(string(grade), letter), "grade %s below %s", grade, w.p.Survive)
	}
	w.moves(b, down)
	for _, h := range b.Hosts {
		w.changed[h] = true
	}
}

// down are the hosts of a batch and those that are lost.
func (w *world) down(b plan.Batch) map[int32]bool {
	out := map[int32]bool{}
	for h, x := range w.f.Hosts {
		out[int32(h)] = x.Down || slices.Contains(b.Hosts, int32(h))
	}
	return out
}

func (w *world) budget(b plan.Batch, down map[int32]bool) {
	lost := 0
	for _, h := range w.f.Hosts {
		if h.Down && b.Zone.Contains(h.Path) {
			lost++
		}
	}
	w.expect(w.p.MaxParallel == 0 || len(b.Hosts)+lost <= w.p.MaxParallel, "%d hosts and %d lost at once", len(b.Hosts), lost)
	m := w.p.MaxUnavailable
	within := map[string]model.Path{"zone": b.Zone, "region": b.Zone.Region(), "site": b.Zone.Site(), "": ""}[m.Per]
	units, hosts, total := map[model.Path]bool{}, 0, 0
	for h, x := range w.f.Hosts {
		if !within.Contains(x.Path) {
			continue
		}
		total++
		if down[int32(h)] {
			hosts++
			units[place(x, m.Unit)] = true
		}
	}
	w.expect(m.Count == 0 || len(units) <= m.Count, "%d places unavailable", len(units))
	w.expect(m.Percent == 0 || 100*hosts <= m.Percent*total, "%d of %d hosts unavailable", hosts, total)
}

func place(h plan.Host, level string) model.Path {
	switch {
	case level == "zone":
		return h.Path.Zone()
	case level == "rack":
		return h.Path.Rack()
	case level == "chassis" && h.Chassis != "":
		return h.Chassis
	}
	return h.Path
}

// grade asks for each place of the failure domain what its loss would leave.
func (w *world) grade(b plan.Batch, down map[int32]bool) plan.Grade {
	region := b.Zone.Region()
	i := slices.IndexFunc(w.f.Clusters, func(c plan.Cluster) bool { return c.Region == region })
	c := w.f.Clusters[i]
	domains := map[model.Path]bool{}
	for _, h := range b.Hosts {
		if slices.Contains(c.OSDHosts, h) {
			domains[place(w.f.Hosts[h], c.FailureDomain)] = true
		}
	}
	w.expect(len(domains) <= 1, "storage hosts of %d failure domains", len(domains))
	io, _ := w.left(c, down)
	w.expect(io, "I/O or a quorum stops")
	places := map[model.Path]bool{}
	for _, h := range w.f.Hosts {
		if region.Contains(h.Path) {
			places[place(h, c.FailureDomain)] = true
		}
	}
	bb, cc := true, true
	for at := range places {
		more := map[int32]bool{}
		for h, x := range w.f.Hosts {
			more[int32(h)] = down[int32(h)] || (region.Contains(x.Path) && place(x, c.FailureDomain) == at)
		}
		io, data := w.left(c, more)
		bb, cc = bb && io, cc && data
	}
	for _, g := range w.f.Groups {
		in, lost := 0, 0
		for _, h := range g.Hosts {
			if slices.Contains(b.Hosts, h) {
				in++
			}
			if down[h] {
				lost++
			}
		}
		w.expect(in <= 1, "%d members of %s", in, g.Name)
		w.expect(in == 0 || g.Kind == plan.Quorum || (lost == 1 && len(g.Hosts) > 1), "%s has %d of %d down", g.Name, lost, len(g.Hosts))
	}
	out := plan.Grade("A")
	if bb {
		out += "+B"
	}
	if cc {
		out += "+C"
	}
	return out
}

// left tells whether I/O and services go on, and whether data is still there.
func (w *world) left(c plan.Cluster, down map[int32]bool) (io, data bool) {
	io, data = true, true
	for _, p := range c.Pools {
		for i := range p.Count {
			up := 0
			for _, h := range p.Acting[i*p.Size : (i+1)*p.Size] {
				if h >= 0 && !down[h] {
					up++
				}
			}
			io, data = io && up >= p.MinSize, data && up >= p.Data
		}
	}
	for _, g := range w.f.Groups {
		up, here := 0, false
		for _, h := range g.Hosts {
			here = here || c.Region.Contains(w.f.Hosts[h].Path)
			if !down[h] {
				up++
			}
		}
		if !here {
			continue
		}
		if g.Kind == plan.Quorum {
			io, data = io && 2*up > len(g.Hosts), data && up > 0
		} else {
			io = io && up > 0
		}
	}
	return io, data
}

type used struct {
	vcpus, memory int64
	cells         [8]plan.Cell
}

// moves checks the witness placements: everybody leaves, everybody fits while nobody has left, rules hold before and after.
func (w *world) moves(b plan.Batch, down map[int32]bool) {
	to, before := map[int32]int32{}, slices.Clone(w.at)
	w.expect(b.Counts.Displaced == len(b.Moves.VM), "displaced %d", b.Counts.Displaced)
	for i, v := range b.Moves.VM {
		to[v] = b.Moves.To[i]
	}
	for v, h := range before {
		if _, moved := to[int32(v)]; slices.Contains(b.Hosts, h) {
			w.expect(moved != slices.Contains(b.Stops, int32(v)), "%s is left on its host, or both moved and stopped", w.f.VMs.Names[v])
		} else {
			w.expect(!moved && !slices.Contains(b.Stops, int32(v)), "%s is not on a host of the batch", w.f.VMs.Names[v])
		}
	}
	for _, v := range b.Stops {
		w.expect(slices.Contains(w.f.VMs.Consent, v), "%s is stopped without consent", w.f.VMs.Names[v])
	}
	load := make([]used, len(w.f.Hosts))
	for v, h := range before {
		load[h].add(w.f.Shapes[w.f.VMs.Shape[v]], w.cells[v])
	}
	for i, v := range b.Moves.VM {
		h := b.Moves.To[i]
		s := w.f.Shapes[w.f.VMs.Shape[v]]
		var mask int32
		if len(b.Moves.Cells) > 0 {
			mask = b.Moves.Cells[i]
		}
		load[h].add(s, mask)
		from, into := w.class(before[v]), w.class(h)
		w.expect(!down[h] && w.f.Hosts[h].Path.Zone() == b.Zone, "%s goes to %s", w.f.VMs.Names[v], w.f.Hosts[h].Path)
		w.expect(into.Version >= from.Version && slices.Contains(into.CPUs, s.CPU) && slices.Contains(into.Machines, s.Machine), "%s cannot run on %s", w.f.VMs.Names[v], w.f.Hosts[h].Path)
		w.expect(!slices.Contains(w.f.VMs.Fixed, v), "%s cannot move", w.f.VMs.Names[v])
	}
	for _, h := range to {
		w.fits(h, load[h])
	}
	for i, v := range b.Moves.VM {
		w.at[v] = b.Moves.To[i]
		if len(b.Moves.Cells) > 0 {
			w.cells[v] = b.Moves.Cells[i]
		}
	}
	w.apart(b, to, before)
}

func (u *used) add(s plan.Shape, mask int32) {
	if s.Cells == 0 {
		u.vcpus, u.memory = u.vcpus+s.VCPUs, u.memory+s.MemoryMiB
		return
	}
	n := int64(s.Cells)
	for i := range u.cells {
		if mask&(1<<i) != 0 {
			u.cells[i].CPUs += (s.VCPUs + n - 1) / n
			u.cells[i].HugeMiB += (s.MemoryMiB + n - 1) / n
		}
	}
}

func (w *world) fits(h int32, u used) {
	x := w.f.Hosts[h]
	free := int64(100 - w.p.ReservePercent)
	w.expect(100*u.vcpus <= free*x.VCPUs && 100*u.memory <= free*x.MemoryMiB, "%s is overfull", x.Path)
	for i, c := range u.cells {
		if c != (plan.Cell{}) {
			w.expect(i < len(x.Cells) && c.CPUs <= x.Cells[i].CPUs && c.HugeMiB <= x.Cells[i].HugeMiB, "cell %d of %s is overfull", i, x.Path)
		}
	}
}

func (w *world) class(h int32) plan.Class {
	if w.changed[h] {
		return w.f.Classes[w.f.Hosts[h].ClassAfter]
	}
	return w.f.Classes[w.f.Hosts[h].Class]
}

func (w *world) apart(b plan.Batch, to map[int32]int32, before []int32) {
	for _, g := range w.f.Apart {
		stopped := 0
		for _, v := range g.VMs {
			if slices.Contains(b.Stops, v) {
				stopped++
			}
			h, moved := to[v]
			for _, o := range g.VMs {
				if !moved || o == v {
					continue
				}
				at := place(w.f.Hosts[h], g.Level)
				w.expect(at != place(w.f.Hosts[before[o]], g.Level) && at != place(w.f.Hosts[w.at[o]], g.Level), "%s: two in %s", g.Name, at)
			}
		}
		w.expect(stopped <= 1, "%s: %d stopped", g.Name, stopped)
	}
}
