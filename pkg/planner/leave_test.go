package planner_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// retiring is a region of twelve hosts with four monitors, three managers and an OSD of 1 TiB each, a quarter full. The second, which has all of them, is retired
// and drained, and its OSD's disk may be wiped.
func retiring() planner.Input {
	in := rolled(6)
	in.Goal = plan.GoalDecommission
	c := &in.Observed.Ceph[0]
	c.FSID = "f"
	mon := model.ObservedDaemon{Name: "n03", Node: in.Desired.Nodes[3].Path, Up: true}
	c.Mons = append(c.Mons, mon)
	for i := range c.OSDs {
		o, n := &c.OSDs[i], &in.Desired.Nodes[i]
		o.FSID, o.Bytes, o.Used, o.Location = n.Name, 1<<40, 1<<38, map[string]string{"host": n.Name, "rack": string(n.Path.Rack())}
		c.Hosts = append(c.Hosts, model.ObservedCephHost{Node: n.Path, Declared: true, Volumes: []model.ObservedVolume{{OSD: i, FSID: n.Name, Cluster: "f", Device: "/dev/vdb"}},
			Disks: []model.Disk{{Name: "/dev/vda", Serial: "root-1", Signatures: []string{"gpt"}}, {Name: "/dev/vdb", Serial: "osd-1", Signatures: []string{"LVM2_member"}}}})
		if i < 4 {
			n.Roles = append(n.Roles, model.RoleCephMon, model.RoleCephMgr)
		}
		n.RootDevice = model.DeviceHints{Serial: "root-*"}
		in.Observed.Nodes[i].BMC = model.ObservedBMC{Reachable: true, Power: model.PowerOn}
	}
	leaves := &in.Desired.Nodes[1]
	leaves.State, leaves.Consent = model.Retired, []string{"osd-1", "root-1"}
	in.Observed.Nodes[1].Host.Drained, in.Observed.Nodes[1].Host.Cordoned = true, time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	in.Observed.VMs = slices.DeleteFunc(in.Observed.VMs, func(vm model.ObservedVM) bool { return vm.Node == leaves.Path })
	in.Targets = []model.Path{leaves.Path}
	return in
}

// lost is the same of a machine that burned.
func lost() planner.Input {
	in := retiring()
	in.Desired.Nodes[1].State = model.Lost
	in.Observed.Nodes[1] = model.ObservedNode{Path: in.Desired.Nodes[1].Path}
	c := &in.Observed.Ceph[0]
	c.OSDs[1].Up, c.Mons[1].Up, c.Hosts[1] = false, false, model.ObservedCephHost{Node: c.Hosts[1].Node, Error: "no route to host"}
	c.Mgrs = slices.Delete(c.Mgrs, 1, 2)
	return in
}

var leaving = []string{"ceph.out", "ceph.empty", "ceph.purge", "ceph.leave", "disk.wipe", "bmc.identify", "power.off"}

func TestDecommission(t *testing.T) {
	in := retiring()
	in.Observed.Nodes[1].BMC = model.ObservedBMC{Error: "not asked"} // so that it is asked who it is
	p := mustMake(t, in)
	if diff := cmp.Diff(leaving, kindsOf(p)); diff != "" {
		t.Error(diff)
	}
	if err := verify.Plan(p); err != nil {
		t.Error(err)
	}
	ops := p.Stages[0].Order()
	if ops[4].Args["disks"] != "osd-1" { // the system's disk is consented to as well, and runs
		t.Errorf("wipes %v", ops[4].Args)
	}
	for i, o := range ops[1:] {
		if !slices.Contains(o.Needs, ops[i].ID) {
			t.Errorf("%s does not wait for %s", o.ID, ops[i].ID)
		}
	}
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{"take node n01 out of the inventory", "the disk of its system is not wiped", "name its monitor in their ceph.conf"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q: %s", want, notes)
		}
	}
}

// Of a lost machine the cluster is told, and nothing is asked of it or its BMC.
func TestDecommissionOfALostMachine(t *testing.T) {
	p := mustMake(t, lost())
	if diff := cmp.Diff([]string{"ceph.out", "ceph.empty", "ceph.purge", "ceph.leave"}, kindsOf(p)); diff != "" {
		t.Error(diff)
	}
	if err := verify.Plan(p); err != nil {
		t.Error(err)
	}
}

// A node that carries no storage is only switched off.
func TestDecommissionOfAComputeNode(t *testing.T) {
	in := retiring()
	in.Desired.Nodes[1].Roles = []model.Role{model.RoleCompute}
	c := &in.Observed.Ceph[0]
	c.Hosts, c.Mons, c.Mgrs = slices.Delete(c.Hosts, 1, 2), slices.Delete(c.Mons, 1, 2), slices.Delete(c.Mgrs, 1, 2)
	c.OSDs = slices.Delete(c.OSDs, 1, 2)
	for i, id := range c.Pools[0].Acting {
		if id == 1 {
			c.Pools[0].Acting[i] = 2
		}
	}
	if diff := cmp.Diff([]string{"power.off"}, kindsOf(mustMake(t, in))); diff != "" {
		t.Error(diff)
	}
}

func TestDecommissionIsRefused(t *testing.T) {
	node := func(i int) model.Path { return rolled(6).Desired.Nodes[i].Path }
	for _, tc := range []struct {
		name      string
		do        func(*planner.Input)
		invariant string
		says      string // in text or remedy
	}{
		{"in service", func(in *planner.Input) { in.Desired.Nodes[1].State = "" }, planner.InvariantWanted, `state = "retired"`},
		{"nothing named", func(in *planner.Input) { in.Targets = nil }, planner.InvariantWanted, "nuboctl decommission NODE"},
		{"a machine runs there", func(in *planner.Input) {
			in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: "stray", Node: node(1), State: "running"})
		}, "I8", "nuboctl drain n01"},
		{"a machine is defined there", func(in *planner.Input) {
			in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: "asleep", Node: node(1), State: "shutoff"})
		}, "I8", "defined and stopped there, and would go with it: asleep"},
		{"not cordoned", func(in *planner.Input) { in.Observed.Nodes[1].Host.Cordoned = time.Time{} }, "I8", "may still come there"},
		{"silent and not off", func(in *planner.Input) { in.Observed.Nodes[1].Host = model.ObservedHost{} }, "I11", "nuboctl bmc power off n01"},
		{"its OSD serves and nobody can stop it", func(in *planner.Input) {
			in.Observed.Nodes[1].Host, in.Observed.Nodes[1].BMC.Power = model.ObservedHost{}, model.PowerOff
		}, "I11", "its OSDs are up"},
		{"too few places", func(in *planner.Input) {
			for i := range in.Observed.Ceph[0].OSDs {
				in.Observed.Ceph[0].OSDs[i].In = i < 3
			}
		}, "I2", "pool vms keeps 3 copies on different places of type host, and without these nodes OSDs are in service in 2: n00, n02"},
		{"too few racks", func(in *planner.Input) {
			in.Observed.Ceph[0].Pools[0].Domain = "rack"
			for i := range in.Observed.Ceph[0].OSDs {
				in.Observed.Ceph[0].OSDs[i].Location["rack"] = []string{"a", "b", "c", "c", "c", "c", "c", "c", "c", "c", "c", "c"}[i]
			}
		}, "I2", "in 2: a, c"},
		{"no room", func(in *planner.Input) {
			for i := range in.Observed.Ceph[0].OSDs {
				in.Observed.Ceph[0].OSDs[i].Used = 8 << 40 / 10
			}
		}, "I2", "below 85 % full"},
		{"one large place does not make up for small ones", func(in *planner.Input) {
			for i := range in.Observed.Ceph[0].OSDs {
				o := &in.Observed.Ceph[0].OSDs[i]
				if o.Location["host"] = "small"; i == 2 {
					o.Location["host"] = "middle"
				} else if i == 0 {
					o.Location["host"], o.Bytes = "large", 1<<50
				}
			}
		}, "I2", "fit in 3 copies"},
		{"nobody knows how full", func(in *planner.Input) { in.Observed.Ceph[0].OSDs[7].Bytes = 0 }, "I2", "is not known of 1"},
		{"placement groups are not known", func(in *planner.Input) { in.Observed.Ceph[0].Unsure = "no manager answers" }, "I2", "no manager answers"},
		{"the cluster does not answer", func(in *planner.Input) {
			in.Observed.Ceph[0] = model.ObservedCeph{Region: "s/r", Error: "timed out"}
		}, "I2", "timed out"},
		{"the cluster is in error", func(in *planner.Input) {
			in.Observed.Ceph[0].Health, in.Observed.Ceph[0].Checks = "HEALTH_ERR", []string{"OSD_FULL: 1 full"}
		}, "I2", "OSD_FULL"},
		{"data may not move", func(in *planner.Input) { in.Observed.Ceph[0].Flags = []string{"norebalance"} }, "I2", "ceph osd unset norebalance"},
		{"two monitors", func(in *planner.Input) { in.Observed.Ceph[0].Mons = in.Observed.Ceph[0].Mons[:3] }, "I1", "2 monitors would be left"},
		{"no majority", func(in *planner.Input) {
			in.Observed.Ceph[0].Mons[2].Up, in.Observed.Ceph[0].Mons[3].Up = false, false
		}, "I1", "1 in quorum"},
		{"no other manager", func(in *planner.Input) { in.Observed.Ceph[0].Mgrs = in.Observed.Ceph[0].Mgrs[1:2] }, "I5", "no other manager"},
		{"the only gateway", func(in *planner.Input) {
			in.Desired.Nodes[1].Roles = append(in.Desired.Nodes[1].Roles, model.RoleGateway)
		}, "I5", "gateway of s/r would have 0 members"},
		{"the name server", func(in *planner.Input) { in.Desired.Cloud.DNS = []string{"n01"} }, "I9", "name servers would have 0 members"},
		{"said to be lost, and alive", func(in *planner.Input) { in.Desired.Nodes[1].State = model.Lost }, "I11", "its host answers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := retiring()
			tc.do(&in)
			r := refusal(t, in)
			if !slices.ContainsFunc(r.Reasons, func(r planner.Reason) bool {
				return r.Invariant == tc.invariant && strings.Contains(r.Text+"; "+r.Remedy, tc.says) && r.Remedy != ""
			}) {
				t.Errorf("no reason is %s with %q: %+v", tc.invariant, tc.says, r.Reasons)
			}
		})
	}
}

// The other goals leave a node that leaves alone, and say what is to be done; once nothing of it is in service, only that its block is left.
func TestLeavingNodesInOtherPlans(t *testing.T) {
	in := retiring()
	in.Goal, in.Targets = plan.GoalInstall, []model.Path{in.Desired.Nodes[1].Path}
	p := mustMake(t, in)
	if !p.Empty() || len(p.Left) != 1 || p.Left[0].Remedy != "nuboctl decommission n01" || !strings.Contains(p.Left[0].Text, "has OSDs of it; its Ceph cluster has its mon and its mgr; it is not known to be switched off") {
		t.Errorf("%v, left %+v", kindsOf(p), p.Left)
	}
	in.Goal, in.Targets = plan.GoalUpgrade, nil
	for _, b := range mustMake(t, in).Certificate.Batches {
		if slices.Contains(b.Hosts, 1) || slices.Contains(b.Moves.To, 1) {
			t.Errorf("an upgrade changes it, or sends machines there: %+v", b)
		}
	}
	in = retiring()
	done := mustMake(t, in).Final()
	for _, goal := range []plan.Goal{plan.GoalInstall, plan.GoalDecommission} {
		in.Goal = goal
		p, err := planner.FromState(in, done)
		if err != nil {
			t.Fatal(err)
		}
		if !p.AsDesired() || !slices.Contains(p.Notes, "s/r/az1/rack-0/n01 is retired, and nothing of it is in service: take node n01 out of the inventory") {
			t.Errorf("%s: %v, left %v, notes %q", goal, kindsOf(p), p.Left, p.Notes)
		}
	}
}

// TestReplanOfADecommissionYieldsTheRest: wherever it stopped, the next plan is what was left of the first.
func TestReplanOfADecommissionYieldsTheRest(t *testing.T) {
	for _, in := range []planner.Input{retiring(), lost()} {
		p := mustMake(t, in)
		st := p.Initial.Clone()
		ops := p.Stages[0].Order()
		for i, o := range ops {
			again, err := planner.FromState(in, st)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Validate(again); err != nil {
				t.Fatal(err)
			}
			var rest []string
			for _, o := range ops[i:] {
				rest = append(rest, string(o.Kind))
			}
			if diff := cmp.Diff(rest, kindsOf(again)); diff != "" {
				t.Errorf("before %s (-rest +replanned):\n%s", o.ID, diff)
			}
			for _, f := range o.Post {
				st.Set(f)
			}
		}
	}
}

// Without any of the conditions that make it safe, a decommission is not accepted, whoever made it.
func TestDecommissionIsVerified(t *testing.T) {
	about := []plan.Attr{plan.AttrData, plan.AttrEmpty, plan.AttrMember, plan.AttrCordon, plan.AttrGuests}
	damaged := 0
	p := mustMake(t, retiring())
	for i, o := range p.Stages[0].Ops {
		for j, f := range o.Pre {
			if !slices.Contains(about, f.Attr) {
				continue
			}
			bad := p
			bad.Stages = []plan.Stage{p.Stages[0]}
			bad.Stages[0].Ops = slices.Clone(p.Stages[0].Ops)
			bad.Stages[0].Ops[i].Pre = slices.Delete(slices.Clone(o.Pre), j, j+1)
			plan.Seal(&bad)
			if err := verify.Plan(bad); err == nil || !strings.Contains(err.Error(), "does not expect "+string(f.Attr)) {
				t.Errorf("%s without %v: %v", o.ID, f, err)
			}
			damaged++
		}
	}
	if damaged < 9 {
		t.Errorf("only %d conditions are looked at", damaged)
	}
	for name, do := range map[string]func(*plan.Plan){
		"another goal": func(p *plan.Plan) { p.Goal = plan.GoalInstall },
		"a foreign op": func(p *plan.Plan) {
			o := &p.Stages[0].Ops[0]
			o.Kind, o.ID = plan.HostStart, plan.ID(plan.HostStart, o.Target)
		},
		"OSDs that are not lost": func(p *plan.Plan) {
			p.Goal, p.Stages[0].Ops = plan.GoalInstall, p.Stages[0].Ops[2:3]
			p.Stages[0].Ops[0].Args = map[string]string{"osds": "osd.1"}
		},
	} {
		bad := mustMake(t, retiring())
		do(&bad)
		if err := verify.Plan(bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Placeable agrees with laying copies down one after the other, each on the emptiest places.
func TestPlaceable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		domains := rapid.SliceOfN(rapid.Int64Range(0, 12), 0, 6).Draw(t, "domains")
		copies := rapid.IntRange(1, 4).Draw(t, "copies")
		left, laid := slices.Clone(domains), int64(0)
		for {
			slices.Sort(left)
			slices.Reverse(left)
			if len(left) < copies || left[copies-1] == 0 {
				break
			}
			for i := range copies {
				left[i]--
			}
			laid += int64(copies)
		}
		if got := planner.Placeable(domains, copies); got != laid {
			t.Fatalf("%d bytes in %d copies fit on %v, not %d", laid, copies, domains, got)
		}
	})
}

// A disk that is gone from a machine in service leaves its OSD behind: it is removed once all the rest is in service.
func TestLostOSDsAreRemovedLast(t *testing.T) {
	d := storageSite(3)
	sub := plan.NodeSubject(d.Nodes[1].Path)
	st := as(t, d, plan.Fact{Subject: sub, Attr: plan.AttrLost, Value: "osd.1"}, plan.Fact{Subject: sub, Attr: plan.AttrOSDs, Value: "disk osd-9 is no OSD"})
	p, err := planner.FromState(input(d), st)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Plan(p); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"ceph.osd", "ceph.purge"}, kindsOf(p)); diff != "" {
		t.Error(diff)
	}
	if o := p.Stages[0].Order()[1]; o.Args["osds"] != "osd.1" || !slices.Contains(o.Needs, plan.ID(plan.CephOSD, sub)) {
		t.Errorf("%+v", o)
	}
	if facts.OSDNames(nil) != "" {
		t.Error("no OSD has a name")
	}
}
