package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// cephLimit is how long a real cluster may take to change, on a busy machine.
const cephLimit = 5 * time.Minute

// threeHosts is a real Ceph cluster on three hosts, and the region that they are in the inventory.
type threeHosts struct {
	*testing.T
	boxes   []*hosttest.Box
	nodes   []model.Node
	gates   []*hosttest.Box // hosts more, with nothing of the cluster yet
	outside []model.Node    // theirs
	links   *fleet.Links
	desired model.Desired
}

// newThreeHosts makes the cluster, and hosts outside with these names on the same network.
func newThreeHosts(t *testing.T, outside ...string) *threeHosts {
	if testing.Short() {
		t.Skip("a Ceph cluster of three hosts in namespaces")
	}
	names := []string{"blade-01", "blade-02", "blade-03"}
	all := slices.Concat(names, outside)
	boxes := hosttest.Site(t, all...)
	h := &threeHosts{T: t, boxes: boxes[:3], gates: boxes[3:]}
	hosttest.StartCluster(t, h.boxes, names, "vms")
	by := map[model.Path]*hosttest.Box{}
	for i, name := range names {
		n := model.Node{Name: name, Path: model.Path("lab/r1/az1/a").Join(name), Roles: []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD}}
		h.nodes = append(h.nodes, n)
		by[n.Path] = h.boxes[i]
	}
	for i, name := range all[3:] {
		n := model.Node{Name: name, Path: model.Path("lab/r1/az1/a").Join(name), Roles: []model.Role{model.RoleCephRGW}}
		h.outside = append(h.outside, n)
		by[n.Path] = h.gates[i]
	}
	h.desired = model.Desired{Regions: []model.Region{{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host"}}}, Nodes: h.nodes}
	h.links = fleet.NewLinks(func(_ context.Context, n model.Node) (remote.Target, error) { return by[n.Path].Target(), nil })
	t.Cleanup(func() { _ = h.links.Close() })
	return h
}

func (h *threeHosts) storage(epoch int64) *fleet.Storage {
	return &fleet.Storage{Desired: h.desired, Links: h.links, Epoch: epoch, Log: slog.New(slog.DiscardHandler), Owner: "ann"}
}

func (h *threeHosts) ceph(argv ...string) string {
	return h.boxes[0].Must(h.T, append([]string{"ceph", "--connect-timeout", "120"}, argv...)...) // monitors may be electing
}

// sees waits until what is seen of a node's storage is as wanted.
func (h *threeHosts) sees(s *fleet.Storage, n model.Node, what string, want func(ops.Ceph) bool) (c ops.Ceph) {
	h.Helper()
	remotetest.Within(h.Context(), h.T, cephLimit, what, func() bool {
		var err error
		if c, err = s.Observe(h.Context(), n); err != nil {
			h.Fatal(err)
		}
		return want(c)
	})
	return c
}

func daemons(want string) func(ops.Ceph) bool {
	return func(c ops.Ceph) bool { return c.Daemons == want }
}

// whole: all copies of the host with one OSD are known to be there and complete: one of each placement group, 8 of vms and one of the manager's own.
func whole(c ops.Ceph) bool {
	return c.Unsure == "" && len(c.OSDs) == 1 && copiesOn(c, c.OSDs[0]) == 9
}

func copiesOn(c ops.Ceph, osd int32) (n int) {
	for _, p := range c.Pools {
		for _, id := range p.Acting {
			if id == osd {
				n++
			}
		}
	}
	return n
}

// TestStorage takes a host of a real cluster out of service and brings it back.
func TestStorage(t *testing.T) {
	t.Parallel()
	h := newThreeHosts(t)
	s, n := h.storage(3), h.nodes[0]
	c := h.sees(s, n, "all is in service", func(c ops.Ceph) bool { return c.Daemons == plan.Up && whole(c) })
	if len(c.OSDs) != 1 || c.OSDs[0] != 0 || c.Unsure != "" || !c.Noout.IsZero() {
		t.Errorf("a healthy host is seen as %+v", c)
	}
	for _, p := range c.Pools {
		if p.Name == "vms" && (p.Size != 3 || p.MinSize != 2 || len(p.Acting) != 24) {
			t.Errorf("pool vms is %+v", p)
		}
	}
	if err := s.OKToStop(t.Context(), n); err != nil {
		t.Errorf("a healthy host may not stop: %v", err)
	}
	t.Run("the end of a rise", func(t *testing.T) { h.in(t).requires() })
	t.Run("adopt", func(t *testing.T) { h.in(t).adopted() })
	h.stops(s, n)
	h.others(s, n)
	h.returns(s, n)
	t.Run("suite", func(t *testing.T) { opstest.Storage(t, storageHost{s, h.nodes[1]}) })
	t.Run("noout ends by itself", func(t *testing.T) { h.in(t).ends(s, h.nodes[2]) })
	t.Run("somebody else's noout stays", func(t *testing.T) { h.in(t).foreign(s, h.nodes[2]) })
	t.Run("an older epoch is refused", func(t *testing.T) { h.in(t).fenced(s, h.nodes[2]) })
	t.Run("no host waits, so noout is not set", func(t *testing.T) { h.in(t).alone(s, h.nodes[2]) })
	t.Run("an OSD leaves for another, and a monitor for good", func(t *testing.T) { h.in(t).departs() })
}

// storageHost is a host of the cluster, for the suite of every ops.Storage.
type storageHost struct {
	s *fleet.Storage
	n model.Node
}

func (h storageHost) Storage() ops.Storage { return h.s }
func (h storageHost) Node() model.Node     { return h.n }
func (h storageHost) Now() time.Time       { return time.Now() }

func (h storageHost) Await(t *testing.T, what string, so func() bool) {
	t.Helper()
	remotetest.Within(t.Context(), t, cephLimit, what, so)
}

// in is the same cluster in a part of a test.
func (h *threeHosts) in(t *testing.T) *threeHosts {
	part := *h
	part.T = t
	return &part
}

// balances reports whether the balancer moves data by itself.
func (h *threeHosts) balances() bool {
	return strings.Contains(h.ceph("balancer", "status"), `"active": true`)
}

func (h *threeHosts) stops(s *fleet.Storage, n model.Node) {
	h.ceph("balancer", "on")
	began := time.Now()
	until := began.Add(30 * time.Minute)
	if err := s.SetNoout(h.Context(), n, until); err != nil {
		h.Fatal(err)
	}
	c := h.sees(s, n, "noout is set", func(c ops.Ceph) bool { return !c.Noout.IsZero() })
	if d := c.Noout.Sub(until).Abs(); d > time.Since(began)+2*time.Second { // as exact as a question is quick, and whole seconds
		h.Errorf("noout ends at %s, not %s", c.Noout, until)
	}
	for i, b := range h.boxes {
		if b.Must(h.T, "systemctl", "is-active", "nubo-noout-blade-01.service") != "active\n" {
			h.Errorf("host %d does not wait for its end", i+1)
		}
	}
	if h.balances() {
		h.Error("the balancer is not held")
	}
	if err := s.SetDaemons(h.Context(), n, false); err != nil {
		h.Fatal(err)
	}
	h.sees(s, n, "they are stopped", daemons(plan.Stopped))
	if out := h.boxes[0].Must(h.T, "systemctl", "list-units", "ceph-*"); out != "" {
		h.Errorf("on the host run %s", out)
	}
	if mgr := h.boxes[1].Must(h.T, "ceph", "mgr", "stat"); !strings.Contains(mgr, `"blade-02"`) {
		h.Errorf("the manager is %s", mgr)
	}
	// Once more changes nothing.
	if err := s.SetDaemons(h.Context(), n, false); err != nil {
		h.Error(err)
	}
}

// others: with one host out, the next may not go.
func (h *threeHosts) others(s *fleet.Storage, out model.Node) {
	n := h.nodes[1]
	// The monitors know that its OSD is down, and the manager says where the copies are when it has heard.
	c := h.sees(s, n, "the placement groups are known", func(c ops.Ceph) bool { return c.Unsure == "" })
	for _, p := range c.Pools {
		for i := 0; i < len(p.Acting); i += p.Size {
			present := 0
			for _, id := range p.Acting[i : i+p.Size] {
				if id >= 0 {
					present++
				}
				if id == 0 {
					h.Errorf("a copy of %s is on an OSD that is stopped: %v", p.Name, p.Acting[i:i+p.Size])
				}
			}
			if present != 2 {
				h.Errorf("pool %s has an acting set %v", p.Name, p.Acting[i:i+p.Size])
			}
		}
	}
	// The monitors and the map of managers may take a while to miss who has gone; placement groups are counted without them at once.
	remotetest.Within(h.Context(), h.T, cephLimit, "OSDs, monitors and managers are each a reason", func() bool {
		err := s.OKToStop(h.Context(), n)
		if err == nil {
			h.Fatalf("with %s stopped, %s may stop as well", out.Name, n.Name)
		}
		return strings.Contains(err.Error(), "osd ok-to-stop") && strings.Contains(err.Error(), "mon ok-to-stop") && strings.Contains(err.Error(), "no standby")
	})
}

func (h *threeHosts) returns(s *fleet.Storage, n model.Node) {
	if err := s.SetDaemons(h.Context(), n, true); err != nil {
		h.Fatal(err)
	}
	h.sees(s, n, "all is in service again", daemons(plan.Up))
	if err := s.SetNoout(h.Context(), n, time.Time{}); err != nil {
		h.Fatal(err)
	}
	if c, err := s.Observe(h.Context(), n); err != nil || !c.Noout.IsZero() {
		h.Errorf("noout is unset, and seen as %v, %v", c.Noout, err)
	}
	if h.flagged() {
		h.Error("the flag is still there")
	}
	for i, b := range h.boxes {
		if out := b.Must(h.T, "systemctl", "list-units", "nubo-noout-*"); out != "" {
			h.Errorf("host %d still waits: %s", i+1, out)
		}
	}
	h.sees(s, n, "every copy is there and complete", whole)
	h.boxes[0].Clean(h.T)
	if h.balances() {
		h.Error("the balancer goes on between two hosts")
	}
	h.ceph("config-key", "set", "nubo/hold/balancer", `{"until":1,"owner":"ann","epoch":3,"undo":"balancer on"}`) // as if the time were over
	remotetest.Within(h.Context(), h.T, cephLimit, "the balancer goes on", h.balances)
}

// flagged reports whether noout is set for any bucket.
func (h *threeHosts) flagged() bool {
	return strings.Contains(h.ceph("osd", "dump", "--format", "json"), `["noout"]`)
}

// ends: nobody comes back, and the hosts unset it; one of them does for all. Its time is shortened where the cluster keeps it, when it stands.
func (h *threeHosts) ends(s *fleet.Storage, n model.Node) {
	if err := s.SetNoout(h.Context(), n, time.Now().Add(time.Hour)); err != nil {
		h.Fatal(err)
	}
	if !h.flagged() {
		h.Error("it was not set")
	}
	key := "nubo/noout/" + n.Name
	mark := h.ceph("config-key", "get", key)
	soon := regexp.MustCompile(`"until":\d+`).ReplaceAllString(strings.TrimSpace(mark), fmt.Sprintf(`"until":%d`, time.Now().Add(20*time.Second).Unix()))
	h.ceph("config-key", "set", key, soon)
	remotetest.Within(h.Context(), h.T, cephLimit, "the flag is gone", func() bool { return !h.flagged() })
	remotetest.Within(h.Context(), h.T, cephLimit, "its mark is gone", func() bool { return !strings.Contains(h.ceph("config-key", "ls"), "nubo/noout") })
	for i, b := range h.boxes { // one that was about to unset it as well does so before anybody sets it again
		remotetest.Within(h.Context(), h.T, cephLimit, fmt.Sprintf("host %d waits no more", i+1), func() bool {
			return b.Must(h.T, "systemctl", "list-units", "nubo-noout-*") == ""
		})
	}
}

// foreign: a flag that somebody else has set is his before us and after us.
func (h *threeHosts) foreign(s *fleet.Storage, n model.Node) {
	h.ceph("osd", "set-group", "noout", n.Name)
	if c, err := s.Observe(h.Context(), n); err != nil || !c.Noout.IsZero() {
		h.Errorf("it is seen as ours: %v %v", c.Noout, err)
	}
	for _, until := range []time.Time{time.Now().Add(time.Hour), {}} {
		if err := s.SetNoout(h.Context(), n, until); err != nil {
			h.Fatal(err)
		}
		if c, err := s.Observe(h.Context(), n); err != nil || c.Noout.IsZero() != until.IsZero() {
			h.Errorf("wanted until %v, seen %v, %v", until, c.Noout, err)
		}
	}
	if !h.flagged() {
		h.Error("it is gone")
	}
	h.ceph("osd", "unset-group", "noout", n.Name)
}

func (h *threeHosts) fenced(s *fleet.Storage, n model.Node) {
	if err := s.SetNoout(h.Context(), n, time.Now().Add(time.Hour)); err != nil {
		h.Fatal(err)
	}
	older := h.storage(2)
	for what, err := range map[string]error{
		"unset": older.SetNoout(h.Context(), n, time.Time{}), "set": older.SetNoout(h.Context(), n, time.Now().Add(time.Minute)),
		"stop": older.SetDaemons(h.Context(), n, false), "start": older.SetDaemons(h.Context(), n, true),
	} {
		if !errors.Is(err, remote.ErrFenced) {
			h.Errorf("%s: %v", what, err)
		}
	}
	if c, err := s.Observe(h.Context(), n); err != nil || time.Until(c.Noout) < 50*time.Minute || c.Daemons != plan.Up {
		h.Errorf("seen %+v, %v", c, err)
	}
	if err := s.SetNoout(h.Context(), n, time.Time{}); err != nil {
		h.Fatal(err)
	}
}

func (h *threeHosts) alone(s *fleet.Storage, n model.Node) {
	for _, b := range h.boxes {
		b.BreakTimers(h.T)
	}
	err := s.SetNoout(h.Context(), n, time.Now().Add(time.Hour))
	if err == nil {
		h.Error("it was set")
	}
	if keys := h.ceph("config-key", "ls"); h.flagged() || strings.Contains(keys, "nubo/noout") {
		h.Errorf("after %v something is left: %s", err, keys)
	}
}
