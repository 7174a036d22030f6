package run

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
)

// Violation is what the monitor saw.
type Violation = monitor.Violation

// FormatVersion is the version of a summary's form.
const FormatVersion = 1

// Fleet gives the fleet and the policy of a seed. It is called from several goroutines.
type Fleet func(seed uint64) (plan.Fleet, plan.Policy)

// Generated are generated fleets of a size, another for each seed.
func Generated(size plantest.Size) Fleet {
	return func(seed uint64) (plan.Fleet, plan.Policy) { return plantest.Fleet(seed, size) }
}

// Set are rollouts with the seeds Seed, Seed+1, ….
type Set struct {
	Rollouts int
	Seed     uint64
	Faults   string // a key of world.Profiles
	Without  []string
	Only     []model.Path
	Fleet    Fleet
	// Options are those of every rollout, without seed and faults.
	Options Options
	// Cores bounds how many run at once; 0: as many as there are.
	Cores int
	// Done is told each rollout as it ends, one at a time, in no order; it may be nil.
	Done func(Result)
}

// Quantiles of what was measured.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// Summary is what came of a set. Rounds and bounds are means over the rollouts that were begun.
type Summary struct {
	FormatVersion int                 `json:"format_version"`
	Rollouts      int                 `json:"rollouts"`
	Completed     int                 `json:"completed"`
	Halted        int                 `json:"halted"`
	Refused       int                 `json:"refused"`
	Kills         int                 `json:"kills"`
	Violations    []monitor.Violation `json:"violations"`
	Makespan      Quantiles           `json:"makespan_seconds"`
	Rounds        float64             `json:"rounds"`
	RoundsBound   float64             `json:"rounds_lower_bound"`
	TimeBound     float64             `json:"time_lower_bound_seconds"`
}

// Many carries out a set, on all cores. When ctx ends, no further rollout begins, and the summary is of those that there were.
func Many(ctx context.Context, s Set) Summary {
	results := make([]Result, s.Rollouts)
	cores := min(cmp.Or(s.Cores, runtime.GOMAXPROCS(0)), max(s.Rollouts, 1))
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range cores {
		wg.Go(func() {
			for i := range next {
				results[i] = s.one(s.Seed + uint64(i))
				mu.Lock()
				if s.Done != nil {
					s.Done(results[i])
				}
				mu.Unlock()
			}
		})
	}
	begun := 0
	for ; begun < len(results) && ctx.Err() == nil; begun++ {
		next <- begun
	}
	close(next)
	wg.Wait()
	return summary(results[:begun])
}

func (s Set) one(seed uint64) Result {
	r, err := s.Case(seed).Run(s.Fleet, s.Options)
	if err != nil {
		r = Result{Seed: seed, Outcome: Refused, Why: err.Error()}
	}
	return r
}

// Case is the rollout of a seed.
func (s Set) Case(seed uint64) Case {
	return Case{Seed: seed, Faults: s.Faults, Without: s.Without, Only: s.Only}
}

func summary(results []Result) Summary {
	out := Summary{FormatVersion: FormatVersion, Rollouts: len(results), Violations: []monitor.Violation{}}
	var spans []time.Duration
	for _, r := range results {
		out.Violations = append(out.Violations, r.Violations...)
		out.Kills += r.Kills
		switch r.Outcome {
		case Refused:
			out.Refused++
			continue
		case Completed:
			out.Completed++
			spans = append(spans, r.Makespan)
		case Halted:
			out.Halted++
		}
		out.Rounds += float64(r.Rounds)
		out.RoundsBound += float64(r.Bound.Rounds)
		out.TimeBound += float64(r.Bound.Seconds)
	}
	if begun := float64(out.Completed + out.Halted); begun > 0 {
		out.Rounds, out.RoundsBound, out.TimeBound = out.Rounds/begun, out.RoundsBound/begun, out.TimeBound/begun
	}
	slices.Sort(spans)
	out.Makespan = Quantiles{P50: quantile(spans, 50), P95: quantile(spans, 95)}
	return out
}

// quantile is the value that so many percent do not exceed, in seconds; 0 of nothing.
func quantile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Seconds()
}
