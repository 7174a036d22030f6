package ops_test

import (
	"context"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// releases is a VM authority that records what is released.
type releases struct {
	ops.Guests
	list     []ops.Guest
	released []string
}

func (r *releases) List(context.Context, model.Node) ([]ops.Guest, error) { return r.list, nil }

func (r *releases) Release(_ context.Context, vm string, _ model.Node) error {
	r.released = append(r.released, vm)
	return nil
}

// TestAReleaseThatWasCutShortIsEnded: a machine that was started again and still bears the mark of its stop would be started once more when its owner stops it.
func TestAReleaseThatWasCutShortIsEnded(t *testing.T) {
	lab := opstest.NewFake(opstest.Site(1))
	lab.Ready()
	w := lab.World()
	g := &releases{Guests: w.Guests, list: []ops.Guest{{Name: "runs"}, {Name: "marked", Marked: true}, {Name: "held", Held: true}}}
	w.Guests = g
	if err := ops.New(w).Apply(t.Context(), plan.Op{Kind: plan.HostUncordon, Target: plan.NodeSubject(w.Desired.Nodes[0].Path)}, func(plan.Progress) {}); err != nil {
		t.Error(err)
	}
	if !slices.Equal(g.released, []string{"marked", "held"}) {
		t.Errorf("released: %v", g.released)
	}
}
