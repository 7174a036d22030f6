package certify_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/certify"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

// region shows a fleet that the test may change.
type region struct{ f plan.Fleet }

func (r *region) Fleet(context.Context) (plan.Fleet, error) {
	f := r.f
	f.Hosts = slices.Clone(f.Hosts)
	return f, nil
}
func (r *region) Stoppable(context.Context, model.Node) error { return nil }
func (r *region) Health(context.Context, model.Path) ([]string, error) {
	return []string{"noisy"}, nil
}

// desk is a certificate, what there is, and a host of its first batch that has virtual machines to leave.
func desk(t *testing.T) (plan.Certificate, *region, *certify.Certifier, model.Node) {
	t.Helper()
	f, p := plantest.Fleet(4, plantest.Tiny)
	c, err := wave.Solve(f, p)
	if err != nil {
		t.Fatal(err)
	}
	now := &region{f}
	host := f.VMs.Host[c.Batches[0].Moves.VM[0]]
	return c, now, certify.New(c, now), model.Node{Path: f.Hosts[host].Path}
}

func TestWhatHoldsIsKept(t *testing.T) {
	c, _, x, n := desk(t)
	got, err := x.Destinations(t.Context(), n, false) // a process that was started again has not certified the batch yet
	if err != nil {
		t.Fatal(err)
	}
	b := c.Batches[0]
	for i, vm := range b.Moves.VM {
		if to := c.Fleet.Hosts[b.Moves.To[i]].Path; got[c.Fleet.VMs.Names[vm]] != to {
			t.Errorf("%s goes to %s, the certificate says %s", c.Fleet.VMs.Names[vm], got[c.Fleet.VMs.Names[vm]], to)
		}
	}
}

func TestWhatDoesNotHoldIsSolvedAgain(t *testing.T) {
	c, now, x, n := desk(t)
	lost := c.Batches[0].Moves.To[0]
	vm := c.Fleet.VMs.Names[c.Batches[0].Moves.VM[0]]
	now.f.Hosts = slices.Clone(now.f.Hosts)
	now.f.Hosts[lost].VCPUs, now.f.Hosts[lost].MemoryMiB = 0, 0 // an operator wants nothing there
	got, err := x.Destinations(t.Context(), n, false)
	if err != nil {
		t.Fatal(err)
	}
	if got[vm] == "" || got[vm] == c.Fleet.Hosts[lost].Path {
		t.Errorf("%s goes to %q", vm, got[vm])
	}
}

func TestWithoutRoomItHalts(t *testing.T) {
	_, now, x, _ := desk(t)
	now.f.Hosts = slices.Clone(now.f.Hosts)
	for i := range now.f.Hosts {
		now.f.Hosts[i].VCPUs = 0
	}
	var h *ops.HaltedError
	if err := x.Certify(t.Context(), 0); !errors.As(err, &h) || !h.Halts() || h.Remedy() == "" {
		t.Errorf("it says %v", err)
	}
	for _, err := range []error{x.Certify(t.Context(), 999), func() error { _, err := x.Health(t.Context(), 999); return err }()} {
		if !errors.Is(err, ops.ErrNotInInventory) {
			t.Errorf("a batch that there is not: %v", err)
		}
	}
}

// A batch whose hosts are all changed, as after a kill at its end, has nothing left to certify.
func TestABatchThatIsOver(t *testing.T) {
	c, now, x, _ := desk(t)
	now.f.Hosts = slices.Clone(now.f.Hosts)
	for _, h := range c.Batches[0].Hosts {
		now.f.Hosts[h].Change, now.f.Hosts[h].Class = false, now.f.Hosts[h].ClassAfter
	}
	if err := x.Certify(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
