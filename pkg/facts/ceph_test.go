package facts_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

const node = model.Path("lab/r1/az1/a/blade-01")

func cephRegion() model.Desired {
	return model.Desired{
		Profiles: []model.Profile{{Name: "p", OSDs: 1}},
		Regions:  []model.Region{{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host", Pools: []model.Pool{{Name: "vms", Size: 3, MinSize: 2}}}}},
		Nodes: []model.Node{{Path: node, Name: "blade-01", Profile: "p", Chassis: "lab/r1/az1/a/c1", OSDDevice: model.DeviceHints{Serial: "osd-*"},
			Roles: []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD, model.RoleCephMDS, model.RoleCephRGW}}},
	}
}

// healthy is the cluster of cephRegion as it should be.
func healthy() model.ObservedCeph {
	daemon := []model.ObservedDaemon{{Name: "blade-01", Node: node, Up: true}}
	return model.ObservedCeph{
		Region: "lab/r1", FSID: "f", Settings: facts.CephSettings(cephRegion().Regions[0].Ceph), Mons: daemon, Mgrs: daemon, MDSs: []model.ObservedDaemon{{Name: "blade-01", Node: node, Up: true}}, RGWs: []model.ObservedDaemon{{Name: "blade-01", Node: node, Up: true}},
		OSDs: []model.ObservedOSD{{ID: 3, Node: node, Up: true, In: true,
			Location: map[string]string{"root": "default", "zone": "az1", "rack": "az1-a", "chassis": "az1-a-c1", "host": "blade-01"}}},
		Hosts: []model.ObservedCephHost{{Node: node, Declared: true, Disks: []model.Disk{{Name: "/dev/vda", Serial: "root-1"}, {Name: "/dev/vdb", Serial: "osd-1"}},
			Volumes: []model.ObservedVolume{{OSD: 3, Cluster: "f", Device: "/dev/vdb"}}, Running: []string{"mgr.blade-01", "mon.blade-01", "osd.3"}}},
	}
}

// TestCephDrift: what somebody changed by hand is told in words by the fact that it touches, and by no other.
func TestCephDrift(t *testing.T) {
	sub, cluster := plan.NodeSubject(node), plan.CephSubject("lab/r1")
	want := plan.State{sub: {plan.AttrMon: "up", plan.AttrMgr: "up", plan.AttrMDS: "up", plan.AttrRGW: "up", plan.AttrOSDs: "up", plan.AttrCeph: plan.Up},
		cluster: {plan.AttrCluster: facts.ClusterThere, plan.AttrSettings: string(healthy().Settings)}}
	for _, tc := range []struct {
		name   string
		change func(c *model.ObservedCeph)
		fact   plan.Fact
	}{
		{"as declared", func(*model.ObservedCeph) {}, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "up"}},
		{"a monitor out of quorum", func(c *model.ObservedCeph) { c.Mons = []model.ObservedDaemon{{Node: node}} }, plan.Fact{Subject: sub, Attr: plan.AttrMon, Value: "down"}},
		{"no manager", func(c *model.ObservedCeph) { c.Mgrs = nil }, plan.Fact{Subject: sub, Attr: plan.AttrMgr}},
		{"an OSD is down", func(c *model.ObservedCeph) { c.OSDs[0].Up = false }, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "osd.3 is down"}},
		{"an OSD is out", func(c *model.ObservedCeph) { c.OSDs[0].In = false }, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "osd.3 is out"}},
		{"a wrong place", func(c *model.ObservedCeph) { c.OSDs[0].Location["rack"] = "az1-b" }, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "osd.3 is in rack az1-b"}},
		{"a new disk", func(c *model.ObservedCeph) {
			c.Hosts[0].Disks = append(c.Hosts[0].Disks, model.Disk{Name: "/dev/vdc", Serial: "osd-2"})
		}, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "disk osd-2 is no OSD"}},
		{"another cluster's OSD on the disk", func(c *model.ObservedCeph) { c.Hosts[0].Volumes[0].Cluster = "other" }, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "disk osd-1 is no OSD"}},
		{"a pool", func(c *model.ObservedCeph) { c.Settings, c.Drift = "", []string{"pool vms: size is 2, not 3"} },
			plan.Fact{Subject: cluster, Attr: plan.AttrSettings, Value: "pool vms: size is 2, not 3"}},
		{"its daemons are stopped", func(c *model.ObservedCeph) { c.Hosts[0].Running = nil }, plan.Fact{Subject: sub, Attr: plan.AttrCeph, Value: plan.Stopped}},
		{"its metadata server has ended", func(c *model.ObservedCeph) { c.MDSs[0].Up = false }, plan.Fact{Subject: sub, Attr: plan.AttrMDS, Value: "down"}},
		{"no metadata server", func(c *model.ObservedCeph) { c.MDSs = nil }, plan.Fact{Subject: sub, Attr: plan.AttrMDS}},
		{"its object gateway has ended", func(c *model.ObservedCeph) { c.RGWs[0].Up = false }, plan.Fact{Subject: sub, Attr: plan.AttrRGW, Value: "down"}},
		{"no object gateway", func(c *model.ObservedCeph) { c.RGWs = nil }, plan.Fact{Subject: sub, Attr: plan.AttrRGW}},
		{"a foreign key", func(c *model.ObservedCeph) { c.Foreign = []string{"key client.evil"} }, plan.Fact{Subject: cluster, Attr: plan.AttrForeign, Value: "key client.evil"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := healthy()
			tc.change(&c)
			if diff := cmp.Diff(want.With(tc.fact), facts.Project(cephRegion(), model.Observed{Ceph: []model.ObservedCeph{c}})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCephUnknown: of a cluster that cannot be asked, or that is not there, nothing is claimed.
func TestCephUnknown(t *testing.T) {
	silent, absent := healthy(), model.ObservedCeph{Region: "lab/r1", Absent: true}
	silent.Error = "no quorum"
	if st := facts.Project(cephRegion(), model.Observed{Ceph: []model.ObservedCeph{silent, absent}}); len(st) != 0 {
		t.Errorf("it claims %v", st)
	}
	pinned := cephRegion()
	pinned.Regions[0].Ceph.FSID = "another"
	if got := facts.Project(pinned, model.Observed{Ceph: []model.ObservedCeph{healthy()}}).Get(plan.CephSubject("lab/r1"), plan.AttrCluster); got != "f" {
		t.Errorf("another cluster than the inventory's is %q", got)
	}
}
