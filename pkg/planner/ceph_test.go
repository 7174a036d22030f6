package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// storageSite is a site whose blades are a Ceph cluster; the last has no manager.
func storageSite(nodes int) model.Desired {
	d := site(nodes)
	d.Regions = []model.Region{{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host"}}}
	for i := range d.Nodes {
		d.Nodes[i].Roles = []model.Role{model.RoleCompute, model.RoleCephMon, model.RoleCephOSD, model.RoleCephMgr}
	}
	d.Nodes[nodes-1].Roles = d.Nodes[nodes-1].Roles[:3]
	return d
}

// as is the state in which everything is as a site asks for, with the changes.
func as(t *testing.T, d model.Desired, changes ...plan.Fact) plan.State {
	t.Helper()
	return mustMake(t, input(d)).Final().With(changes...)
}

func targets(p plan.Plan, k plan.Kind) []string {
	var out []string
	for _, s := range p.Stages {
		for _, o := range s.Order() {
			if o.Kind == k {
				out = append(out, string(o.Target[strings.LastIndexAny(string(o.Target), "/:")+1:]))
			}
		}
	}
	return out
}

func TestClusterIsMadeInOrder(t *testing.T) {
	p := mustMake(t, input(storageSite(3)))
	for k, want := range map[plan.Kind][]string{
		plan.CephCreate: {"r1"}, plan.CephMon: {"blade-02", "blade-03"}, plan.CephMgr: {"blade-01", "blade-02"}, plan.CephOSD: {"blade-01", "blade-02", "blade-03"}, plan.CephSettle: {"r1"},
	} {
		if diff := cmp.Diff(want, targets(p, k)); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
	// Each kind waits for every op of the one before it, monitors one for the other, and virtual machines for the pools.
	behind := waits(p.Stages[0])
	for _, pair := range [][2]plan.OpID{
		{"ceph.create ceph:lab/r1", "kvm.ensure node:lab/r1/az1/a/blade-03"},
		{"ceph.mon node:lab/r1/az1/a/blade-02", "ceph.create ceph:lab/r1"},
		{"ceph.mon node:lab/r1/az1/a/blade-03", "ceph.mon node:lab/r1/az1/a/blade-02"},
		{"ceph.mgr node:lab/r1/az1/a/blade-01", "ceph.mon node:lab/r1/az1/a/blade-03"},
		{"ceph.osd node:lab/r1/az1/a/blade-03", "ceph.mgr node:lab/r1/az1/a/blade-01"},
		{"ceph.settle ceph:lab/r1", "ceph.osd node:lab/r1/az1/a/blade-02"},
		{"vm.ensure vm:vm-2", "ceph.settle ceph:lab/r1"},
	} {
		if !behind[pair[0]][pair[1]] {
			t.Errorf("%s does not wait for %s", pair[0], pair[1])
		}
	}
}

// waits says of each op which others are certainly done before it.
func waits(s plan.Stage) map[plan.OpID]map[plan.OpID]bool {
	out := map[plan.OpID]map[plan.OpID]bool{}
	for _, o := range s.Order() {
		out[o.ID] = map[plan.OpID]bool{}
		for _, n := range o.Needs {
			out[o.ID][n] = true
			for m := range out[n] {
				out[o.ID][m] = true
			}
		}
	}
	return out
}

// TestServicesComeOneByOne: metadata servers and object gateways come behind the OSDs; the settings, and with them the file system, come behind all.
func TestServicesComeOneByOne(t *testing.T) {
	t.Run("mds", func(t *testing.T) { comeOneByOne(t, model.RoleCephMDS, plan.CephMDS, plan.AttrMDS) })
	t.Run("rgw", func(t *testing.T) { comeOneByOne(t, model.RoleCephRGW, plan.CephRGW, plan.AttrRGW) })
}

func comeOneByOne(t *testing.T, role model.Role, k plan.Kind, a plan.Attr) {
	d := storageSite(3)
	for i := range 2 {
		d.Nodes[i].Roles = append(d.Nodes[i].Roles, role)
	}
	p := mustMake(t, input(d))
	behind := waits(p.Stages[0])
	for _, pair := range [][2]plan.OpID{
		{plan.ID(k, plan.NodeSubject(d.Nodes[0].Path)), plan.ID(plan.CephOSD, plan.NodeSubject(d.Nodes[2].Path))},
		{plan.ID(k, plan.NodeSubject(d.Nodes[1].Path)), plan.ID(k, plan.NodeSubject(d.Nodes[0].Path))},
		{plan.ID(plan.CephSettle, plan.CephSubject("lab/r1")), plan.ID(k, plan.NodeSubject(d.Nodes[1].Path))},
	} {
		if !behind[pair[0]][pair[1]] {
			t.Errorf("%s does not wait for %s", pair[0], pair[1])
		}
	}
	if len(p.Notes) > 0 {
		t.Errorf("noted: %v", p.Notes)
	}
	p, err := planner.FromState(input(d), as(t, d, plan.Fact{Subject: plan.NodeSubject(d.Nodes[1].Path), Attr: a, Value: "down"}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"blade-02"}, targets(p, k)); diff != "" {
		t.Error(diff)
	}
}

func TestClusterDrift(t *testing.T) {
	d := storageSite(3)
	region, second := plan.CephSubject("lab/r1"), plan.NodeSubject(d.Nodes[1].Path)
	for _, tc := range []struct {
		name   string
		change plan.Fact
		want   []string
		note   string
	}{
		{"nothing", plan.Fact{Subject: second, Attr: plan.AttrOSDs, Value: plan.Up}, nil, ""},
		{"a wrong place", plan.Fact{Subject: second, Attr: plan.AttrOSDs, Value: "osd.1 is in rack az1-b"}, []string{"ceph.osd"}, ""},
		{"a monitor gone", plan.Fact{Subject: second, Attr: plan.AttrMon}, []string{"ceph.mon"}, ""},
		{"a pool changed", plan.Fact{Subject: region, Attr: plan.AttrSettings, Value: "pool vms: size is 2, not 3"}, []string{"ceph.settle"}, ""},
		{"a foreign key", plan.Fact{Subject: region, Attr: plan.AttrForeign, Value: "key client.evil"}, nil, "key client.evil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := planner.FromState(input(d), as(t, d, tc.change))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, kindsOf(p)); diff != "" {
				t.Error(diff)
			}
			if tc.note != "" && !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, tc.note) }) {
				t.Errorf("no note has %q: %q", tc.note, p.Notes)
			}
		})
	}
}

// TestClusterNeedsAllItsMonitors: that there is no cluster yet is certain only when every host that could know is there.
func TestClusterNeedsAllItsMonitors(t *testing.T) {
	in := input(storageSite(3))
	in.Targets = []model.Path{in.Desired.Nodes[0].Path}
	p := mustMake(t, in)
	if got := targets(p, plan.CephCreate); got != nil || len(p.Notes) == 0 || !strings.Contains(p.Notes[0], "not created") {
		t.Errorf("creates %v, notes %q", got, p.Notes)
	}
	// A cluster that is there is joined by one node alone.
	st := as(t, in.Desired, plan.Fact{Subject: plan.NodeSubject(in.Targets[0]), Attr: plan.AttrOSDs})
	again, err := planner.FromState(in, st)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ceph.osd"}, kindsOf(again)); diff != "" {
		t.Error(diff)
	}
}

func TestAnotherClusterIsLeftAlone(t *testing.T) {
	d := storageSite(2)
	d.Regions[0].Ceph.FSID = "wanted"
	st := as(t, d, plan.Fact{Subject: plan.CephSubject("lab/r1"), Attr: plan.AttrCluster, Value: "other"})
	p, err := planner.FromState(input(d), st)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Empty() || len(p.Left) != 2 || !strings.Contains(p.Left[0].Text, "other") {
		t.Errorf("%v, left %v", kindsOf(p), p.Left)
	}
	if facts.ClusterValue(d.Regions[0].Ceph) != "wanted" {
		t.Error("the fsid that the inventory pins is not what is wanted")
	}
}

// TestReplanOfAClusterYieldsTheRest: wherever the making of a cluster stopped, the next plan is what was left of the first.
func TestReplanOfAClusterYieldsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := input(storageSite(3))
		p := mustMake(t, in)
		st, done := p.Initial.Clone(), map[plan.OpID]bool{}
		for _, o := range p.Stages[0].Order() {
			if slices.ContainsFunc(o.Needs, func(n plan.OpID) bool { return !done[n] }) || rapid.IntRange(0, 9).Draw(t, "stop at "+string(o.ID)) == 0 {
				continue
			}
			done[o.ID] = true
			for _, f := range o.Post {
				st.Set(f)
			}
		}
		again, err := planner.FromState(in, st)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Validate(again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(remaining(p, done), remaining(again, done)); diff != "" {
			t.Fatalf("replanning differs from the rest (-rest +replanned):\n%s", diff)
		}
	})
}
