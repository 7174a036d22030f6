package run

import (
	"context"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// careless is an ops.Batches that asks nobody: the placements of the certificate as it was made, whatever has become of the world.
type careless struct{ s *site }

// Certify implements ops.Batches.
func (careless) Certify(ctx context.Context, _ int) error { return ctx.Err() }

// Destinations implements ops.Batches.
func (c careless) Destinations(ctx context.Context, n model.Node, _ bool) (map[string]model.Path, error) {
	out := map[string]model.Path{}
	cert := c.s.p.Certificate
	for _, b := range cert.Batches {
		for i, v := range b.Moves.VM {
			if to := cert.Fleet.Hosts[b.Moves.To[i]].Path; to != n.Path {
				out[cert.Fleet.VMs.Names[v]] = to
			}
		}
	}
	return out, ctx.Err()
}

// Stoppable implements ops.Batches.
func (careless) Stoppable(ctx context.Context, _ model.Node) error { return ctx.Err() }

// Health implements ops.Batches.
func (careless) Health(ctx context.Context, _ int) ([]string, error) { return nil, ctx.Err() }
