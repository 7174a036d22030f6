package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// truth says what is wrong with a certificate by another way than the verifier: by names instead of numbers, everything counted anew for every
// batch, every place taken away in turn. It knows what a batch must keep, and the order; ops it does not know.
func truth(x *plan.Certificate) error {
	t := theTruth{Certificate: x, on: map[string]string{}, cells: map[string]int32{}, class: map[string]int32{}, host: map[string]plan.Host{}, shape: map[string]plan.Shape{}}
	for i, vm := range x.Fleet.VMs.Names {
		t.on[vm] = string(x.Fleet.Hosts[x.Fleet.VMs.Host[i]].Path)
		t.cells[vm], t.shape[vm] = at(x.Fleet.VMs.Cells, i), x.Fleet.Shapes[x.Fleet.VMs.Shape[i]]
	}
	for _, h := range x.Fleet.Hosts {
		t.class[string(h.Path)], t.host[string(h.Path)] = h.Class, h
	}
	changed := map[string]int{}
	for i, b := range x.Batches {
		if err := t.batch(b); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
		for _, h := range b.Hosts {
			changed[t.name(h)]++
			t.class[t.name(h)] = x.Fleet.Hosts[h].ClassAfter
		}
	}
	for name, h := range t.host {
		if (changed[name] == 1) != h.Change || changed[name] > 1 {
			return fmt.Errorf("%s is changed %d times", name, changed[name])
		}
	}
	var zones []string
	for _, b := range x.Batches {
		zones = append(zones, string(b.Zone))
	}
	once := map[string]bool{}
	for _, z := range slices.Compact(zones) {
		if once[z] {
			return fmt.Errorf("zones go together: %s comes twice", z)
		}
		once[z] = true
	}
	return nil
}

type theTruth struct {
	*plan.Certificate
	on    map[string]string // virtual machine → host
	cells map[string]int32
	class map[string]int32
	host  map[string]plan.Host
	shape map[string]plan.Shape
}

func (t theTruth) name(h int32) string { return string(t.Fleet.Hosts[h].Path) }

// prefix of a path: its first n elements.
func prefix(path string, n int) string { return strings.Join(strings.Split(path, "/")[:n], "/") }

func (t theTruth) in(level, host string) string {
	switch level {
	case plan.LevelZone:
		return prefix(host, 3)
	case plan.LevelRack:
		return prefix(host, 4)
	case plan.LevelChassis:
		if c := t.host[host].Chassis; c != "" {
			return string(c)
		}
	}
	return host
}

func (t theTruth) batch(b plan.Batch) error {
	batch, down := map[string]bool{}, map[string]bool{}
	for _, h := range b.Hosts {
		batch[t.name(h)], down[t.name(h)] = true, true
		if t.Fleet.Hosts[h].Down || prefix(t.name(h), 3) != string(b.Zone) {
			return fmt.Errorf("%s does not belong there", t.name(h))
		}
	}
	for name, h := range t.host {
		if h.Down {
			down[name] = true
		}
	}
	moved, err := t.machines(b, batch, down)
	if err != nil {
		return err
	}
	if err := t.services(b, batch, down); err != nil {
		return err
	}
	if err := t.limits(b, batch, down); err != nil {
		return err
	}
	for vm, to := range moved {
		t.on[vm] = to
	}
	for i, vm := range b.Moves.VM {
		t.cells[t.Fleet.VMs.Names[vm]] = at(b.Moves.Cells, i)
	}
	return nil
}

// machines checks where each goes and gives the new places.
func (t theTruth) machines(b plan.Batch, batch, down map[string]bool) (map[string]string, error) {
	moved, cells, stopped := map[string]string{}, map[string]int32{}, map[string]bool{}
	for i, vm := range b.Moves.VM {
		moved[t.Fleet.VMs.Names[vm]], cells[t.Fleet.VMs.Names[vm]] = t.name(b.Moves.To[i]), at(b.Moves.Cells, i)
	}
	for _, vm := range b.Stops {
		stopped[t.Fleet.VMs.Names[vm]] = true
	}
	used, pinned := map[string][2]int64{}, map[string][2]int64{}
	for i, vm := range t.Fleet.VMs.Names {
		s := t.Fleet.Shapes[t.Fleet.VMs.Shape[i]]
		to, goes := moved[vm]
		if batch[t.on[vm]] != (goes || stopped[vm]) || (goes && stopped[vm]) {
			return nil, fmt.Errorf("%s on %s: moves %v, stops %v", vm, t.on[vm], goes, stopped[vm])
		}
		fixed, consent := slices.Contains(t.Fleet.VMs.Fixed, int32(i)), slices.Contains(t.Fleet.VMs.Consent, int32(i))
		if (goes && fixed) || (stopped[vm] && !consent) {
			return nil, fmt.Errorf("%s is fixed", vm)
		}
		where := []string{t.on[vm]}
		if goes {
			if down[to] || prefix(to, 3) != prefix(t.on[vm], 3) || t.class[to] < 0 {
				return nil, fmt.Errorf("%s goes to %s", vm, to)
			}
			k, was := t.Fleet.Classes[t.class[to]], t.Fleet.Classes[t.class[t.on[vm]]]
			if !slices.Contains(k.CPUs, s.CPU) || !slices.Contains(k.Machines, s.Machine) || len(s.Networks) > 0 && !slices.Contains(k.Networks, s.Networks[0]) || k.Version < was.Version {
				return nil, fmt.Errorf("%s does not fit %s", vm, to)
			}
			where = append(where, to)
		}
		for n, host := range where {
			mask := t.cells[vm]
			if n == 1 {
				mask = cells[vm]
			}
			if s.Cells == 0 {
				used[host] = [2]int64{used[host][0] + s.VCPUs, used[host][1] + s.MemoryMiB}
				continue
			}
			bit := 0
			for c := range 32 {
				if mask>>c&1 == 1 {
					bit++
					key := fmt.Sprint(host, "#", c)
					pinned[key] = [2]int64{pinned[key][0] + (s.VCPUs+int64(s.Cells)-1)/int64(s.Cells), pinned[key][1] + (s.MemoryMiB+int64(s.Cells)-1)/int64(s.Cells)}
				}
			}
			if bit != s.Cells {
				return nil, fmt.Errorf("%s has %d cells", vm, bit)
			}
		}
	}
	for vm, to := range moved {
		h, floats := t.host[to], t.shape[vm].Cells == 0
		if floats && (used[to][0]*100 > h.VCPUs*int64(100-t.Policy.ReservePercent) || used[to][1]*100 > h.MemoryMiB*int64(100-t.Policy.ReservePercent)) {
			return nil, fmt.Errorf("%s is full", to)
		}
		for c := range 32 {
			if cells[vm]>>c&1 == 0 {
				continue
			}
			if have := pinned[fmt.Sprint(to, "#", c)]; c >= len(h.Cells) || have[0] > h.Cells[c].CPUs || have[1] > h.Cells[c].HugeMiB {
				return nil, fmt.Errorf("cell %d of %s is full", c, to)
			}
		}
	}
	return moved, t.together(moved, stopped)
}

// together checks anti-affinity: with everything where it was and where it goes at once.
func (t theTruth) together(moved map[string]string, stopped map[string]bool) error {
	for _, a := range t.Fleet.Apart {
		for _, i := range a.VMs {
			for _, j := range a.VMs {
				one, two := t.Fleet.VMs.Names[i], t.Fleet.VMs.Names[j]
				if to, goes := moved[one]; goes && i != j {
					if t.in(a.Level, to) == t.in(a.Level, t.on[two]) || (moved[two] != "" && t.in(a.Level, to) == t.in(a.Level, moved[two])) {
						return fmt.Errorf("%s and %s are not apart", one, two)
					}
				}
				if i != j && stopped[one] && (stopped[two] || t.host[t.on[two]].Down) {
					return fmt.Errorf("%s and %s are stopped", one, two)
				}
			}
		}
	}
	return nil
}

// services checks quorums and placement groups with the batch down, and again with every further place down.
func (t theTruth) services(b plan.Batch, batch, down map[string]bool) error {
	region := prefix(string(b.Zone), 2)
	var k plan.Cluster
	for _, c := range t.Fleet.Clusters {
		if string(c.Region) == region {
			k = c
		}
	}
	storage := map[string]bool{}
	for _, h := range k.OSDHosts {
		if batch[t.name(h)] {
			storage[t.in(k.FailureDomain, t.name(h))] = true
		}
	}
	if len(storage) > 1 {
		return fmt.Errorf("storage in %v", storage)
	}
	if err := t.alive(region, k, down, batch, false, false); err != nil {
		return err
	}
	places := map[string]bool{}
	for name := range t.host {
		places[t.in(k.FailureDomain, name)] = true
	}
	for place := range places {
		more := maps.Clone(down)
		for name := range t.host {
			if t.in(k.FailureDomain, name) == place {
				more[name] = true
			}
		}
		if err := t.alive(region, k, more, nil, strings.Contains(string(b.Grade), "C"), !strings.Contains(string(b.Grade), "B")); err != nil {
			return fmt.Errorf("with %s: %w", place, err)
		}
	}
	return nil
}

// alive checks what must be up. With dataOnly nothing has to work, and when data is set nothing may be lost.
func (t theTruth) alive(region string, k plan.Cluster, down, batch map[string]bool, data, dataOnly bool) error {
	for _, p := range k.Pools {
		for i := 0; i < len(p.Acting); i += p.Size {
			up := 0
			for _, h := range p.Acting[i : i+p.Size] {
				if h >= 0 && !down[t.name(h)] {
					up++
				}
			}
			if (!dataOnly && up < p.MinSize) || (data && up < p.Data) {
				return fmt.Errorf("pool %s has %d copies", p.Name, up)
			}
		}
	}
	for _, g := range t.Fleet.Groups {
		up, here, going := 0, 0, 0
		for _, h := range g.Hosts {
			if !down[t.name(h)] {
				up++
			}
			if prefix(t.name(h), 2) == region {
				here++
			}
			if batch[t.name(h)] {
				going++
			}
		}
		if here == 0 {
			continue
		}
		lost := (g.Kind == plan.Quorum && 2*up <= len(g.Hosts)) || (g.Kind != plan.Quorum && up == 0 && (batch == nil || going > 0))
		if (!dataOnly && lost) || (data && g.Kind == plan.Quorum && up == 0) || going > 1 || (g.Kind != plan.Quorum && going > 0 && len(g.Hosts)-up > 1) {
			return fmt.Errorf("group %s has %d members up", g.Name, up)
		}
	}
	return nil
}

// limits checks max_parallel and max_unavailable.
func (t theTruth) limits(b plan.Batch, batch, down map[string]bool) error {
	inZone := 0
	for name := range down {
		if prefix(name, 3) == string(b.Zone) {
			inZone++
		}
	}
	if m := t.Policy.MaxParallel; m > 0 && inZone > m {
		return fmt.Errorf("%d hosts at once", inZone)
	}
	u := t.Policy.MaxUnavailable
	depth := map[string]int{"": 0, "site": 1, "region": 2, "zone": 3}[u.Per]
	for name := range batch {
		all, gone, units := 0, 0, map[string]bool{}
		for other := range t.host {
			if prefix(other, depth) != prefix(name, depth) {
				continue
			}
			all++
			if down[other] {
				gone++
				units[t.in(u.Unit, other)] = true
			}
		}
		if (u.Count > 0 && len(units) > u.Count) || (u.Percent > 0 && gone > all*u.Percent/100) {
			return fmt.Errorf("%d hosts unavailable", gone)
		}
	}
	return nil
}

// anyDamage changes one thing somewhere in a certificate.
func anyDamage(t *rapid.T, x *plan.Certificate) {
	f := &x.Fleet
	index := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "index") }
	host := func() int32 { return int32(index(len(f.Hosts))) }
	vm := func() int32 { return int32(index(len(f.VMs.Names))) }
	b := &x.Batches[index(len(x.Batches))]
	h := &f.Hosts[host()]
	damages := []func(){
		func() { h.Down = !h.Down },
		func() { h.Down, h.Change = true, false },
		func() { h.Class = rapid.Int32Range(-1, 2).Draw(t, "class") },
		func() { h.ClassAfter = rapid.Int32Range(-1, 2).Draw(t, "class") },
		func() { h.MemoryMiB -= rapid.Int64Range(0, 60000).Draw(t, "MiB") },
		func() { h.VCPUs -= rapid.Int64Range(0, 30).Draw(t, "VCPUs") },
		func() { h.Cells[index(len(h.Cells))].HugeMiB = rapid.Int64Range(0, 16384).Draw(t, "huge") },
		func() { h.Cells = h.Cells[:1] },
		func() { h.Chassis = "" },
		func() { f.VMs.Host[vm()] = host() },
		func() { f.VMs.Shape[vm()] = int32(index(3)) },
		func() { f.VMs.Consent = f.VMs.Consent[:1] },
		func() { f.VMs.Fixed = slices.Compact(slices.Sorted(slices.Values(append(f.VMs.Fixed, vm())))) },
		func() { f.Apart[index(2)].VMs[index(2)] = vm() },
		func() { f.Apart[index(2)].Level = rapid.SampledFrom(levels[:3]).Draw(t, "level") },
		func() { g := f.Groups[index(3)].Hosts; g[index(len(g))] = host() },
		func() {
			f.Groups[index(3)].Kind = rapid.SampledFrom([]plan.GroupKind{plan.Standby, plan.Key}).Draw(t, "kind")
		},
		func() { f.Clusters[0].FailureDomain = rapid.SampledFrom(levels[:]).Draw(t, "level") },
		func() { a := f.Clusters[0].Pools[index(2)].Acting; a[index(len(a))] = host() },
		func() { f.Clusters[0].Pools[index(2)].MinSize = 1 + index(3) },
		func() { f.Clusters[0].Pools[index(2)].Data = 1 + index(3) },
		func() { f.Classes[index(3)].Version = index(12) },
		func() { f.Shapes[index(3)].MemoryMiB *= 2 },
		func() { b.Grade = rapid.SampledFrom([]plan.Grade{"A", "A+B+C", "A+B", "C"}).Draw(t, "grade") },
		func() { b.Hosts[index(len(b.Hosts))] = host() },
		func() { b.Zone = rapid.SampledFrom([]model.Path{"s/r/az1", "s/r/az2"}).Draw(t, "zone") },
		func() { b.Stops = nil },
		func() { x.Policy.MaxParallel = index(4) },
		func() {
			x.Policy.MaxUnavailable = plan.MaxUnavailable{Percent: 10 * (1 + index(4)), Per: rapid.SampledFrom([]string{"", "site", "zone"}).Draw(t, "per")}
		},
		func() {
			x.Policy.MaxUnavailable = plan.MaxUnavailable{Count: 1 + index(3), Unit: rapid.SampledFrom(levels[:3]).Draw(t, "unit"), Per: "zone"}
		},
		func() { x.Policy.ReservePercent = 10 * index(8) },
		func() { x.Policy.Survive = "A" },
	}
	if n := len(b.Moves.VM); n > 0 {
		i := index(n)
		damages = append(damages, func() { b.Moves.To[i] = host() }, func() { b.Moves.To[i] = host() }, func() { b.Moves.VM[i] = vm() },
			func() { b.Moves.Cells[i] = int32(index(4)) }, func() { unmove(b, i) },
			func() { b.Stops = append(b.Stops, b.Moves.VM[i]); slices.Sort(b.Stops); unmove(b, i) })
	}
	rapid.SampledFrom(damages).Draw(t, "damage")()
}

// Whatever is done to a certificate, and to what a forger would make to match it, what is accepted is truly good.
func TestWhatIsAcceptedIsGood(t *testing.T) {
	if err := truth(good(t).Certificate); err != nil {
		t.Fatalf("the good plan is not: %v", err)
	}
	accepted, rejected := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		p := good(t)
		for range rapid.IntRange(1, 3).Draw(rt, "damages") {
			anyDamage(rt, p.Certificate)
		}
		match(&p)
		if err := Plan(p); err != nil {
			rejected++
			return
		}
		accepted++
		if err := truth(p.Certificate); err != nil {
			rt.Fatalf("accepted, and yet: %v", err)
		}
	})
	if accepted == 0 || rejected == 0 {
		t.Errorf("%d were accepted and %d rejected, which shows nothing", accepted, rejected)
	}
	t.Logf("%d damaged certificates accepted, %d rejected", accepted, rejected)
}
