package wave_test

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
)

// published are the fleets that the planner is measured with: seeds 0 to n-1 of each size.
var published = []struct {
	name string
	size plantest.Size
	n    uint64
}{{"small", plantest.Small, 100}, {"medium", plantest.Medium, 60}, {"region", plantest.Region, 20}}

// On 95 % of the published fleets the rounds are at most one, or a tenth, above what no plan can do without; zones are done one after the other, so
// theirs are summed.
func TestRoundsAreNearTheBound(t *testing.T) {
	near, solved, refused := 0, 0, 0
	for _, set := range published {
		if testing.Short() && set.name != "medium" {
			continue
		}
		for seed := range set.n {
			f, p := plantest.Fleet(seed, set.size)
			c, ok := solve(t, f, p)
			if !ok {
				refused++
				continue
			}
			solved++
			if b := c.Bound.Rounds; len(c.Batches) <= max(b+1, b*11/10) {
				near++
				continue
			}
			t.Logf("%s %d: %d rounds, bound %d (%s)", set.name, seed, len(c.Batches), c.Bound.Rounds, c.Bound.Binding)
		}
	}
	t.Logf("%d of %d near the bound, %d refused", near, solved, refused)
	if 100*near < 95*solved || solved < 2*refused {
		t.Errorf("%d of %d near the bound, %d refused", near, solved, refused)
	}
}
