package run

import (
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
)

// FormatVersion is the version of a summary's form.
const FormatVersion = 1

// Tally adds up what came of rollouts whose seeds follow each other. Everything in it is whole numbers, so that the sum of parts is that of all at once.
type Tally struct {
	First       uint64              `json:"first"` // seed
	Rollouts    int                 `json:"rollouts"`
	Completed   int                 `json:"completed"`
	Halted      int                 `json:"halted"`
	Refused     int                 `json:"refused"`
	Kills       int                 `json:"kills"`
	Violations  []monitor.Violation `json:"violations"`
	Rounds      int64               `json:"rounds"` // of those that were begun, as the bounds
	RoundsBound int64               `json:"rounds_lower_bound"`
	TimeBound   int64               `json:"time_lower_bound_seconds"`
	// Makespans are the times of those that are complete, by seed, in nanoseconds.
	Makespans []time.Duration `json:"makespans"`
}

func (t *Tally) add(r Result) {
	t.Rollouts++
	t.Violations = append(t.Violations, r.Violations...)
	t.Kills += r.Kills
	switch r.Outcome {
	case Refused:
		t.Refused++
		return
	case Completed:
		t.Completed++
		t.Makespans = append(t.Makespans, r.Makespan)
	case Halted:
		t.Halted++
	}
	t.Rounds += int64(r.Rounds)
	t.RoundsBound += int64(r.Bound.Rounds)
	t.TimeBound += r.Bound.Seconds
}

// join adds the tally of the seeds that follow.
func (t *Tally) join(o Tally) {
	t.Rollouts += o.Rollouts
	t.Completed += o.Completed
	t.Halted += o.Halted
	t.Refused += o.Refused
	t.Kills += o.Kills
	t.Violations = append(t.Violations, o.Violations...)
	t.Rounds += o.Rounds
	t.RoundsBound += o.RoundsBound
	t.TimeBound += o.TimeBound
	t.Makespans = append(t.Makespans, o.Makespans...)
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

// Summary gives what a reader asks of a tally.
func (t *Tally) Summary() Summary {
	out := Summary{FormatVersion: FormatVersion, Rollouts: t.Rollouts, Completed: t.Completed, Halted: t.Halted, Refused: t.Refused, Kills: t.Kills,
		Violations: append([]monitor.Violation{}, t.Violations...)}
	if begun := float64(t.Completed + t.Halted); begun > 0 {
		out.Rounds, out.RoundsBound, out.TimeBound = float64(t.Rounds)/begun, float64(t.RoundsBound)/begun, float64(t.TimeBound)/begun
	}
	spans := slices.Sorted(slices.Values(t.Makespans))
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
