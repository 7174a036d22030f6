package certify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/certify"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

var newer, older = model.DigestBytes([]byte("newer")), model.DigestBytes([]byte("older"))

// site is a region of six hosts that all do everything, with five virtual machines on each.
func site(goal plan.Goal, targets ...model.Path) planner.Input {
	in := planner.Input{Goal: goal, Targets: targets, Images: map[string]model.Digest{"debian-13": newer}}
	d := &in.Desired
	d.Regions = []model.Region{{Path: "s/r", Ceph: &model.Ceph{FailureDomain: plan.LevelHost}}}
	d.Profiles = []model.Profile{{Name: "p", CPUModel: "v3", CPUOvercommit: 2, OSDs: 1}}
	d.Rollout = model.Rollout{MaxUnavailable: "1", Survive: "A+C"}
	ceph := model.ObservedCeph{Region: "s/r", Health: "HEALTH_OK"}
	for i := range 6 {
		n := model.Node{Path: model.Path(fmt.Sprintf("s/r/az1/a/n%d", i)), Name: fmt.Sprintf("n%d", i), Profile: "p", Cores: 16, MemoryGiB: 128, Config: newer,
			Roles: []model.Role{model.RoleCompute, model.RoleCephOSD, model.RoleGateway}, Image: model.ImageRef{Name: "debian-13", Digest: newer}}
		if i > 1 {
			n.Roles = n.Roles[:2]
		}
		d.Nodes = append(d.Nodes, n)
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: n.Path, Host: model.ObservedHost{Reachable: true, Image: older, Config: newer, Libvirt: "9", QEMU: "7.2.0"}})
		for j := range 5 {
			in.Observed.VMs = append(in.Observed.VMs, guest(fmt.Sprintf("vm-%d-%d", i, j), n.Path, 8))
		}
		ceph.OSDs = append(ceph.OSDs, model.ObservedOSD{ID: i, Node: n.Path, Up: true, In: true})
		if i < 3 {
			ceph.Mons = append(ceph.Mons, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true})
			ceph.Mgrs = append(ceph.Mgrs, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Active: i == 0})
		}
	}
	pool := model.ObservedPool{Name: "vms", Size: 3, MinSize: 2, PGs: 12}
	for i := range int32(12) {
		pool.Acting = append(pool.Acting, i%6, (i+2)%6, (i+4)%6)
	}
	ceph.Pools = []model.ObservedPool{pool}
	in.Observed.Ceph = []model.ObservedCeph{ceph}
	return in
}

func guest(name string, on model.Path, gib int) model.ObservedVM {
	return model.ObservedVM{Name: name, Node: on, State: "running", VCPUs: 2, MemoryMiB: gib << 10, CPUModel: "v3", Machine: "pc-q35-7.2"}
}

// now is the region of a plan, as the test says that it is observed.
func now(t *testing.T, in planner.Input) (*certify.Certifier, *certify.Observed, *planner.Input) {
	t.Helper()
	p, err := planner.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	seen := in
	seen.Observed.Nodes, seen.Observed.VMs = slices.Clone(in.Observed.Nodes), slices.Clone(in.Observed.VMs)
	seen.Observed.Ceph = slices.Clone(in.Observed.Ceph)
	o := &certify.Observed{Desired: in.Desired, Plan: p, Look: func(context.Context, model.Path) (model.Observed, error) { return seen.Observed, nil }}
	return certify.New(*p.Certificate, o), o, &seen
}

// Machines come and go between plan and batch: the same hosts are certified again, also when one of them is restarting, and the rollout halts when there is no
// room.
func TestObservedIsCertifiedAgain(t *testing.T) {
	c, o, seen := now(t, site(plan.GoalUpgrade))
	check := func(name string) {
		t.Helper()
		for i, b := range o.Plan.Certificate.Batches {
			if err := c.Certify(t.Context(), i); err != nil {
				t.Fatalf("%s, batch %d: %v", name, i+1, err)
			}
			at := o.Plan.Certificate.Fleet.Hosts[b.Hosts[0]].Path
			for _, vm := range seen.Observed.VMs {
				if vm.Node != at {
					continue
				}
				if to := goes(t, c, model.Node{Path: at}, vm.Name); to == "" || to == at {
					t.Errorf("%s: %s goes from %s to %q", name, vm.Name, at, to)
				}
			}
		}
	}
	check("as it was")
	seen.Observed.VMs = append(seen.Observed.VMs[5:], guest("new-1", "s/r/az1/a/n3", 16), guest("new-2", "s/r/az1/a/n4", 16))
	check("after some have come and gone")
	first := o.Plan.Certificate.Batches[0].Hosts[0]
	seen.Observed.VMs = slices.DeleteFunc(seen.Observed.VMs, func(v model.ObservedVM) bool { return v.Node == seen.Observed.Nodes[first].Path })
	seen.Observed.Nodes[first].Host = model.ObservedHost{}
	if err := c.Certify(t.Context(), 0); err != nil {
		t.Errorf("a host of the batch restarts: %v", err)
	}
	for i := range seen.Observed.VMs {
		seen.Observed.VMs[i].MemoryMiB = 22 << 10
	}
	var h *ops.HaltedError
	if err := c.Certify(t.Context(), 1); !errors.As(err, &h) {
		t.Errorf("without room it says %v", err)
	}
}

// A drain is certified by its own rules, also while storage is ill, and a machine that was started meanwhile finds a place.
func TestObservedDrain(t *testing.T) {
	c, _, seen := now(t, site(plan.GoalDrain, "s/r/az1/a/n1"))
	seen.Observed.Ceph[0].Pools = nil
	seen.Observed.Nodes[4].Host.Reachable = false
	seen.Observed.VMs = append(slices.DeleteFunc(seen.Observed.VMs, func(v model.ObservedVM) bool { return v.Node == "s/r/az1/a/n4" }), guest("late", "s/r/az1/a/n1", 8))
	if to := goes(t, c, model.Node{Path: "s/r/az1/a/n1"}, "late"); to == "" || to == "s/r/az1/a/n4" || to == "s/r/az1/a/n1" {
		t.Errorf("it goes to %q", to)
	}
}

func TestObservedStoppable(t *testing.T) {
	in := site(plan.GoalUpgrade)
	for name, c := range map[string]struct {
		node   int
		change func(o *model.Observed)
		want   string
	}{
		"all well":                        {0, func(*model.Observed) {}, ""},
		"a monitor is out":                {0, func(o *model.Observed) { o.Ceph[0].Mons[1].Up = false }, "1 monitors in quorum"},
		"a monitor is out, not its host":  {4, func(o *model.Observed) { o.Ceph[0].Mons[1].Up = false }, ""},
		"the other managers are gone":     {0, func(o *model.Observed) { o.Ceph[0].Mgrs[1].Up, o.Ceph[0].Mgrs[2].Up = false, false }, "0 managers"},
		"the other gateway is gone":       {0, func(o *model.Observed) { o.Nodes[1].Host.Reachable = false }, "gateway"},
		"the other gateway, nobody's now": {5, func(o *model.Observed) { o.Nodes[1].Host.Reachable = false }, ""},
		"Ceph does not answer":            {0, func(o *model.Observed) { o.Ceph[0].Error = "timed out" }, "cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			in := in
			in.Observed.Ceph = slices.Clone(in.Observed.Ceph)
			in.Observed.Ceph[0].Mons, in.Observed.Ceph[0].Mgrs = slices.Clone(in.Observed.Ceph[0].Mons), slices.Clone(in.Observed.Ceph[0].Mgrs)
			x, _, seen := now(t, in)
			c.change(&seen.Observed)
			says(t, x.Stoppable(t.Context(), in.Desired.Nodes[c.node]), c.want)
		})
	}
}

// TestNoPartInAService: a host that has none costs no look.
func TestNoPartInAService(t *testing.T) {
	in := site(plan.GoalUpgrade)
	_, x, _ := now(t, in)
	look := 0
	x.Look = func(context.Context, model.Path) (model.Observed, error) { look++; return in.Observed, nil }
	for i, want := range map[int]int{0: 1, 5: 0} {
		look = 0
		if err := x.Stoppable(t.Context(), in.Desired.Nodes[i]); err != nil || look != want {
			t.Errorf("node %d: %d looks, %v", i, look, err)
		}
	}
}

func says(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
		t.Errorf("it says %v, want %q", err, want)
	}
}

// leave has a host be cordoned, and its OSD be down and out; the cluster is well without it.
func leave(s *model.Observed, n int, drained bool) {
	s.Nodes[n].Host.Cordoned, s.Nodes[n].Host.Drained = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), drained
	s.Ceph[0].OSDs = slices.Clone(s.Ceph[0].OSDs)
	s.Ceph[0].OSDs[n].Up, s.Ceph[0].OSDs[n].In = false, false
}

func TestObservedHealth(t *testing.T) {
	for name, c := range map[string]struct {
		change func(o *certify.Observed, seen *model.Observed)
		want   string // part of what is wrong; empty: nothing
	}{
		"all well":                   {func(*certify.Observed, *model.Observed) {}, ""},
		"a host is silent":           {func(_ *certify.Observed, s *model.Observed) { s.Nodes[2].Host = model.ObservedHost{} }, "n2 does not answer"},
		"libvirt is silent":          {func(_ *certify.Observed, s *model.Observed) { s.Nodes[2].Host.Libvirt = "" }, "libvirt on n2"},
		"a unit of a host as it was": {func(_ *certify.Observed, s *model.Observed) { s.Nodes[2].Host.FailedUnits = []string{"x.service"} }, ""},
		"a unit of a changed host": {func(_ *certify.Observed, s *model.Observed) {
			s.Nodes[2].Host.FailedUnits, s.Nodes[2].Host.Image = []string{"x.service"}, newer
		}, "on n2 have failed: x.service"},
		"a health check": {func(_ *certify.Observed, s *model.Observed) {
			s.Ceph[0].Health, s.Ceph[0].Checks = "HEALTH_WARN", []string{"POOL_NO_REDUNDANCY: 1 pool"}
		}, "POOL_NO_REDUNDANCY: 1 pool"},
		"a health check that may pass": {func(o *certify.Observed, s *model.Observed) {
			s.Ceph[0].Health, s.Ceph[0].Checks = "HEALTH_WARN", []string{"POOL_NO_REDUNDANCY: 1 pool"}
			o.Desired.Rollout.HealthAllow = []string{"POOL_NO_REDUNDANCY"}
		}, ""},
		"a rise that has not come to its end": {func(_ *certify.Observed, s *model.Observed) {
			s.Ceph[0].Health, s.Ceph[0].Checks = "HEALTH_WARN", []string{"OSD_UPGRADE_FINISHED: all OSDs are running reef or later but require_osd_release < reef", "DAEMON_OLD_VERSION: There are daemons running multiple old versions of ceph"}
		}, ""},
		"a rise, and something else": {func(_ *certify.Observed, s *model.Observed) {
			s.Ceph[0].Health, s.Ceph[0].Checks = "HEALTH_WARN", []string{"OSD_UPGRADE_FINISHED: all OSDs are running reef or later but require_osd_release < reef", "SLOW_OPS: 3 slow ops"}
		}, "SLOW_OPS: 3 slow ops"},
		"copies that catch up": {func(_ *certify.Observed, s *model.Observed) {
			s.Ceph[0].Pools = []model.ObservedPool{{Name: "vms", Unclean: 3}}
		}, "3 placement groups of pool vms"},
		"OSDs that were left stopped": {func(_ *certify.Observed, s *model.Observed) { leave(s, 4, false) }, "nuboctl undrain n4 gives the host back"},
		"OSDs of the batch's own host": {func(o *certify.Observed, s *model.Observed) {
			leave(s, int(o.Plan.Certificate.Batches[0].Hosts[0]), false)
		}, ""},
		"OSDs of a drained host": {func(_ *certify.Observed, s *model.Observed) { leave(s, 4, true) }, ""},
		"OSDs whose disk is dead": {func(_ *certify.Observed, s *model.Observed) {
			leave(s, 4, false)
			s.Nodes[4].Host.Cordoned = time.Time{}
		}, ""},
		"Ceph is silent": {func(_ *certify.Observed, s *model.Observed) { s.Ceph[0].Error = "timed out" }, "timed out"},
		"an own gate": {func(o *certify.Observed, _ *model.Observed) {
			o.Gates = func(context.Context, model.Path) ([]string, []string) { return []string{"gate web: 503"}, nil }
		}, "gate web: 503"},
	} {
		t.Run(name, func(t *testing.T) {
			x, o, seen := now(t, site(plan.GoalUpgrade))
			c.change(o, &seen.Observed)
			wrong, err := x.Health(t.Context(), 0)
			if got := strings.Join(wrong, "; "); err != nil || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
	x, o, _ := now(t, site(plan.GoalUpgrade))
	o.Gates = func(context.Context, model.Path) ([]string, []string) { return []string{"late"}, []string{"late"} }
	var h *ops.HaltedError
	if _, err := x.Health(t.Context(), 0); !errors.As(err, &h) {
		t.Errorf("a gate that is late: %v", err)
	}
}
