// Package certify keeps a rollout's certificate true while the cloud moves: before each batch its placements are solved again from what is there now,
// for the same hosts, and checked by the verifier. It is the Batches of package ops, wherever the observation comes from.
package certify

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Region tells how a region is now, and whether the services of a host can do without it.
type Region interface {
	// Fleet is what an observation shows now; its hosts are those of the certificate, in the same order.
	Fleet(ctx context.Context) (plan.Fleet, error)
	Stoppable(ctx context.Context, n model.Node) error
	// Health lists what is wrong in the region.
	Health(region model.Path) []string
}

// Certifier is an ops.Batches. It is not safe for concurrent use by several runs.
type Certifier struct {
	cert   plan.Certificate
	now    Region
	batch  map[model.Path]int // of each host that is changed
	places map[int]map[string]model.Path
}

var _ ops.Batches = (*Certifier)(nil)

// New makes the certifier of a plan's certificate.
func New(c plan.Certificate, now Region) *Certifier {
	out := &Certifier{cert: c, now: now, batch: map[model.Path]int{}, places: map[int]map[string]model.Path{}}
	for i, b := range c.Batches {
		for _, h := range b.Hosts {
			out.batch[c.Fleet.Hosts[h].Path] = i
		}
	}
	return out
}

// Certify implements ops.Batches.
func (c *Certifier) Certify(ctx context.Context, batch int) error {
	if batch < 0 || batch >= len(c.cert.Batches) {
		return fmt.Errorf("batch %d: %w", batch+1, ops.ErrNotInInventory)
	}
	f, err := c.now.Fleet(ctx)
	if err != nil {
		return err
	}
	places := map[string]model.Path{}
	if b := c.left(&f, batch); len(b.Hosts) > 0 {
		if b, err = wave.Place(f, c.cert.Policy, b); err == nil {
			err = verify.Batch(f, c.cert.Policy, b)
		}
		if err != nil {
			return &ops.HaltedError{What: fmt.Sprintf("certify batch %d", batch+1), Why: []string{err.Error()}}
		}
		for i, vm := range b.Moves.VM {
			places[f.VMs.Names[vm]] = f.Hosts[b.Moves.To[i]].Path
		}
	}
	c.places[batch] = places
	return ctx.Err()
}

// left is the batch with those of its hosts that are not changed yet. They are down because of the batch, not beside it.
func (c *Certifier) left(f *plan.Fleet, batch int) plan.Batch {
	b := c.cert.Batches[batch]
	var hosts plan.Ints
	for _, h := range b.Hosts {
		if f.Hosts[h].Class != f.Hosts[h].ClassAfter || f.Hosts[h].Change || f.Hosts[h].Down {
			f.Hosts[h].Down, f.Hosts[h].Change = false, true
			hosts = append(hosts, h)
		}
	}
	b.Hosts = hosts
	return b
}

// Destinations implements ops.Batches.
func (c *Certifier) Destinations(ctx context.Context, n model.Node, again bool) (map[string]model.Path, error) {
	batch, ok := c.batch[n.Path]
	if !ok {
		return nil, fmt.Errorf("%s: in no batch: %w", n.Path, ops.ErrNotInInventory)
	}
	if c.places[batch] == nil || again {
		if err := c.Certify(ctx, batch); err != nil {
			return nil, err
		}
	}
	return c.places[batch], ctx.Err()
}

// Stoppable implements ops.Batches.
func (c *Certifier) Stoppable(ctx context.Context, n model.Node) error {
	return c.now.Stoppable(ctx, n)
}

// Health implements ops.Batches.
func (c *Certifier) Health(ctx context.Context, batch int) ([]string, error) {
	if batch < 0 || batch >= len(c.cert.Batches) {
		return nil, fmt.Errorf("batch %d: %w", batch+1, ops.ErrNotInInventory)
	}
	return slices.Clone(c.now.Health(c.cert.Batches[batch].Zone.Region())), ctx.Err()
}
