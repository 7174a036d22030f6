package planner_test

import (
	"errors"
	"fmt"
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

var older = model.DigestBytes([]byte("older image"))

// rolled is a region of two zones whose hosts run an older image, with virtual machines, monitors and OSDs on all of them.
func rolled(hosts int) planner.Input {
	in := planner.Input{Goal: plan.GoalUpgrade, Inventory: model.DigestBytes(nil), Images: map[string]model.Digest{"debian-13": imageDigest}}
	d := &in.Desired
	d.Regions = []model.Region{{Path: "s/r", Ceph: &model.Ceph{FailureDomain: plan.LevelHost}}}
	d.Profiles = []model.Profile{{Name: "p", CPUModel: "Skylake-Server", CPUOvercommit: 2, OSDs: 1}}
	d.Rollout = model.Rollout{MaxUnavailable: "1 rack per zone", Survive: "A+C", Bake: "5m", Canary: 1}
	ceph := model.ObservedCeph{Region: "s/r", Health: "HEALTH_OK"}
	for i := range 2 * hosts {
		name := fmt.Sprintf("n%02d", i)
		n := model.Node{Path: model.Path(fmt.Sprintf("s/r/az%d/rack-%d/%s", i/hosts+1, i%hosts/3, name)), Name: name, Profile: "p", Cores: 16, MemoryGiB: 128,
			Roles: []model.Role{model.RoleCompute, model.RoleCephOSD}, Image: model.ImageRef{Name: "debian-13"}, Config: model.DigestBytes([]byte(name))}
		d.Nodes = append(d.Nodes, n)
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: n.Path,
			Host: model.ObservedHost{Reachable: true, Image: older, Config: n.Config, Libvirt: "9.0.0", QEMU: "7.2.0"}})
		for j := range 5 {
			in.Observed.VMs = append(in.Observed.VMs, model.ObservedVM{Name: fmt.Sprintf("vm-%02d-%d", i, j), Node: n.Path, State: "running", VCPUs: 2,
				MemoryMiB: 8 << 10, CPUModel: "Skylake-Server", Machine: "pc-q35-7.2", Flavor: "m"})
		}
		ceph.OSDs = append(ceph.OSDs, model.ObservedOSD{ID: i, Node: n.Path, Up: true, In: true})
		if i%hosts == 0 || i == 1 {
			ceph.Mons = append(ceph.Mons, model.ObservedDaemon{Name: name, Node: n.Path, Up: true})
			ceph.Mgrs = append(ceph.Mgrs, model.ObservedDaemon{Name: name, Node: n.Path, Up: true, Active: i == 0})
		}
	}
	pool := model.ObservedPool{Name: "vms", Size: 3, MinSize: 2, PGs: 4 * hosts}
	for i := range pool.PGs {
		for j := range 3 {
			pool.Acting = append(pool.Acting, int32((i+j*hosts/2)%(2*hosts)))
		}
	}
	ceph.Pools = []model.ObservedPool{pool}
	in.Observed.Ceph = []model.ObservedCeph{ceph}
	return in
}

// Whoever reads a plan is told which hosts take no virtual machines, and none is sent to one.
func TestUpgradeAroundACordonedHost(t *testing.T) {
	in := rolled(6)
	spare := &in.Observed.Nodes[5].Host
	spare.Image, spare.Cordoned = imageDigest, time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	p := mustMake(t, in)
	want := string(in.Desired.Nodes[5].Path) + " is cordoned until 2026-11-22T18:00:00Z: no virtual machine may start there or come there"
	if !slices.Contains(p.Notes, want) {
		t.Errorf("notes: %q", p.Notes)
	}
	for i, batch := range p.Certificate.Batches {
		if slices.Contains(batch.Moves.To, 5) || slices.Contains(batch.Hosts, 5) {
			t.Errorf("batch %d sends machines to a cordoned host, or takes it out: %+v", i, batch)
		}
	}
}

// What an operator has drained is changed with the others, and stays drained: it is not for a rollout to give it back.
func TestADrainedHostStaysDrained(t *testing.T) {
	for _, method := range []string{facts.MethodSlot, facts.MethodReinstall} {
		for _, stray := range []bool{false, true} {
			in := rolled(6)
			in.Desired.Rollout.Method = method
			host := &in.Observed.Nodes[5]
			host.Host.Cordoned, host.Host.Drained = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC), true
			in.Observed.VMs = slices.DeleteFunc(in.Observed.VMs, func(vm model.ObservedVM) bool {
				return vm.Node == host.Path && (!stray || !strings.HasSuffix(vm.Name, "-0"))
			})
			p := mustMake(t, in)
			if err := verify.Plan(p); err != nil {
				t.Fatalf("%s, stray %v: %v", method, stray, err)
			}
			sub := plan.NodeSubject(host.Path)
			if got := p.Final().Get(sub, plan.AttrCordon); got != plan.Drained || p.Final().Get(sub, plan.AttrHost) != string(facts.HostSpec(imageDigest, in.Desired.Nodes[5].Config)) {
				t.Errorf("%s, stray %v: afterwards its cordon is %q", method, stray, got)
			}
			for _, s := range p.Stages {
				for _, o := range s.Ops {
					drains := o.Kind == plan.HostDrain && !stray
					if o.Target == sub && (o.Kind == plan.HostCordon || o.Kind == plan.HostUncordon || drains) {
						t.Errorf("%s, stray %v: the plan has %s", method, stray, o.ID)
					}
				}
			}
		}
	}
}

func TestUpgradeIsCertified(t *testing.T) {
	in := rolled(6)
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if p.Certificate == nil || len(p.Stages) != 1+len(p.Certificate.Batches) || len(p.Certificate.Batches[0].Hosts) != 1 {
		t.Fatalf("stages: %d", len(p.Stages))
	}
	if p.Certificate.Grade != "A+C" {
		t.Errorf("grade %s", p.Certificate.Grade)
	}
	final := p.Final()
	for _, n := range in.Desired.Nodes {
		sub, want := plan.NodeSubject(n.Path), string(facts.HostSpec(imageDigest, n.Config))
		for a, v := range map[plan.Attr]string{plan.AttrHost: want, plan.AttrDefault: want, plan.AttrCordon: "", plan.AttrNoout: "", plan.AttrGuests: ""} {
			if final.Get(sub, a) != v {
				t.Errorf("%s: %s is %q", n.Path, a, final.Get(sub, a))
			}
		}
	}
	kinds := []string{}
	for _, o := range p.Stages[1].Order() {
		kinds = append(kinds, string(o.Kind))
	}
	want := []string{"batch.certify", "host.cordon", "host.drain", "ceph.noout", "ceph.stop", "slot.boot", "ceph.start", "ceph.restore", "slot.commit", "host.uncordon", "batch.gate", "batch.bake"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestAFleetAsDesiredHasNoUpgrade(t *testing.T) {
	in := rolled(4)
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.Image = imageDigest
	}
	if p := mustMake(t, in); !p.AsDesired() || p.Certificate != nil {
		t.Errorf("%d stages", len(p.Stages))
	}
}

func TestAHostThatDoesNotAnswerIsLeftOutAndCounted(t *testing.T) {
	in := rolled(6)
	in.Observed.Nodes[8].Host = model.ObservedHost{}
	in.Observed.Ceph[0].OSDs[8].Up = false
	acting := in.Observed.Ceph[0].Pools[0].Acting // Ceph has recovered
	for i := range acting {
		for acting[i] == 8 || slices.Contains(acting[i/3*3:i], acting[i]) {
			acting[i] = (acting[i] + 1) % 12
		}
	}
	in.Desired.Rollout.MaxUnavailable = "2 racks per zone"
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if len(p.Left) != 1 || p.Left[0].Node != in.Desired.Nodes[8].Path {
		t.Errorf("left: %+v", p.Left)
	}
	for _, b := range p.Certificate.Batches {
		if slices.Contains(b.Hosts, 8) {
			t.Error("it is in a batch")
		}
	}
}

func TestARefusalSaysWhatWouldHelp(t *testing.T) {
	in := rolled(6)
	for i := range in.Observed.VMs {
		in.Observed.VMs[i].MemoryMiB = 22 << 10
	}
	_, err := planner.Make(in)
	var r *planner.Refusal
	if !errors.As(err, &r) || r.Reasons[0].Invariant != "I3" || !strings.Contains(err.Error(), "more hosts like") {
		t.Errorf("got %v", err)
	}
}

// Replanning an upgrade from any stage's Before, and after any ops of a stage that could have been done, yields the rest of the same plan. A batch that is
// over is history: those that are left are counted from 0 again.
func TestReplanAnUpgradeYieldsTheRest(t *testing.T) { replanYieldsTheRest(t, rolled(4)) }

func replanYieldsTheRest(t *testing.T, in planner.Input) {
	t.Helper()
	p := mustMake(t, in)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(p.Stages)).Draw(t, "stage")
		st, done := p.StateBefore(at), map[plan.OpID]bool{}
		for _, s := range p.Stages[:at] {
			for _, o := range s.Ops {
				done[o.ID] = true
			}
		}
		if at < len(p.Stages) && rapid.Bool().Draw(t, "partly") {
			for _, o := range p.Stages[at].Order() {
				ready := !slices.ContainsFunc(o.Needs, func(n plan.OpID) bool { return !done[n] })
				if ready && rapid.IntRange(0, 4).Draw(t, "do "+string(o.ID)) > 0 {
					done[o.ID] = true
					for _, f := range o.Post {
						st.Set(f)
					}
				}
			}
		}
		again, err := planner.FromState(in, st)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Validate(again); err != nil {
			t.Fatal(err)
		}
		over := 0
		if again.Certificate != nil {
			over = len(p.Certificate.Batches) - len(again.Certificate.Batches)
		}
		if diff := cmp.Diff(called(remaining(p, done), over), called(remaining(again, nil), 0)); diff != "" {
			t.Fatalf("replanning differs from the rest (-rest +replanned):\n%s", diff)
		}
		if complete := at < len(p.Stages) && st.Digest() == p.Stages[at].Before && at != 0; complete && !again.Empty() {
			if err := verify.Plan(again); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// called lists ops with batches numbered as if the first ones had not been.
func called(ops []plan.Op, over int) []string {
	var out []string
	for _, o := range ops {
		text := fmt.Sprint(o.ID, o.Needs, o.Pre, o.Post, o.Args)
		for i := 99; i >= over; i-- { // "batch:1" is the beginning of "batch:12"
			text = strings.ReplaceAll(text, string(plan.BatchSubject(i)), fmt.Sprintf("batch~%d", i-over))
		}
		out = append(out, text)
	}
	return out
}
