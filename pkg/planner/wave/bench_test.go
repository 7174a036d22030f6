package wave_test

import (
	"fmt"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

func BenchmarkSolve(b *testing.B) {
	for _, hosts := range []int{1000, 10000} {
		f, p := plantest.Fleet(1, plantest.Scaled(hosts))
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			for b.Loop() {
				c, err := wave.Solve(f, p)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(c.Batches)), "rounds")
				b.ReportMetric(float64(c.Bound.Rounds), "bound")
				b.ReportMetric(float64(len(f.VMs.Names)), "VMs")
			}
		})
	}
}
