//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// TestRack is one rack, and one blade after the other on it: two cores carry one blade at a time.
func TestRack(t *testing.T) {
	began := time.Now()
	r := rack.Start(t, "e2e")
	uefi := r.NewCloud(t, "uefi", "ws") // builds the images
	built := time.Now()
	t.Run("bmc", func(t *testing.T) { bmcs(t, r) })
	t.Run("uefi", func(t *testing.T) { uefiBlade(t, r, uefi) })
	t.Run("bios", func(t *testing.T) { biosBlade(t, r) })
	rack.Figure(t, "total without images", time.Since(built))
	rack.Figure(t, "total", time.Since(began))
}

// step is one part of a longer story: when it fails, what follows has nothing to stand on.
func step(t *testing.T, name string, do func(t *testing.T)) {
	t.Helper()
	if !t.Run(name, do) {
		t.FailNow()
	}
}

// holds fails the test for every text that is not in what a program printed.
func holds(t *testing.T, printed string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			t.Errorf("%q is missing in:\n%s", text, printed)
		}
	}
}
