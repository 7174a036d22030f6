package fleet_test

import (
	"errors"
	"log/slog"
	"strconv"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// requires asks a real cluster for the release that it has, which is all that can be asked of it; an older and an unknown one are refused, and so is an older holder of the lease.
func (h *threeHosts) requires() {
	const region = model.Path("lab/r1")
	c := &fleet.Clusters{Desired: h.desired, Links: h.links, Epoch: 3, Log: slog.New(slog.DiscardHandler)}
	release := h.required(c, region)
	if release < 16 {
		h.Fatalf("it requires release %d", release)
	}
	for range 2 {
		if err := c.Require(h.Context(), region, release); err != nil {
			h.Errorf("release %d, which it has: %v", release, err)
		}
	}
	for _, other := range []int{release - 1, 99} {
		if err := c.Require(h.Context(), region, other); err == nil {
			h.Errorf("release %d is required", other)
		}
	}
	older := &fleet.Clusters{Desired: h.desired, Links: h.links, Epoch: 2, Log: c.Log}
	if err := older.Require(h.Context(), region, release); !errors.Is(err, remote.ErrFenced) {
		h.Errorf("under an older epoch: %v", err)
	}
	if now := h.required(c, region); now != release {
		h.Errorf("it requires %d", now)
	}
	h.Run("op", func(t *testing.T) { h.in(t).endsRise(c, region, release) })
}

// required is what the cluster requires, which is the release of each of its daemons.
func (h *threeHosts) required(c *fleet.Clusters, region model.Path) int {
	h.Helper()
	seen, err := c.Observe(h.Context(), region)
	if err != nil {
		h.Fatal(err)
	}
	for _, o := range seen.OSDs {
		if model.CephMajor(o.Version) != seen.Require {
			h.Errorf("osd.%d is %s, and the cluster requires %d", o.ID, o.Version, seen.Require)
		}
	}
	for _, m := range seen.Mons {
		if model.CephMajor(m.Version) != seen.Require {
			h.Errorf("mon.%s is %s, and the cluster requires %d", m.Name, m.Version, seen.Require)
		}
	}
	return seen.Require
}

// endsRise: the op finds its effect there.
func (h *threeHosts) endsRise(c *fleet.Clusters, region model.Path, release int) {
	d, sub := ops.New(ops.World{Desired: h.desired, Clusters: c}), plan.CephSubject(region)
	is := func(n int) []plan.Fact {
		return []plan.Fact{{Subject: sub, Attr: plan.AttrRequire, Value: strconv.Itoa(n)}}
	}
	op := plan.Op{ID: plan.ID(plan.CephRequire, sub), Kind: plan.CephRequire, Target: sub, Pre: is(release - 1), Post: is(release)}
	var held *ops.HeldError
	if err := d.Check(h.Context(), op); !errors.As(err, &held) {
		h.Errorf("check: %v", err)
	}
	if err := errors.Join(d.Apply(h.Context(), op, func(plan.Progress) {}), d.Verify(h.Context(), op)); err != nil {
		h.Error(err)
	}
	if got, err := d.Probe(h.Context(), op); got != plan.Applied || err != nil {
		h.Errorf("probe: %s %v", got, err)
	}
	op.Pre, op.Post = is(release), is(release+1)
	if got, err := d.Probe(h.Context(), op); got != plan.NotApplied || err != nil {
		h.Errorf("probe of the next release: %s %v", got, err)
	}
}
