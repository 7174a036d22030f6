package synthetic_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe/synthetic"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func load(t testing.TB, name string, vars map[string]string) model.Desired {
	t.Helper()
	inv, diags := inventory.Load(filepath.Join("../../../inventories", name), inventory.Options{Vars: vars})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return inv.Desired
}

func every(model.Node) bool { return true }

// fleet is the projection of a synthetic observation, checked for what must hold of a healthy fleet.
func fleet(t *testing.T, d model.Desired, seed uint64) plan.Fleet {
	t.Helper()
	o, err := synthetic.Observe(d, seed)
	if err != nil {
		t.Fatal(err)
	}
	f, err := facts.Fleet(d, o, every)
	if err != nil {
		t.Fatal(err)
	}
	fits(t, f)
	apart(t, f)
	complete(t, f)
	return f
}

// fits checks every host's load against what it has, and the whole against being empty or full.
func fits(t *testing.T, f plan.Fleet) {
	t.Helper()
	vcpus, memory := make([]int64, len(f.Hosts)), make([]int64, len(f.Hosts))
	for i, h := range f.VMs.Host {
		s := f.Shapes[f.VMs.Shape[i]]
		if s.Cells == 0 {
			vcpus[h] += s.VCPUs
			memory[h] += s.MemoryMiB
		}
		c := f.Classes[f.Hosts[h].Class]
		if !strings.Contains(strings.Join(c.CPUs, " "), s.CPU) || !strings.Contains(strings.Join(c.Machines, " "), s.Machine) {
			t.Fatalf("%s cannot run on the class of its own host", f.VMs.Names[i])
		}
	}
	var used, all float64
	for i, h := range f.Hosts {
		if h.Down || vcpus[i] > h.VCPUs || memory[i] > h.MemoryMiB {
			t.Fatalf("%s: down %v, %d of %d vCPU, %d of %d MiB", h.Path, h.Down, vcpus[i], h.VCPUs, memory[i], h.MemoryMiB)
		}
		if h.ClassAfter >= 0 && f.Classes[h.ClassAfter].Version <= f.Classes[h.Class].Version {
			t.Fatalf("%s: an image that nobody runs yet must count as newer", h.Path)
		}
		used, all = used+float64(memory[i]), all+float64(h.MemoryMiB)
	}
	if part := used / all; part < 0.4 || part > 0.85 {
		t.Errorf("%.0f %% of memory is used", 100*part)
	}
}

func apart(t *testing.T, f plan.Fleet) {
	t.Helper()
	if len(f.VMs.Names) > 1000 && len(f.Apart) < 10 {
		t.Errorf("%d anti-affinity groups for %d virtual machines", len(f.Apart), len(f.VMs.Names))
	}
	for _, g := range f.Apart {
		at := map[model.Path]bool{}
		for _, vm := range g.VMs {
			where := f.Hosts[f.VMs.Host[vm]].Path
			if g.Level == plan.LevelRack {
				where = where.Rack()
			}
			if at[where] {
				t.Errorf("two members of %s meet at %s", g.Name, where)
			}
			at[where] = true
		}
	}
}

// complete checks that every placement group has all its copies in different failure domains, and that there are about as many as Ceph would make.
func complete(t *testing.T, f plan.Fleet) {
	t.Helper()
	for _, c := range f.Clusters {
		for _, p := range c.Pools {
			pgs := 0
			for i, n := range p.Count {
				pgs += int(n)
				at := map[model.Path]bool{}
				for _, h := range p.Acting[i*p.Size : (i+1)*p.Size] {
					if h < 0 {
						t.Fatalf("%s: a copy is missing", p.Name)
					}
					at[domain(f.Hosts[h], c.FailureDomain)] = true
				}
				if len(at) != p.Size {
					t.Fatalf("%s: %d copies in %d failure domains", p.Name, p.Size, len(at))
				}
			}
			if pgs&(pgs-1) != 0 || pgs < 32 {
				t.Errorf("%s has %d placement groups", p.Name, pgs)
			}
		}
	}
}

func domain(h plan.Host, level string) model.Path {
	switch level {
	case plan.LevelRack:
		return h.Path.Rack()
	case plan.LevelZone:
		return h.Path.Zone()
	case plan.LevelChassis:
		return h.Chassis
	}
	return h.Path
}

func TestFleets(t *testing.T) {
	for _, tc := range []struct {
		name  string
		vars  map[string]string
		vms   int
		hosts int
	}{
		{"nubo", nil, 13_500, 304},
		{"pi", nil, 15_000, 110},
		{"scale", map[string]string{"nodes": "24"}, 1200, 24},
		{"scale", map[string]string{"nodes": "260"}, 13_000, 260},
	} {
		d := load(t, tc.name, tc.vars)
		f := fleet(t, d, 1)
		if len(f.VMs.Names) != tc.vms || len(f.Hosts) != tc.hosts {
			t.Errorf("%s: %d virtual machines on %d hosts", tc.name, len(f.VMs.Names), len(f.Hosts))
		}
		if !reflect.DeepEqual(f, fleet(t, d, 1)) {
			t.Errorf("%s: the same seed gives another fleet", tc.name)
		}
		if reflect.DeepEqual(f, fleet(t, d, 2)) {
			t.Errorf("%s: another seed gives the same fleet", tc.name)
		}
		if _, err := facts.Policy(d); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be made up says why.
func TestRefusals(t *testing.T) {
	d := load(t, "scale", map[string]string{"nodes": "24", "vms_per_node": "500"})
	if _, err := synthetic.Observe(d, 1); err == nil || !strings.Contains(err.Error(), "fits on no host of") {
		t.Errorf("an overfull fleet: %v", err)
	}
	d = load(t, "scale", map[string]string{"nodes": "24"})
	d.Regions[0].Ceph.FailureDomain = plan.LevelZone
	if _, err := synthetic.Observe(d, 1); err == nil || !strings.Contains(err.Error(), "wants 3 failure domains (zone) with OSDs, and there are 2") {
		t.Errorf("three copies in two zones: %v", err)
	}
}

func BenchmarkObserve10000(b *testing.B) {
	d := load(b, "scale", map[string]string{"nodes": "10000"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := synthetic.Observe(d, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFleet10000(b *testing.B) {
	d := load(b, "scale", map[string]string{"nodes": "10000"})
	o, err := synthetic.Observe(d, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := facts.Fleet(d, o, every); err != nil {
			b.Fatal(err)
		}
	}
}
