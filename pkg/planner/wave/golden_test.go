package wave_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What is planned for two small fleets, to be read: a change of the search shows here.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, seed := range []uint64{1, 5} {
		f, p := plantest.Fleet(seed, plantest.Tiny)
		c, ok := solve(t, f, p)
		if !ok {
			t.Fatalf("seed %d is refused", seed)
		}
		fmt.Fprintf(&b, "seed %d: %d batches, bound %d: %s; grade %s\n", seed, len(c.Batches), c.Bound.Rounds, c.Bound.Binding, c.Grade)
		for _, x := range c.Batches {
			fmt.Fprintf(&b, "  hosts %v: %+v, %d s, grade %s\n", x.Hosts, x.Counts, x.Seconds, x.Grade)
			for _, s := range x.Short {
				fmt.Fprintf(&b, "    %s\n", s)
			}
			arrive := map[int32]int{}
			for _, h := range x.Moves.To {
				arrive[h]++
			}
			for _, h := range slices.Sorted(maps.Keys(arrive)) {
				fmt.Fprintf(&b, "    %d to %s\n", arrive[h], f.Hosts[h].Path.Name())
			}
		}
	}
	path := filepath.Join("testdata", "tiny.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got), -update writes it:\n%s", path, diff)
	}
}
