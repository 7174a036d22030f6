// Package certify keeps a rollout's certificate true while the cloud moves: before each batch its placements are solved again from what is there now,
// for the same hosts, and checked by the verifier. It is the Batches of package ops, wherever the observation comes from.
package certify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Region tells how a region is now, and whether the services of a host can do without it.
type Region interface {
	// Fleet is what an observation shows now; its hosts are those of the certificate, in the same order. A virtual machine that is being moved off one
	// of the leaving hosts counts where it goes, any other takes room at both its places.
	Fleet(ctx context.Context, leaving map[model.Path]bool) (plan.Fleet, error)
	Stoppable(ctx context.Context, n model.Node) error
	// Health lists what is wrong in the region; the hosts of the batch that is about to begin, or to go on, may be as an earlier run has left them. An error
	// that halts ends the waiting for it to be well.
	Health(ctx context.Context, region model.Path, batch map[model.Path]bool) ([]string, error)
}

// Certifier is an ops.Batches. The hosts of a batch may use it at the same time; it is of one run.
type Certifier struct {
	cert  plan.Certificate
	now   Region
	batch map[model.Path]int // of each host that is changed

	mu     sync.Mutex // guards the rest, and is not held while anybody waits
	places map[int]map[string]place
	moves  moves
}

var _ ops.Batches = (*Certifier)(nil)

// New makes the certifier of a plan's certificate.
func New(c plan.Certificate, now Region) *Certifier {
	out := &Certifier{cert: c, now: now, batch: map[model.Path]int{}, places: map[int]map[string]place{}, moves: newMoves()}
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
	leaving := c.hosts(batch)
	for {
		began := c.began()
		f, err := c.now.Fleet(ctx, leaving)
		if err != nil {
			return err
		}
		if !slices.EqualFunc(f.Hosts, c.cert.Fleet.Hosts, func(a, b plan.Host) bool { return a.Path == b.Path }) {
			return fmt.Errorf("certify batch %d: what is observed has other hosts than the plan: plan again", batch+1)
		}
		if done, err := c.settle(f, batch, began); done || err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// settle places what was observed, and keeps that, unless a move has failed since the observation began: then it is to be made anew. Nothing is given a
// destination meanwhile, so that what is observed or given away is all that there is.
func (c *Certifier) settle(f plan.Fleet, batch, began int) (done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moves.failed > began {
		return false, nil
	}
	c.moves.apply(&f, began)
	places := map[string]place{}
	if b := c.left(&f, batch); len(b.Hosts) > 0 {
		if b, err = c.place(&f, batch, b); err != nil {
			return true, &ops.HaltedError{What: fmt.Sprintf("certify batch %d", batch+1), Why: []string{err.Error()}}
		}
		for i, vm := range b.Moves.VM {
			p := place{host: b.Moves.To[i]}
			if len(b.Moves.Cells) > 0 {
				p.cells = b.Moves.Cells[i]
			}
			places[f.VMs.Names[vm]] = p
		}
	}
	c.places[batch] = places
	return true, nil
}

// place finds placements that the verifier accepts: those of the certificate where they still can be had, since the batches after this one were solved on
// top of them, and otherwise new ones.
func (c *Certifier) place(f *plan.Fleet, batch int, b plan.Batch) (plan.Batch, error) {
	b.Moves = c.foreseen(f, batch)
	b, err := wave.Place(*f, c.cert.Policy, b)
	if err != nil {
		return b, err
	}
	return b, verify.Batch(*f, c.cert.Policy, b)
}

// foreseen are the certificate's moves of a batch, in the indices of the fleet as it is now.
func (c *Certifier) foreseen(f *plan.Fleet, batch int) plan.Moves {
	index := make(map[string]int32, len(f.VMs.Names))
	for vm, name := range f.VMs.Names {
		index[name] = int32(vm)
	}
	was, out := c.cert.Batches[batch].Moves, plan.Moves{}
	for i, vm := range was.VM {
		now, here := index[c.cert.Fleet.VMs.Names[vm]]
		if !here {
			continue
		}
		out.VM, out.To = append(out.VM, now), append(out.To, was.To[i])
		if len(was.Cells) > 0 {
			out.Cells = append(out.Cells, was.Cells[i])
		}
	}
	return out
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

// Destination implements ops.Batches.
func (c *Certifier) Destination(ctx context.Context, n model.Node, vm string, again bool) (to model.Path, over func(error), err error) {
	batch, ok := c.batch[n.Path]
	if !ok {
		return "", nil, fmt.Errorf("%s: in no batch: %w", n.Path, ops.ErrNotInInventory)
	}
	if again || !c.certified(batch) {
		if err := c.Certify(ctx, batch); err != nil {
			return "", nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.places[batch][vm]
	if !ok {
		return "", nil, nil
	}
	c.moves.begin(vm, p)
	return c.cert.Fleet.Hosts[p.host].Path, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.moves.end(vm, err)
	}, nil
}

// certified reports whether a batch was certified in this process.
func (c *Certifier) certified(batch int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.places[batch] != nil
}

// began is the moment at which an observation begins.
func (c *Certifier) began() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moves.now
}

// hosts are those of a batch.
func (c *Certifier) hosts(batch int) map[model.Path]bool {
	out := map[model.Path]bool{}
	for _, h := range c.cert.Batches[batch].Hosts {
		out[c.cert.Fleet.Hosts[h].Path] = true
	}
	return out
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
	return c.now.Health(ctx, c.cert.Batches[batch].Zone.Region(), c.hosts(batch))
}
