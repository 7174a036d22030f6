package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
)

// adoptedSite is a site of hosts and a cluster that somebody else made, and what is seen of it when all is as declared.
func adoptedSite() (model.Desired, model.Observed) {
	d := storageSite(3)
	d.VMs = nil
	d.Regions[0].Ceph.Adopted, d.Regions[0].Ceph.FSID = true, "11111111-2222-3333-4444-555555555555"
	d.Regions[0].Ceph.Pools = []model.Pool{{Name: "vms", Size: 3, MinSize: 2, Application: "rbd"}}
	d.Profiles[0].Adopted = true
	o := model.Observed{FormatVersion: 1}
	c := model.ObservedCeph{Region: "lab/r1", FSID: d.Regions[0].Ceph.FSID, Settings: facts.CephSettings(d.Regions[0].Ceph)}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		n.Adopted, n.Image, n.Config, n.RootDevice = true, model.ImageRef{}, "", model.DeviceHints{}
		o.Nodes = append(o.Nodes, model.ObservedNode{Path: n.Path, Host: model.ObservedHost{Reachable: true, Libvirt: "9.0.0",
			OVS: []model.Bridge{{Name: "br-ex", Uplink: "eth0", UplinkMTU: 1500}, {Name: "br-int"}}}})
		c.Mons = append(c.Mons, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true})
		c.Mgrs = append(c.Mgrs, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true})
		c.OSDs = append(c.OSDs, model.ObservedOSD{ID: i, Node: n.Path, Up: true, In: true, Location: map[string]string{"root": "ssd", "host": n.Name, "datacenter": "x"}})
		c.Hosts = append(c.Hosts, model.ObservedCephHost{Node: n.Path, FSID: c.FSID, Disks: []model.Disk{{Name: "/dev/sdz", Serial: "osd-free"}}})
	}
	o.Ceph = []model.ObservedCeph{c}
	return d, o
}

func adoptedInput(d model.Desired, o model.Observed, goal plan.Goal) planner.Input {
	in := input(d)
	in.Goal, in.Observed, in.Images = goal, o, nil
	return in
}

// TestAdoptedIsLeft: of hosts and clusters that somebody else made nothing is ever changed; as declared they are no difference for any goal.
func TestAdoptedIsLeft(t *testing.T) {
	for _, goal := range []plan.Goal{plan.GoalInstall, plan.GoalUpgrade, plan.GoalRollback} {
		d, o := adoptedSite()
		if p := mustMake(t, adoptedInput(d, o, goal)); !p.AsDesired() {
			t.Errorf("%s: %v, left %v", goal, kindsOf(p), p.Left)
		}
	}
}

// TestAdoptedDiffers: each difference is told at its node, and no op comes of it.
func TestAdoptedDiffers(t *testing.T) {
	for want, change := range map[string]func(*model.Desired, *model.Observed){
		"it does not answer":                             func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host = model.ObservedHost{} },
		"libvirt does not answer":                        func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host.Libvirt = "" },
		"bridge br-ex: uplink eth1, not eth0":            func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host.OVS[0].Uplink = "eth1" },
		"bridge br-ex: MTU of the uplink 9000, not 1500": func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host.OVS[0].UplinkMTU = 9000 },
		"bridge br-ex is not there":                      func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host.OVS = nil },
		"nuboctl laid it down":                           func(_ *model.Desired, o *model.Observed) { o.Nodes[0].Host.Image = imageDigest },
		"the Ceph cluster does not answer": func(_ *model.Desired, o *model.Observed) {
			o.Ceph[0] = model.ObservedCeph{Region: "lab/r1", Error: "x"}
		},
		"it is of the Ceph cluster other": func(_ *model.Desired, o *model.Observed) { o.Ceph[0].FSID = "other" },
		"not as declared: pool vms: size is 2, not 3": func(_ *model.Desired, o *model.Observed) {
			o.Ceph[0].Settings, o.Ceph[0].Drift = "", []string{"pool vms: size is 2, not 3"}
		},
		"its monitor: not there":    func(_ *model.Desired, o *model.Observed) { o.Ceph[0].Mons = o.Ceph[0].Mons[1:] },
		"its manager: down":         func(_ *model.Desired, o *model.Observed) { o.Ceph[0].Mgrs[0].Up = false },
		"its OSDs: osd.0 is out":    func(_ *model.Desired, o *model.Observed) { o.Ceph[0].OSDs[0].In = false },
		"osd.0 is in host blade-02": func(_ *model.Desired, o *model.Observed) { o.Ceph[0].OSDs[0].Location["host"] = "blade-02" },
		"osd.0 is in rack b":        func(_ *model.Desired, o *model.Observed) { o.Ceph[0].OSDs[0].Location["rack"] = "b" },
		"its OSDs: 1 of 2 OSDs":     func(d *model.Desired, _ *model.Observed) { d.Profiles[0].OSDs = 2 },
	} {
		d, o := adoptedSite()
		change(&d, &o)
		p := mustMake(t, adoptedInput(d, o, plan.GoalInstall))
		i := slices.IndexFunc(p.Left, func(l plan.Left) bool { return l.Node == d.Nodes[0].Path && strings.Contains(l.Text, want) })
		if i < 0 || !p.Empty() {
			t.Errorf("want %q; got ops %v, left %v", want, kindsOf(p), p.Left)
		}
	}
}

// TestAdoptedIsNotLaidDown: not even when it is asked for by name.
func TestAdoptedIsNotLaidDown(t *testing.T) {
	d, o := adoptedSite()
	in := adoptedInput(d, o, plan.GoalReinstall)
	in.Targets = []model.Path{d.Nodes[1].Path}
	p := mustMake(t, in)
	if !p.Empty() || len(p.Left) != 1 || !strings.Contains(p.Left[0].Text, "not laid down anew") {
		t.Errorf("got ops %v, left %v", kindsOf(p), p.Left)
	}
}

// TestAdoptedBesideOwn: in a cluster of ours, daemons on a host that somebody else laid down are told and not touched, and no cluster is made around it.
func TestAdoptedBesideOwn(t *testing.T) {
	d, o := adoptedSite()
	d.Regions[0].Ceph.Adopted = false
	for i := range o.Ceph[0].OSDs {
		o.Ceph[0].OSDs[i].Location = nil
	}
	o.Ceph[0].Mons[0].Up = false
	p := mustMake(t, adoptedInput(d, o, plan.GoalInstall))
	for _, k := range kindsOf(p) {
		t.Errorf("op %s", k)
	}
	if len(p.Left) != 3 || !strings.Contains(p.Left[0].Text, "its monitor: down") {
		t.Errorf("left %v", p.Left)
	}
	o.Ceph[0] = model.ObservedCeph{Region: "lab/r1", Absent: true}
	if got := targets(mustMake(t, adoptedInput(d, o, plan.GoalInstall)), plan.CephCreate); len(got) > 0 {
		t.Errorf("a cluster would be made: %v", got)
	}
}

// TestAdoptedIsNotDrained: virtual machines are neither moved off a host that somebody else laid down, nor onto it.
func TestAdoptedIsNotDrained(t *testing.T) {
	d, o := adoptedSite()
	in := adoptedInput(d, o, plan.GoalDrain)
	in.Targets = []model.Path{d.Nodes[1].Path}
	if _, err := planner.Make(in); err == nil || !strings.Contains(err.Error(), "prepares only its own hosts") {
		t.Errorf("got %v", err)
	}
	for i := range d.Nodes {
		d.Nodes[i].Cores, d.Nodes[i].MemoryGiB = 8, 64
	}
	d.Nodes[0].Adopted = false
	o.VMs = []model.ObservedVM{{Name: "v", Node: d.Nodes[2].Path, State: "running", VCPUs: 2, MemoryMiB: 1024}}
	f, err := facts.Fleet(d, o, func(model.Node) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if f.Hosts[0].VCPUs == 0 || f.Hosts[1].VCPUs != 0 || f.Hosts[2].VCPUs != 2 {
		t.Errorf("room is %d, %d and %d vCPU", f.Hosts[0].VCPUs, f.Hosts[1].VCPUs, f.Hosts[2].VCPUs)
	}
}

// TestAdoptedIsNotTakenOut: a disk that somebody else filled is not wiped, whatever the inventory says of its node.
func TestAdoptedIsNotTakenOut(t *testing.T) {
	for _, change := range []func(*model.Desired){
		func(*model.Desired) {},
		func(d *model.Desired) { d.Regions[0].Ceph.Adopted = false },
		func(d *model.Desired) { d.Nodes[2].Adopted = false },
	} {
		d, o := adoptedSite()
		d.Nodes[2].State = model.Retired
		change(&d)
		in := adoptedInput(d, o, plan.GoalDecommission)
		in.Targets = []model.Path{d.Nodes[2].Path}
		if _, err := planner.Make(in); err == nil || !strings.Contains(err.Error(), "wipes no disk") {
			t.Errorf("got %v", err)
		}
	}
}
