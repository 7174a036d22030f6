package peers_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"text/tabwriter"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/inventory"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe/synthetic"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/peers"
)

// group is a set of fleets that are compared together.
type group struct {
	name   string
	fleets func(yield func(plan.Fleet, plan.Policy) bool)
}

func generated(size plantest.Size, seeds uint64) func(func(plan.Fleet, plan.Policy) bool) {
	return func(yield func(plan.Fleet, plan.Policy) bool) {
		for seed := range seeds {
			if !yield(plantest.Fleet(seed, size)) {
				return
			}
		}
	}
}

func synthesized(t *testing.T, name string, vars map[string]string) func(func(plan.Fleet, plan.Policy) bool) {
	return func(yield func(plan.Fleet, plan.Policy) bool) {
		inv, diags := inventory.Load(filepath.Join("../../../inventories", name), inventory.Options{Vars: vars})
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		o, err := synthetic.Observe(inv.Desired, 1)
		if err != nil {
			t.Fatal(err)
		}
		f, err := facts.Fleet(inv.Desired, o, func(model.Node) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		p, err := facts.Policy(inv.Desired)
		if err != nil {
			t.Fatal(err)
		}
		yield(f, p)
	}
}

// tally is a row of the table.
type tally struct {
	fleets, rounds, broken, refused int
	hours                           float64
	harm                            peers.Harm
}

func (t *tally) add(f *plan.Fleet, p plan.Policy, rounds []peers.Round) {
	h := peers.Count(f, rounds)
	t.fleets++
	t.rounds += len(rounds)
	for _, r := range rounds {
		t.hours += float64(peers.Seconds(f, p, r)) / 3600
	}
	if h.Rounds > 0 {
		t.broken++
	}
	t.harm.Rounds += h.Rounds
	t.harm.Quorums += h.Quorums
	t.harm.PGs += h.PGs
	t.harm.Data += h.Data
	t.harm.Homes += h.Homes
	t.harm.Apart += h.Apart
	t.harm.Dead += h.Dead
	t.harm.Crowded += h.Crowded
	t.harm.Zones += h.Zones
}

// TestBenchPeers prints the table of docs/performance.md: all rules on the same fleets and seeds, counted by the same code. Fleets for which no safe plan
// exists are left out of every row, and their number is printed.
func TestBenchPeers(t *testing.T) {
	if os.Getenv("NUBO_BENCH") == "" {
		t.Skip("prints figures; make bench runs it")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fleets\trule\trounds\thours\tfleets broken\trounds that break something\tVMs without a place\tPGs below min_size\tof them unreadable\tquorums lost\tservices lost\tgroups brought together\trounds over several zones")
	rules := []struct {
		name string
		rule peers.Rule
	}{{"StarlingX, 2 at once", peers.StarlingX(2)}, {"StarlingX, 10 at once", peers.StarlingX(10)}, {"Watcher, one backup host", peers.Watcher()}, {"one host at a time", peers.OneByOne()}}
	for _, g := range []group{
		{"24 hosts, 200 seeds", generated(plantest.Small, 200)}, {"260 hosts, 20 seeds", generated(plantest.Region, 20)},
		{"inventories/nubo", synthesized(t, "nubo", nil)}, {"inventories/pi", synthesized(t, "pi", nil)},
		{"inventories/scale, 1000", synthesized(t, "scale", map[string]string{"nodes": "1000"})},
	} {
		var own tally
		rows := make([]tally, len(rules))
		for f, p := range g.fleets {
			c, err := wave.Solve(f, p)
			if err != nil {
				own.refused++
				continue
			}
			own.add(&f, p, peers.Planned(&c))
			for i, r := range rules {
				rows[i].add(&f, p, peers.Run(f, r.rule))
			}
		}
		own.print(w, fmt.Sprintf("%s (%d without a safe plan)", g.name, own.refused), "nuboctl")
		for i, r := range rules {
			rows[i].print(w, g.name, r.name)
		}
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
}

func (t *tally) print(w *tabwriter.Writer, fleets, rule string) {
	n := float64(cmp.Or(t.fleets, 1))
	fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%d of %d\t%d of %d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", fleets, rule, float64(t.rounds)/n, t.hours/n, t.broken, t.fleets, t.harm.Rounds, t.rounds,
		t.harm.Homes, t.harm.PGs, t.harm.Data, t.harm.Quorums, t.harm.Dead, t.harm.Apart, t.harm.Zones)
}
