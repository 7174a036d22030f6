package kvm

import (
	"slices"
	"testing"
)

// A guest stands still for as little as will do: the bound rises with each pass over its memory behind the second, and not above the most.
func TestDowntime(t *testing.T) {
	var got []uint64
	for pass := range int64(9) {
		got = append(got, downtime(pass))
	}
	if want := []uint64{100, 100, 100, 150, 225, 337, 500, 500, 500}; !slices.Equal(got, want) {
		t.Errorf("the bounds of passes 0 to 8 are %d ms, want %d", got, want)
	}
	if got := downtime(1 << 40); got != mostDowntime {
		t.Errorf("after many passes it is %d ms", got)
	}
}
