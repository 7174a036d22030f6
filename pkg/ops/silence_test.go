package ops_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// slow is an order whose ramdisk reports at the given times after the start, and is installed with the last one unless it dies.
type slow struct {
	ops.Installs
	start   time.Time
	reports []time.Duration
	dies    bool
	kept    bool
}

func (s *slow) Watch(ctx context.Context, _ model.Node, after int) (order.Status, int, error) {
	wait := 25 * time.Second
	if after < len(s.reports) {
		wait = min(wait, time.Until(s.start.Add(s.reports[after])))
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return order.Status{}, after, ctx.Err()
	}
	st := order.Status{Phase: order.PhaseConsumed, Updated: time.Now(), Last: &order.Report{Progress: &order.Progress{Phase: "image", Done: 1, Total: 2}}}
	if after < len(s.reports) && time.Since(s.start) >= s.reports[after] {
		after++
	}
	if after == len(s.reports) && !s.dies {
		st.Phase, st.Result = order.PhaseInstalled, &order.Installed{HostKeys: []string{"ssh-ed25519 AAAA"}}
	}
	return st, after, nil
}

func (s *slow) Keep(context.Context, model.Node, order.Installed) error {
	s.kept = true
	return nil
}

// A slow install is no dead one: only silence ends the wait, counted from the last report.
func TestSilence(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name    string
		reports []time.Duration
		dies    bool
		ends    time.Duration
	}{
		{"slow, and reporting", []time.Duration{7 * minute, 14 * minute, 21 * minute, 28 * minute}, false, 28 * minute},
		{"never heard of", nil, true, ops.SilenceLimit},
		{"dies in the middle", []time.Duration{minute, 5 * minute}, true, 5*minute + ops.SilenceLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := opstest.Site(1)
				w := &slow{start: time.Now(), reports: tc.reports, dies: tc.dies}
				sub := plan.NodeSubject(d.Nodes[0].Path)
				op := plan.Op{ID: plan.ID(plan.InstallWait, sub), Kind: plan.InstallWait, Target: sub}
				err := ops.New(ops.World{Desired: d, Installs: w}).Apply(t.Context(), op, func(plan.Progress) {})
				if errors.Is(err, ops.ErrSilent) != tc.dies || w.kept == tc.dies {
					t.Errorf("it ended with %v, result kept: %v", err, w.kept)
				}
				if took := time.Since(w.start); took != tc.ends {
					t.Errorf("it ended after %s, want %s", took, tc.ends)
				}
			})
		})
	}
}
