package run

import (
	"context"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// careless is an ops.Batches that asks nobody: the placements of the certificate as it was made, whatever has become of the world.
type careless struct{ s *site }

// Certify implements ops.Batches.
func (careless) Certify(ctx context.Context, _ int) error { return ctx.Err() }

// Destination implements ops.Batches.
func (c careless) Destination(ctx context.Context, n model.Node, vm string, _ bool) (to model.Path, over func(error), err error) {
	cert := c.s.p.Certificate
	for _, b := range cert.Batches {
		for i, v := range b.Moves.VM {
			if at := cert.Fleet.Hosts[b.Moves.To[i]].Path; at != n.Path && cert.Fleet.VMs.Names[v] == vm {
				to = at
			}
		}
	}
	return to, func(error) {}, ctx.Err()
}

// Stoppable implements ops.Batches.
func (careless) Stoppable(ctx context.Context, _ model.Node) error { return ctx.Err() }

// Health implements ops.Batches.
func (careless) Health(ctx context.Context, _ int) ([]string, error) { return nil, ctx.Err() }
