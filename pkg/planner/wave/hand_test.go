package wave_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// racks is a zone of hosts that all have OSDs and carry one virtual machine each, with room for two.
func racks(hosts, perRack int, pools ...plan.Pool) (plan.Fleet, plan.Policy) {
	f := plan.Fleet{
		Classes: []plan.Class{{CPUs: []string{"c"}, Machines: []string{"m"}, Version: 1}, {CPUs: []string{"c"}, Machines: []string{"m"}, Version: 2}},
		Shapes:  []plan.Shape{{Name: "one", CPU: "c", Machine: "m", VCPUs: 1, MemoryMiB: 1024}},
	}
	c := plan.Cluster{Region: "s/r", FailureDomain: plan.LevelRack, Pools: pools}
	for i := range hosts {
		f.Hosts = append(f.Hosts, plan.Host{Path: model.Path(fmt.Sprintf("s/r/z/k%d/n%02d", i/perRack, i)), Change: true, ClassAfter: 1, VCPUs: 8, MemoryMiB: 2048})
		f.VMs.Names, f.VMs.Host, f.VMs.Shape = append(f.VMs.Names, fmt.Sprintf("vm%02d", i)), append(f.VMs.Host, int32(i)), append(f.VMs.Shape, 0)
		c.OSDHosts = append(c.OSDHosts, int32(i))
	}
	f.Clusters = []plan.Cluster{c}
	return f, plan.Policy{Survive: "A"}
}

func sets(size, min int, acting ...int32) plan.Pool {
	p := plan.Pool{Name: "p", Size: size, MinSize: min, Data: 1, Acting: acting}
	for range len(acting) / size {
		p.Count = append(p.Count, 1)
	}
	return p
}

func TestByHand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fleet  func() (plan.Fleet, plan.Policy)
		rounds int
		grade  plan.Grade
		refuse string // part of the refusal
	}{
		{name: "a rack at a time", rounds: 3, grade: "A+C", fleet: func() (plan.Fleet, plan.Policy) {
			return racks(9, 3, sets(3, 2, 0, 3, 6, 1, 4, 7, 2, 5, 8))
		}},
		{name: "four copies survive with I/O", rounds: 4, grade: "A+B+C", fleet: func() (plan.Fleet, plan.Policy) {
			return racks(12, 3, sets(4, 2, 0, 3, 6, 9, 1, 4, 7, 10))
		}},
		{name: "copies that share a rack go one after the other", rounds: 5, grade: "A", fleet: func() (plan.Fleet, plan.Policy) {
			return racks(9, 3, sets(3, 2, 0, 1, 2, 0, 3, 6))
		}},
		{name: "a missing copy holds its companions", refuse: "below min_size 2", fleet: func() (plan.Fleet, plan.Policy) {
			return racks(9, 3, sets(3, 2, 0, 3, -1))
		}},
		{name: "two copies lose data with a rack", refuse: "grade C", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 3, sets(2, 1, 0, 3, 1, 6))
			p.Survive = "A+C"
			return f, p
		}},
		{name: "broken already", refuse: "fewer than min_size 2 copies already", fleet: func() (plan.Fleet, plan.Policy) {
			return racks(9, 3, sets(3, 2, 0, -1, -1))
		}},
		{name: "a monitor at a time", rounds: 3, grade: "A+C", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.Clusters[0].FailureDomain, f.Clusters[0].OSDHosts = plan.LevelHost, nil
			f.Groups = []plan.Group{{Hosts: plan.Ints{0, 1, 2}, Kind: plan.Quorum, Name: "mon"}}
			return f, p
		}},
		{name: "a lost monitor holds the others", refuse: "no majority", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.Groups = []plan.Group{{Hosts: plan.Ints{0, 1, 2}, Kind: plan.Quorum, Name: "mon"}}
			f.Hosts[2].Down = true
			return f, p
		}},
		{name: "no standby", refuse: "no other member", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.Groups = []plan.Group{{Hosts: plan.Ints{4}, Kind: plan.Standby, Name: "mgr"}}
			return f, p
		}},
		{name: "the only name server", refuse: "have it on another host as well, or outside of this inventory", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.Groups = []plan.Group{{Hosts: plan.Ints{4}, Kind: plan.Key, Name: "name servers"}}
			return f, p
		}},
		{name: "a name server at a time", rounds: 3, grade: "A+C", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.Groups = []plan.Group{{Hosts: plan.Ints{4, 5}, Kind: plan.Key, Name: "name servers"}}
			return f, p
		}},
		{name: "no consent", refuse: "vm03", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(9, 9)
			f.VMs.Fixed = plan.Ints{3}
			return f, p
		}},
		{name: "full", refuse: "possible with 1 more hosts", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(3, 1)
			for i := range f.Hosts {
				f.Hosts[i].MemoryMiB = 1024
			}
			return f, p
		}},
		{name: "the reserve is what is missing", refuse: "possible with no reserve", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(3, 1)
			p.ReservePercent = 10
			return f, p
		}},
		{name: "nowhere back", refuse: "its version or a newer one", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(2, 1)
			f.Hosts[0].Class = 1 // two hypervisors, and the newer one's guests cannot go to the older
			f.Hosts[1].ClassAfter = 0
			return f, p
		}},
		{name: "a processor of many features is told by their number", refuse: "CPU model EPYC-Rome with 5 features, machine type", fleet: func() (plan.Fleet, plan.Policy) {
			f, p := racks(2, 1)
			f.Hosts[0].Class, f.Hosts[1].ClassAfter = 1, 0
			f.Shapes[0].CPU = "EPYC-Rome,+cmp_legacy,+svm,+clwb,-xsaves,-mpx"
			return f, p
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, p := tc.fleet()
			c, err := wave.Solve(f, p)
			var r *plan.Refusal
			if tc.refuse != "" {
				if !errors.As(err, &r) || !strings.Contains(err.Error(), tc.refuse) {
					t.Fatalf("want a refusal with %q, got %v", tc.refuse, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range check(f, p, c.Batches) {
				t.Error(x)
			}
			if len(c.Batches) != tc.rounds || c.Grade != tc.grade {
				t.Errorf("%d rounds (bound %d: %s) of grade %s: %v", len(c.Batches), c.Bound.Rounds, c.Bound.Binding, c.Grade, c.Batches)
			}
		})
	}
}

// What holds for a batch holds for every part of it: whatever the order in which its hosts go down and come back.
func TestEveryPartOfABatchIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, p := plantest.Fleet(rapid.Uint64().Draw(t, "seed"), plantest.Tiny)
		c, ok := solve(t, f, p)
		if !ok {
			t.Skip("refused")
		}
		i := rapid.IntRange(0, len(c.Batches)-1).Draw(t, "batch")
		whole := c.Batches[i]
		part := plan.Batch{Zone: whole.Zone}
		for _, h := range whole.Hosts {
			if rapid.Bool().Draw(t, "down") {
				part.Hosts = append(part.Hosts, h)
			}
		}
		w := begin(advanced(c, i), p)
		for j, v := range whole.Moves.VM {
			if h := w.at[v]; contains(part.Hosts, h) {
				part.Moves.VM, part.Moves.To = append(part.Moves.VM, v), append(part.Moves.To, whole.Moves.To[j])
				if len(whole.Moves.Cells) > 0 {
					part.Moves.Cells = append(part.Moves.Cells, whole.Moves.Cells[j])
				}
			}
		}
		for _, v := range whole.Stops {
			if contains(part.Hosts, w.at[v]) {
				part.Stops = append(part.Stops, v)
			}
		}
		part.Counts.Displaced = len(part.Moves.VM)
		part.Grade = w.grade(part, w.down(part))
		w.batch(part)
		for _, x := range w.wrong {
			t.Error(x)
		}
	})
}
