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
type region struct {
	f         plan.Fleet
	meanwhile func() // happens while the fleet is observed
}

func (r *region) Fleet(context.Context, map[model.Path]bool) (plan.Fleet, error) {
	f := r.f
	f.Hosts = slices.Clone(f.Hosts)
	if r.meanwhile != nil {
		r.meanwhile()
	}
	return f, nil
}
func (r *region) Stoppable(context.Context, model.Node) error { return nil }
func (r *region) Health(context.Context, model.Path, map[model.Path]bool) ([]string, error) {
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
	now := &region{f: f}
	host := f.VMs.Host[c.Batches[0].Moves.VM[0]]
	return c, now, certify.New(c, now), model.Node{Path: f.Hosts[host].Path}
}

func TestWhatHoldsIsKept(t *testing.T) {
	c, _, x, n := desk(t)
	b := c.Batches[0]
	for i, vm := range b.Moves.VM {
		got := goes(t, x, n, c.Fleet.VMs.Names[vm]) // a process that was started again has not certified the batch yet
		if to := c.Fleet.Hosts[b.Moves.To[i]].Path; got != to {
			t.Errorf("%s goes to %s, the certificate says %s", c.Fleet.VMs.Names[vm], got, to)
		}
	}
}

func TestWhatDoesNotHoldIsSolvedAgain(t *testing.T) {
	c, now, x, n := desk(t)
	lost := c.Batches[0].Moves.To[0]
	vm := c.Fleet.VMs.Names[c.Batches[0].Moves.VM[0]]
	now.f.Hosts = slices.Clone(now.f.Hosts)
	now.f.Hosts[lost].VCPUs, now.f.Hosts[lost].MemoryMiB = 0, 0 // an operator wants nothing there
	if got := goes(t, x, n, vm); got == "" || got == c.Fleet.Hosts[lost].Path {
		t.Errorf("%s goes to %q", vm, got)
	}
}

// goes tells where a virtual machine is sent; it does not go.
func goes(t *testing.T, x *certify.Certifier, n model.Node, vm string) model.Path {
	t.Helper()
	to, over, err := x.Destination(t.Context(), n, vm, false)
	if err != nil {
		t.Fatal(err)
	}
	if over != nil {
		over(nil)
	}
	return to
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

// A machine that is under way is not placed a second time, whoever has the batch certified meanwhile: it may arrive.
func TestWhatIsUnderWay(t *testing.T) {
	failed := errors.New("it stays")
	for name, c := range map[string]struct {
		early, during, late func(over func(error))
		placed              bool
		observed            int
	}{
		"it goes on":                       {observed: 1},
		"it arrives before":                {early: func(over func(error)) { over(nil) }, placed: true, observed: 1}, // it was observed at its source: somebody has moved it back
		"it arrives meanwhile":             {during: func(over func(error)) { over(nil) }, observed: 1},
		"it fails meanwhile":               {during: func(over func(error)) { over(failed) }, placed: true, observed: 2},
		"it fails before":                  {early: func(over func(error)) { over(failed) }, placed: true, observed: 1},
		"it fails after, and is forgotten": {late: func(over func(error)) { over(failed) }, observed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			cert, now, x, n := desk(t)
			vm := ""
			for i, v := range now.f.VMs.Names {
				if cert.Fleet.Hosts[now.f.VMs.Host[i]].Path == n.Path {
					vm = v
				}
			}
			to, over, err := x.Destination(t.Context(), n, vm, false)
			if err != nil || to == "" {
				t.Fatal(to, err)
			}
			if c.early != nil {
				c.early(over)
			}
			observed := 0
			now.meanwhile = func() {
				if observed++; observed == 1 && c.during != nil {
					c.during(over)
				}
			}
			if err := x.Certify(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if c.late != nil {
				c.late(over)
			}
			if got := goes(t, x, n, vm); got != "" != c.placed || observed != c.observed {
				t.Errorf("%s goes to %q, and was observed %d times", vm, got, observed)
			}
		})
	}
}
