package planner

import "time"

// cordoned tells which hosts take no virtual machines when the plan is made, and until when.
func (b *builder) cordoned() {
	for _, on := range b.in.Observed.Nodes {
		if !on.Host.Cordoned.IsZero() && b.targeted(on.Path) {
			b.note("%s is cordoned until %s: no virtual machine may start there or come there", on.Path, on.Host.Cordoned.UTC().Format(time.RFC3339))
		}
	}
}
