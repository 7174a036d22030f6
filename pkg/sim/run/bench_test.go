package run_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/sim/run"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// cpu is the processor time that this process has taken.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRollouts measures whole rollouts with faults on one core, refused ones left out: per minute, one blade of each at least.
func BenchmarkRollouts(b *testing.B) {
	for name, size := range map[string]plantest.Size{"24": plantest.Small, "260": plantest.Region} {
		b.Run(name, func(b *testing.B) {
			done, seed, before := 0, uint64(0), cpu(b)
			for b.Loop() {
				for {
					seed++
					f, p := plantest.Fleet(seed, size)
					if r := run.Rollout(f, p, run.Options{Seed: seed, Faults: world.Profiles["default"]}); r.Outcome != run.Refused {
						break
					}
				}
				done++
			}
			b.ReportMetric(float64(done)/b.Elapsed().Minutes(), "rollouts/min")
			b.ReportMetric(float64(done)/(cpu(b)-before).Minutes(), "rollouts/cpu-min")
		})
	}
}
