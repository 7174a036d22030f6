package state

import "github.com/nuboctl/nuboctl/pkg/model"

// Overlap reports whether two scopes share a place, so that their leases exclude each other.
func Overlap(a, b string) bool {
	x, y := model.Path(a), model.Path(b)
	return x.Contains(y) || y.Contains(x)
}

// Valid reports whether the fence may still write, given the newest epoch of each scope that was ever acquired: no acquisition of an
// overlapping scope came later, and this one took place.
func (f Fence) Valid(newest map[string]int64) bool {
	if f.Epoch == 0 || newest[f.Scope] != f.Epoch {
		return false
	}
	for scope, epoch := range newest {
		if epoch > f.Epoch && Overlap(scope, f.Scope) {
			return false
		}
	}
	return true
}
