package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// install are the ops that bring an empty machine to a host with a hypervisor.
var install = []string{"bmc.identify", "order.arm", "power.off", "boot.network", "power.on", "install.wait", "host.verify", "ovs.ensure", "kvm.ensure"}

// byTarget gives the kinds of a plan's ops for each target, by its last name.
func byTarget(p plan.Plan) map[string][]string {
	out := map[string][]string{}
	for _, s := range p.Stages {
		for _, o := range s.Order() {
			name := string(o.Target[strings.LastIndexAny(string(o.Target), "/:")+1:])
			out[name] = append(out[name], string(o.Kind))
		}
	}
	return out
}

// grown plans a site from the state in which a smaller one is as desired.
func grown(t *testing.T, small, large model.Desired, changes ...plan.Fact) plan.Plan {
	t.Helper()
	p, err := planner.FromState(input(large), as(t, small, changes...))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Validate(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// A blade that joins is installed and becomes part of the cluster; the others are told of its monitor, once it is there, and nothing else happens to them.
func TestABladeJoins(t *testing.T) {
	small, large := storageSite(3), storageSite(4)
	for i := range large.Nodes {
		large.Nodes[i].Roles = storageSite(3).Nodes[0].Roles
	}
	small.Nodes[2].Roles = large.Nodes[2].Roles
	var told []plan.Fact
	for _, n := range small.Nodes { // their ceph.conf names three monitors
		sub := plan.NodeSubject(n.Path)
		for _, a := range []plan.Attr{plan.AttrMon, plan.AttrMgr, plan.AttrOSDs} {
			told = append(told, plan.Fact{Subject: sub, Attr: a, Value: "configured otherwise"})
		}
	}
	p := grown(t, small, large, told...)
	others := []string{"ceph.mgr", "ceph.mon", "ceph.osd"}
	got := byTarget(p)
	for _, list := range [][]string{got["blade-01"], got["blade-02"], got["blade-03"]} {
		slices.Sort(list)
	}
	want := map[string][]string{"blade-01": others, "blade-02": others, "blade-03": others, "vm-4": {"vm.ensure"},
		"blade-04": append(slices.Clone(install), "ceph.mon", "ceph.mgr", "ceph.osd")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if slices.Contains(kindsOf(p), string(plan.CephCreate)) {
		t.Error("a second cluster is made")
	}
	behind := waits(p.Stages[0])
	if !behind[plan.ID(plan.CephMon, plan.NodeSubject(large.Nodes[3].Path))][plan.ID(plan.HostVerify, plan.NodeSubject(large.Nodes[3].Path))] {
		t.Error("its monitor does not wait for its host")
	}
}

// A disk more is an op on its node alone; so is an OSD that somebody has marked out.
func TestAnOSDJoins(t *testing.T) {
	d := storageSite(3)
	second := plan.NodeSubject(d.Nodes[1].Path)
	for _, now := range []string{"disk osd-7 is no OSD", "osd.1 is out"} {
		p := grown(t, d, d, plan.Fact{Subject: second, Attr: plan.AttrOSDs, Value: now})
		if diff := cmp.Diff(map[string][]string{"blade-02": {"ceph.osd"}}, byTarget(p)); diff != "" {
			t.Error(diff)
		}
		if got := p.Stages[0].Ops[0].Args["now"]; got != now {
			t.Errorf("it says %q, not %q", got, now)
		}
	}
}

// A zone more joins the region's cluster, in its own place of the CRUSH tree; a site more has a cluster of its own, which waits for nothing of the first.
func TestAZoneAndASiteJoin(t *testing.T) {
	small := storageSite(3)
	for _, tc := range []struct {
		name, zone, region string
		want               []string
	}{{"zone", "lab/r1/az2/a", "lab/r1", []string{"ceph.mon", "ceph.mgr", "ceph.osd"}}, {"site", "far/r1/az1/a", "far/r1", []string{"ceph.create", "ceph.mon", "ceph.mgr", "ceph.osd", "ceph.settle"}}} {
		t.Run(tc.name, func(t *testing.T) {
			large := storageSite(3)
			if tc.region != "lab/r1" {
				large.Regions = append(large.Regions, model.Region{Path: model.Path(tc.region), Ceph: &model.Ceph{FailureDomain: "host"}})
			}
			for i, n := range storageSite(3).Nodes {
				n.Name = []string{"far-01", "far-02", "far-03"}[i]
				n.Path = model.Path(tc.zone).Join(n.Name)
				n.Config = model.DigestBytes([]byte(n.Name))
				large.Nodes = append(large.Nodes, n)
			}
			p := grown(t, small, large)
			kinds := map[string]bool{}
			for name, list := range byTarget(p) {
				if strings.HasPrefix(name, "blade") || strings.HasPrefix(name, "vm") {
					t.Errorf("%s is changed: %v", name, list)
				}
				for _, k := range list {
					kinds[k] = true
				}
			}
			for _, k := range append(tc.want, install...) {
				if !kinds[k] {
					t.Errorf("nothing is done of kind %s", k)
				}
			}
			if kinds["ceph.create"] != slices.Contains(tc.want, "ceph.create") {
				t.Errorf("a cluster is created: %v", kinds["ceph.create"])
			}
			zone := facts.CrushLocation(large.Nodes[3])[1]
			if want := model.Path(tc.zone).Zone().Name(); zone.Name != want {
				t.Errorf("its zone in the CRUSH tree is %v, not %s", zone, want)
			}
		})
	}
}

// replacing is a site whose second blade was installed on the machine SN-OLD, and has SN-NEW behind it now.
func replacing() planner.Input {
	in := input(storageSite(3))
	in.Desired.Nodes[1].Serial = "SN-NEW"
	in.Targets = []model.Path{in.Desired.Nodes[1].Path}
	spec := facts.HostSpec(imageDigest, in.Desired.Nodes[1].Config)
	in.Observed.Nodes = []model.ObservedNode{{Path: in.Targets[0], BMC: model.ObservedBMC{Reachable: true, Serial: "SN-NEW", Power: model.PowerOff},
		Order: model.ObservedOrder{Spec: spec, Phase: facts.PhaseInstalled, Serial: "SN-OLD"}}}
	in.Observed.Ceph = []model.ObservedCeph{{Region: "lab/r1", FSID: "f", OSDs: []model.ObservedOSD{{ID: 1, Node: in.Targets[0], FSID: "x"}}, Mons: []model.ObservedDaemon{{Name: "blade-02", Node: in.Targets[0]}},
		Hosts: []model.ObservedCephHost{{Node: in.Targets[0], Error: "no route to host"}}}}
	return in
}

// TestAMachineIsReplaced: what the former machine's order says is nothing to the new one, which is installed from nothing.
func TestAMachineIsReplaced(t *testing.T) {
	in := replacing()
	p := mustMake(t, in)
	want := append(slices.Delete(slices.Clone(install), 2, 3), "ceph.mon", "ceph.mgr", "ceph.osd", "vm.ensure")[1:] // it is off, and was asked who it is
	var got []string
	for _, k := range kindsOf(p) {
		if k != "bmc.identify" {
			got = append(got, k)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	notes := strings.Join(p.Notes, "\n")
	for _, says := range []string{"was installed on the machine SN-OLD; the machine SN-NEW is installed in its place", "osd.1 is down; those of its disks that are in the new machine come up"} {
		if !strings.Contains(notes, says) {
			t.Errorf("no note says %q: %s", says, notes)
		}
	}
	// Once it has an order of its own, the plan goes on with that.
	in.Observed.Nodes[0].Order = model.ObservedOrder{Spec: in.Observed.Nodes[0].Order.Spec, Phase: facts.PhaseInstalled, Serial: "SN-NEW"}
	if again := mustMake(t, in); slices.Contains(kindsOf(again), "order.arm") {
		t.Errorf("it is installed again: %v", kindsOf(again))
	}
	// An order of a node that named no serial number, or names none now, is that of the machine that is there.
	for _, serial := range []string{"", "SN-NEW"} {
		in := replacing()
		in.Desired.Nodes[1].Serial, in.Observed.Nodes[0].Order.Serial = serial, map[bool]string{true: "SN-OLD"}[serial == ""]
		if p := mustMake(t, in); slices.Contains(kindsOf(p), "order.arm") {
			t.Errorf("serial number %q: it is installed again: %v", serial, kindsOf(p))
		}
	}
}

func TestTwoMachinesBehindOneNodeAreRefused(t *testing.T) {
	in := replacing()
	in.Observed.Nodes[0].Host = model.ObservedHost{Reachable: true, Image: imageDigest, Config: in.Desired.Nodes[1].Config}
	if r := refusal(t, in); !strings.Contains(r.Reasons[0].Text, "SN-OLD, which it was installed on, still answers") || r.Reasons[0].Invariant != "I11" {
		t.Errorf("%+v", r.Reasons)
	}
}
