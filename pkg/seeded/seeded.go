// Package seeded makes property tests repeatable. A test file that imports pgregory.net/rapid imports it beside that, for its effect: rapid draws
// from a fixed seed then, so that a test that passed here passes everywhere. NUBO_SEED=N draws from another seed, and NUBO_SEED=0 from a new one
// each time, which is how further cases are looked for (`make properties`). The flag -rapid.seed has the last word.
package seeded

import (
	"flag"
	"fmt"
	"os"

	_ "pgregory.net/rapid" // defines the flag
)

// fixed is what is drawn from when nothing is said.
const fixed = "20261122"

func init() {
	seed := os.Getenv("NUBO_SEED")
	if seed == "" {
		seed = fixed
	}
	if err := flag.Set("rapid.seed", seed); err != nil {
		panic(fmt.Sprintf("NUBO_SEED=%s: %v", seed, err))
	}
}
