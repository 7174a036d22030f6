package fleet_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// departs takes the OSD of the third host out of a real cluster with the ops of a decommission, each checked, verified and probed; then the host gets another
// OSD, and at last its monitor leaves.
func (h *threeHosts) departs() {
	n := h.nodes[2]
	for _, pool := range strings.Fields(h.ceph("osd", "pool", "ls")) { // two hosts are left, and two copies fit on them
		h.ceph("osd", "pool", "set", pool, "size", "2")
	}
	h.boxes[0].Clean(h.T)
	d := h.desired
	d.Nodes = slices.Clone(h.nodes)
	d.Nodes[2].State = model.Retired
	clusters := &fleet.Clusters{Desired: d, Links: h.links, Epoch: 4, Log: slog.New(slog.DiscardHandler)}
	leaves := fleet.Departures{Clusters: clusters}
	driver := ops.New(ops.World{Desired: d, Clusters: clusters, Departures: leaves})

	// Nothing goes while it is needed, whoever asks.
	for what, err := range map[string]error{"may it go": leaves.Destroyable(h.Context(), n, []int{2}), "purge": leaves.Purge(h.Context(), n, []int{2})} {
		if !errors.Is(err, ops.ErrNeeded) {
			h.Errorf("%s, with data on it: %v", what, err)
		}
	}
	if up := h.ceph("osd", "stat"); !strings.Contains(up, "3 up") {
		h.Fatalf("an OSD with data was stopped: %s", up)
	}
	sub := plan.NodeSubject(n.Path)
	is := func(a plan.Attr, v string) plan.Fact { return plan.Fact{Subject: sub, Attr: a, Value: v} }
	purge := plan.Op{Kind: plan.CephPurge, Pre: []plan.Fact{is(plan.AttrData, plan.Out), is(plan.AttrEmpty, plan.Yes)}, Post: []plan.Fact{is(plan.AttrData, plan.None)}}
	var stale *ops.StaleError
	purge.ID, purge.Target = plan.ID(purge.Kind, sub), sub
	if err := driver.Check(h.Context(), purge); !errors.As(err, &stale) {
		h.Errorf("an OSD that is in may be removed: %v", err)
	}
	for _, op := range []plan.Op{
		{Kind: plan.CephOut, Pre: []plan.Fact{{Subject: plan.CephSubject("lab/r1"), Attr: plan.AttrCluster, Value: "there"}}, Post: []plan.Fact{is(plan.AttrData, plan.Out)}},
		{Kind: plan.CephEmpty, Pre: []plan.Fact{is(plan.AttrData, plan.Out)}, Post: []plan.Fact{is(plan.AttrData, plan.Out), is(plan.AttrEmpty, plan.Yes)}},
		purge,
	} {
		op.ID, op.Target = plan.ID(op.Kind, sub), sub
		h.do(driver, op)
	}
	for _, gone := range []struct{ what, in string }{
		{"osd.2", h.ceph("auth", "ls")}, {"blade-03", h.ceph("osd", "crush", "dump")}, {"ceph-osd@2", h.boxes[2].Must(h.T, "systemctl", "list-units", "ceph-*")},
	} {
		if strings.Contains(gone.in, gone.what) {
			h.Errorf("%s is still there: %s", gone.what, gone.in)
		}
	}
	h.grows(2)
	h.do(driver, plan.Op{ID: plan.ID(plan.CephLeave, sub), Kind: plan.CephLeave, Target: sub, Pre: []plan.Fact{is(plan.AttrData, plan.In)}, Post: []plan.Fact{is(plan.AttrMember, plan.None)}})
	if mons := h.ceph("mon", "dump"); strings.Contains(mons, "blade-03") || !strings.Contains(h.ceph("mon", "stat"), "quorum 0,1") {
		h.Errorf("its monitor is still there: %s", mons)
	}
	if left := h.boxes[2].Must(h.T, "sh", "-c", "ls /etc/ceph /var/lib/ceph/mon"); strings.Contains(left, "keyring") || strings.Contains(left, "blade-03") {
		h.Errorf("keys are left on the host: %s", left)
	}
}

// do carries an op out as the engine does.
func (h *threeHosts) do(d *ops.Driver, op plan.Op) {
	h.Helper()
	if err := d.Check(h.Context(), op); err != nil {
		var held *ops.HeldError
		if errors.As(err, &held) {
			return
		}
		h.Fatalf("%s may not begin: %v", op.ID, err)
	}
	if err := d.Apply(h.Context(), op, func(p plan.Progress) { h.Logf("%s: %+v", op.ID, p) }); err != nil {
		h.Fatal(err)
	}
	if err := d.Verify(h.Context(), op); err != nil {
		h.Fatal(err)
	}
	if got, err := d.Probe(h.Context(), op); got != plan.Applied || err != nil {
		h.Errorf("%s is done, and a probe says %s, %v", op.ID, got, err)
	}
}

// grows gives the cluster another OSD in the place of one that is gone.
func (h *threeHosts) grows(id int) {
	h.boxes[2].AddOSD(h.T, id)
	for _, pool := range strings.Fields(h.ceph("osd", "pool", "ls")) {
		h.ceph("osd", "pool", "set", pool, "size", "3")
	}
	remotetest.Within(h.Context(), h.T, cephLimit, "all OSDs are up and in", func() bool {
		return strings.Contains(h.ceph("osd", "stat"), "3 osds: 3 up") && strings.Contains(h.ceph("osd", "stat"), "3 in")
	})
	h.boxes[0].Clean(h.T)
}
