package run

import (
	"cmp"
	"context"
	"runtime"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
)

// Violation is what the monitor saw.
type Violation = monitor.Violation

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
	Method   string // as Case.Method
	Fleet    Fleet
	// Options are those of every rollout, without seed and faults.
	Options Options
	// Cores bounds how many run at once; 0: as many as there are.
	Cores int
	// Done is told each rollout as it ends, one at a time, in no order; it may be nil.
	Done func(Result)
}

// Many carries out a set, on all cores. When ctx ends, no further rollout begins, and what it tells is of those that there were.
func Many(ctx context.Context, s Set) Tally {
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
	out := Tally{First: s.Seed}
	for _, r := range results[:begun] {
		out.add(r)
	}
	return out
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
	return Case{Seed: seed, Faults: s.Faults, Without: s.Without, Only: s.Only, Method: s.Method}
}
