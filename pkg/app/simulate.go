package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe/synthetic"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// SimulateOptions are those of Simulate.
type SimulateOptions struct {
	Rollouts int
	Seed     uint64 // of the first; the others follow
	Faults   string // none, default, harsh or splits
	Without  []string
	Only     []string // the hosts that are changed; empty: all
	Policy   string   // whose batches
	Method   string   // how hosts are changed; empty: as the fleet's policy says
	Fleet    string   // inventory, or a size of generated fleets
	HTML     string   // write a page to this file
	Record   string   // keep what is finished in this file, and go on from it
}

// sizes are those of generated fleets.
var sizes = map[string]plantest.Size{"tiny": plantest.Tiny, "small": plantest.Small, "medium": plantest.Medium, "region": plantest.Region}

// Simulate rolls fleets in the simulated data centre. It exits 1 when an invariant was violated, and says in one command how to see that again.
func Simulate(ctx context.Context, e Env, o SimulateOptions) error {
	if _, ok := world.Profiles[o.Faults]; !ok {
		return fmt.Errorf("--faults %s: there are none, default and harsh", o.Faults)
	}
	opt, err := run.Policy(o.Policy)
	if err != nil {
		return err
	}
	fleet, inventory, err := e.fleet(o)
	if err != nil {
		return err
	}
	set := run.Set{Rollouts: o.Rollouts, Seed: o.Seed, Faults: o.Faults, Without: o.Without, Method: o.Method, Fleet: fleet, Options: opt}
	for _, p := range o.Only {
		set.Only = append(set.Only, model.Path(p))
	}
	if _, err := (run.Case{Faults: o.Faults, Without: o.Without, Method: o.Method}).Check(); err != nil {
		return err
	}
	tally, err := e.roll(ctx, set, o, inventory)
	if err != nil && ctx.Err() == nil {
		return err
	}
	sum := tally.Summary()
	if err := errors.Join(err, e.simulationPage(sum, tally.Makespans, o), e.showSimulation(sum, o)); err != nil {
		return err
	}
	if len(sum.Violations) == 0 {
		return nil
	}
	v := sum.Violations[0]
	small := run.Shrink(set.Case(v.Seed), fleet, opt, v.Invariant)
	e.note("To see the first again, with as few faults and hosts as still show it:\n  nuboctl simulate %s --policy %s --fleet %s", small.Args(), o.Policy, o.Fleet)
	return &Exit{Code: ExitError, Err: fmt.Errorf("%d invariants were violated", len(sum.Violations)), Shown: true}
}

// garbage lets the heap grow to six times what is alive before it is collected: a rollout's worlds are small and short-lived, and collecting them
// took a fifth of the time.
const garbage = 500

// roll carries out the set, with a record where one is asked for, and tells how far it is. The error is the context's when that ended before.
func (e Env) roll(ctx context.Context, set run.Set, o SimulateOptions, inventory model.Digest) (run.Tally, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	began, ended := time.Now(), 0
	set.Done = func(run.Result) {
		if ended++; e.Interactive && ended%10 == 0 {
			fmt.Fprintf(e.Err, "\r%d of %d rollouts", ended, o.Rollouts)
		}
	}
	defer func() {
		if e.Interactive {
			fmt.Fprintf(e.Err, "\r%s in %s\n", view.Plural(ended, "rollout"), time.Since(began).Round(time.Second))
		}
	}()
	if o.Record == "" {
		t := run.Many(ctx, set)
		return t, ctx.Err()
	}
	r, err := run.OpenRecord(o.Record, run.Settings{Program: Version, Fleet: o.Fleet, Inventory: inventory, Policy: o.Policy, Faults: o.Faults, Without: o.Without, Only: set.Only, Method: o.Method})
	if err != nil {
		return run.Tally{}, err
	}
	t, err := run.Recorded(ctx, set, r)
	return t, errors.Join(err, r.Close())
}

// fleet gives the fleets that are rolled, and the digest of the inventory that they are made from; none of generated ones.
func (e Env) fleet(o SimulateOptions) (run.Fleet, model.Digest, error) {
	if size, ok := sizes[o.Fleet]; ok {
		return run.Generated(size), "", nil
	}
	if o.Fleet != "inventory" {
		return nil, "", fmt.Errorf("--fleet %s: there are inventory, tiny (8 hosts), small (24), medium (120) and region (260)", o.Fleet)
	}
	inv, err := e.load()
	if err != nil {
		return nil, "", err
	}
	p, err := facts.Policy(inv.Desired)
	if err != nil {
		return nil, "", err
	}
	observe := func(seed uint64) (plan.Fleet, error) {
		seen, err := synthetic.Observe(inv.Desired, seed)
		if err != nil {
			return plan.Fleet{}, err
		}
		return facts.Fleet(inv.Desired, seen, func(model.Node) bool { return true })
	}
	if _, err := observe(o.Seed); err != nil {
		return nil, "", fmt.Errorf("a loaded fleet of this inventory cannot be made up: %w", err)
	}
	var mu sync.Mutex
	return func(seed uint64) (plan.Fleet, plan.Policy) {
		mu.Lock()
		defer mu.Unlock()
		f, err := observe(seed)
		if err != nil {
			return plan.Fleet{}, p
		}
		return f, p
	}, model.DigestJSON(inv.Desired), nil
}

// simulationPage writes the page, where one is asked for.
func (e Env) simulationPage(s run.Summary, makespans []time.Duration, o SimulateOptions) error {
	if o.HTML == "" {
		return nil
	}
	p := view.SimulationPage{Title: fmt.Sprintf("Simulation: batches of %s, fleet %s, faults %s, seeds from %d", o.Policy, o.Fleet, o.Faults, o.Seed), Rollouts: s.Rollouts, Completed: s.Completed,
		Halted: s.Halted, Refused: s.Refused, Kills: s.Kills, Rounds: s.Rounds, RoundsLowerBound: s.RoundsBound, SecondsLowerBound: s.TimeBound}
	for _, d := range makespans {
		p.Makespans = append(p.Makespans, d.Seconds())
	}
	for _, v := range s.Violations {
		p.Violations = append(p.Violations, view.SimulatedViolation{Seed: v.Seed, Time: view.Duration(time.Duration(v.Seconds * float64(time.Second))), Invariant: v.Invariant, Detail: v.Detail})
	}
	var page bytes.Buffer
	if err := view.SimulationHTML(&page, p); err != nil {
		return err
	}
	if err := replaceFile(o.HTML, page.Bytes()); err != nil {
		return err
	}
	e.note("Wrote the page to %s.", o.HTML)
	return nil
}

// showSimulation writes what came of it.
func (e Env) showSimulation(s run.Summary, o SimulateOptions) error {
	if e.JSON {
		enc := json.NewEncoder(e.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	hours := func(seconds float64) string {
		return (time.Duration(seconds) * time.Second).Round(time.Minute).String()
	}
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(e.Out, format+"\n", args...)
		errs = append(errs, err)
	}
	line("%s, faults %s, seeds %d to %d: %d complete, %d halted, %d refused; nuboctl was killed %s.",
		view.Plural(s.Rollouts, "rollout"), o.Faults, o.Seed, o.Seed+uint64(max(s.Rollouts, 1))-1, s.Completed, s.Halted, s.Refused, view.Plural(s.Kills, "time"))
	line("Time: half of them within %s, 95 %% within %s; on average no rollout can take less than %s.", hours(s.Makespan.P50), hours(s.Makespan.P95), hours(s.TimeBound))
	line("Rounds: %.1f on average, and %.1f are needed at least.", s.Rounds, s.RoundsBound)
	line("Violations: %d", len(s.Violations))
	for i, v := range s.Violations {
		if i == 20 {
			line("  … and %d more (--json lists them all)", len(s.Violations)-i)
			break
		}
		line("  seed %d, after %s: %s: %s", v.Seed, time.Duration(v.Seconds*float64(time.Second)).Round(time.Second), v.Invariant, v.Detail)
	}
	return errors.Join(errs...)
}
