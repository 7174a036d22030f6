package peers_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/peers"
)

// row is one zone of hosts with room for ten machines of one size each; loads says how many run on each.
func row(loads ...int) plan.Fleet {
	f := plan.Fleet{Classes: []plan.Class{{CPUs: []string{"c"}, Machines: []string{"m"}}}, Shapes: []plan.Shape{{CPU: "c", Machine: "m", VCPUs: 1, MemoryMiB: 1000}}}
	for i, n := range loads {
		f.Hosts = append(f.Hosts, plan.Host{Path: model.Path("s/r/z/k").Join(string(rune('a' + i))), Change: true, VCPUs: 10, MemoryMiB: 10_000, MiBs: 1000})
		for range n {
			f.VMs.Names = append(f.VMs.Names, "")
			f.VMs.Host, f.VMs.Shape = append(f.VMs.Host, int32(i)), append(f.VMs.Shape, 0)
		}
	}
	return f
}

func hostsOf(rounds []peers.Round) []plan.Ints {
	var out []plan.Ints
	for _, r := range rounds {
		out = append(out, r.Hosts)
	}
	return out
}

func TestStarlingXLists(t *testing.T) {
	for _, tc := range []struct {
		name string
		most int
		edit func(*plan.Fleet)
		want []plan.Ints
	}{
		{"the cap", 2, nil, []plan.Ints{{0, 1}, {2, 3}, {4, 5}, {6, 7}}},
		{"half of an aggregate at most", 10, nil, []plan.Ints{{0, 1, 2, 3}, {4, 5, 6, 7}}},
		{"anti-affinity keeps hosts apart", 2, func(f *plan.Fleet) { f.Apart = []plan.Apart{{Level: plan.LevelHost, VMs: plan.Ints{0, 1}}} },
			[]plan.Ints{{0, 2}, {1, 3}, {4, 5}, {6, 7}}},
		{"those without machines first", 2, func(f *plan.Fleet) { f.VMs.Host[7] = 0 }, []plan.Ints{{7}, {0, 1}, {2, 3}, {4, 5}, {6}}},
		{"controllers first and alone", 4, func(f *plan.Fleet) { f.Groups = []plan.Group{{Kind: plan.Quorum, Hosts: plan.Ints{2, 3, 4}}} },
			[]plan.Ints{{2}, {3}, {4}, {0, 1, 5, 6}, {7}}},
		{"storage hosts that replicate each other", 2, func(f *plan.Fleet) {
			for h := range 4 {
				f.Hosts[h].Class = -1
				f.VMs.Host[h] = 7
			}
			f.Clusters = []plan.Cluster{{OSDHosts: plan.Ints{0, 1, 2, 3}, Pools: []plan.Pool{{Size: 2, Acting: plan.Ints{0, 1, 2, 3}, Count: plan.Ints{1, 1}}}}}
		}, []plan.Ints{{0, 2}, {1, 3}, {4, 5}, {6, 7}}},
	} {
		f := row(1, 1, 1, 1, 1, 1, 1, 1)
		if tc.edit != nil {
			tc.edit(&f)
		}
		if diff := cmp.Diff(tc.want, peers.StarlingX(tc.most).Rounds(&f)); diff != "" {
			t.Errorf("%s:\n%s", tc.name, diff)
		}
	}
}

// Nobody asks for room: what does not fit is left over, and counted.
func TestStarlingXAsksForNoRoom(t *testing.T) {
	f := row(9, 9, 9, 9)
	rounds := peers.Run(f, peers.StarlingX(2))
	harm := peers.Count(&f, rounds)
	if len(rounds) != 2 || harm.Homes != 2*16 || harm.Rounds != 2 || harm.Crowded != 0 {
		t.Errorf("%d rounds, %+v", len(rounds), harm)
	}
}

func TestWatcher(t *testing.T) {
	f := row(4, 5, 2, 3) // all of the first fit on the third, which is the emptiest; then nothing is empty enough for all of the second
	rounds := peers.Run(f, peers.Watcher())
	if diff := cmp.Diff([]plan.Ints{{0}, {1}, {2}, {3}}, hostsOf(rounds)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(plan.Ints{2, 2, 2, 2}, rounds[0].Moves.To); diff != "" {
		t.Error(diff)
	}
	f = row(8, 4, 5) // nowhere is room for eight together: the scheduler spreads them, as far as they go
	rounds = peers.Run(f, peers.Watcher())
	if n := len(rounds[0].Moves.VM); n != 8 || len(rounds[0].Nowhere) != 0 {
		t.Errorf("%d moved, %d left", n, len(rounds[0].Nowhere))
	}
	if to := rounds[0].Moves.To; !slices.Contains(to, 1) || !slices.Contains(to, 2) {
		t.Errorf("all go to one host: %v", to)
	}
}

// Every kind of harm is seen.
func TestCount(t *testing.T) {
	f := row(1, 1, 1, 0)
	f.Hosts[1].VCPUs = 1
	f.Groups = []plan.Group{{Kind: plan.Quorum, Hosts: plan.Ints{0, 1, 2}}, {Kind: plan.Standby, Hosts: plan.Ints{0, 1}}}
	f.Clusters = []plan.Cluster{{Pools: []plan.Pool{{Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{0, 1, 2, 1, 2, 3}, Count: plan.Ints{5, 7}}}}}
	f.Apart = []plan.Apart{{Level: plan.LevelHost, VMs: plan.Ints{0, 2}}}
	none := peers.Count(&f, []peers.Round{{Hosts: plan.Ints{0}, Moves: plan.Moves{VM: plan.Ints{0}, To: plan.Ints{3}}}})
	if !none.None() {
		t.Errorf("a harmless round: %+v", none)
	}
	got := peers.Count(&f, []peers.Round{
		{Hosts: plan.Ints{0, 1}, Moves: plan.Moves{VM: plan.Ints{0}, To: plan.Ints{2}}, Nowhere: plan.Ints{1}},
		{Hosts: plan.Ints{0, 1, 2}, Moves: plan.Moves{VM: plan.Ints{0}, To: plan.Ints{1}}},
	})
	want := peers.Harm{Rounds: 2, Quorums: 2, PGs: 5 + 5 + 7, Data: 5, Homes: 1 + 1, Apart: 1, Dead: 2, Crowded: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f.Hosts[3].Path = "s/r/other/k/d"
	if h := peers.Count(&f, []peers.Round{{Hosts: plan.Ints{2, 3}}}); h.Zones != 1 {
		t.Errorf("two zones at once: %+v", h)
	}
	f.Hosts[1].Down = true // what a lost host breaks by itself is nobody's harm
	if h := peers.Count(&f, []peers.Round{{Hosts: plan.Ints{3}}}); h.PGs != 7 || h.Quorums != 0 {
		t.Errorf("beside a lost host: %+v", h)
	}
}

// Where a plan exists it breaks nothing. The rules do break things on fleets like these: a count that never finds anything would prove nothing.
func TestPlansBreakNothing(t *testing.T) {
	planned, broken := 0, 0
	for seed := range uint64(60) {
		f, p := plantest.Fleet(seed, plantest.Small)
		if !peers.Count(&f, peers.Run(f, peers.StarlingX(10))).None() {
			broken++
		}
		c, err := wave.Solve(f, p)
		if err != nil {
			continue
		}
		planned++
		if own := peers.Count(&f, peers.Planned(&c)); !own.None() {
			t.Errorf("seed %d: the plan breaks %+v", seed, own)
		}
	}
	if planned < 10 || broken < 10 {
		t.Errorf("%d plans, %d fleets broken by the rule: too few to tell anything", planned, broken)
	}
}

// On a fleet where StarlingX's rule breaks nothing a plan never needs more rounds than it, when it is held to no policy that the rule does not know.
func TestNoMoreRoundsThanStarlingX(t *testing.T) {
	fair := 0
	for seed := range uint64(400) {
		f, p := plantest.Fleet(seed, []plantest.Size{plantest.Tiny, plantest.Small}[seed%2])
		p.MaxUnavailable, p.Canary, p.ReservePercent, p.MaxParallel, p.Survive = plan.MaxUnavailable{}, 0, 0, 0, "A"
		for _, most := range []int{2, 10} {
			star := peers.Run(f, peers.StarlingX(most))
			if !peers.Count(&f, star).None() {
				continue
			}
			c, err := wave.Solve(f, p)
			if err != nil { // the rule moves machines that do not survive a later change, which is no harm that is counted here
				continue
			}
			fair++
			if len(c.Batches) > len(star) {
				t.Errorf("seed %d: %d rounds, StarlingX's rule with %d at once needs %d and breaks nothing", seed, len(c.Batches), most, len(star))
			}
		}
	}
	if fair < 50 {
		t.Errorf("%d fleets: too few to tell anything", fair)
	}
}
