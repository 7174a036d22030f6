package planner

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

// Recertify solves the placements of a certificate's batch again, for the same hosts, from what is observed now. It gives the batch with the fleet that
// its indexes are of and that package verify checks it against, or a *Refusal when the batch cannot be taken out of service as things are.
//
// A host of the batch that does not answer is no lost host: it may be restarting for this very batch.
func Recertify(in Input, c plan.Certificate, batch int) (plan.Fleet, plan.Batch, error) {
	if batch < 0 || batch >= len(c.Batches) {
		return plan.Fleet{}, plan.Batch{}, fmt.Errorf("certify batch %d again: the certificate has %d", batch, len(c.Batches))
	}
	now, left := map[model.Path]bool{}, map[model.Path]bool{}
	for i, b := range c.Batches[batch:] {
		for _, h := range b.Hosts {
			left[c.Fleet.Hosts[h].Path] = true
			if i == 0 {
				now[c.Fleet.Hosts[h].Path] = true
			}
		}
	}
	f, err := facts.Fleet(in.Desired, in.Observed, func(n model.Node) bool { return left[n.Path] })
	if err != nil {
		return plan.Fleet{}, plan.Batch{}, fmt.Errorf("what is observed now is not enough to certify batch %d again: %w", batch, err)
	}
	b := plan.Batch{Stage: c.Batches[batch].Stage, Zone: c.Batches[batch].Zone}
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		if h := &f.Hosts[i]; now[h.Path] {
			h.Down, h.Change = false, true
			b.Hosts = append(b.Hosts, int32(i))
		}
	}
	if len(b.Hosts) != len(now) {
		return plan.Fleet{}, plan.Batch{}, fmt.Errorf("certify batch %d again: the inventory has %d of its %d hosts", batch, len(b.Hosts), len(now))
	}
	b, err = wave.Place(f, c.Policy, b)
	return f, b, err
}
