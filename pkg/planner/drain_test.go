package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

func draining(targets ...model.Path) planner.Input {
	in := rolled(6)
	in.Goal, in.Targets = plan.GoalDrain, targets
	return in
}

func kindsIn(p plan.Plan) (out []string) {
	for _, s := range p.Stages {
		for _, o := range s.Order() {
			out = append(out, string(o.Kind))
		}
	}
	return out
}

func refusal(t *testing.T, in planner.Input) *planner.Refusal {
	t.Helper()
	_, err := planner.Make(in)
	var r *planner.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v", err)
	}
	return r
}

// A drain moves what runs on a host and leaves it cordoned; its OSDs, which are a third of the copies, go on and count for nothing.
func TestDrainIsCertified(t *testing.T) {
	in := draining(rolled(6).Desired.Nodes[1].Path)
	in.Desired.Rollout.MaxUnavailable = "1"
	in.Observed.Nodes[8].Host = model.ObservedHost{} // another host is lost: one that ails can be drained all the same
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"batch.certify", "host.cordon", "host.drain"}, kindsIn(p)); diff != "" {
		t.Error(diff)
	}
	b := p.Certificate.Batches[0]
	if len(b.Moves.VM) != 5 || b.Counts.PGsDown != 0 || b.Counts.QuorumSpare != -1 {
		t.Errorf("batch: %+v", b)
	}
	sub := plan.NodeSubject(in.Targets[0])
	if final := p.Final(); final.Get(sub, plan.AttrCordon) != plan.Drained || final.Get(sub, plan.AttrGuests) != plan.None {
		t.Errorf("final: %v", final[sub])
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "nuboctl undrain") }) {
		t.Errorf("notes: %q", p.Notes)
	}
}

// A place is drained at once: no virtual machine goes from one of its hosts to another.
func TestDrainOfARack(t *testing.T) {
	in := draining("s/r/az1/rack-0")
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	b := p.Certificate.Batches[0]
	if len(p.Certificate.Batches) != 1 || len(b.Hosts) != 3 || len(b.Moves.VM) != 15 {
		t.Fatalf("batches: %+v", p.Certificate.Batches)
	}
	for _, to := range b.Moves.To {
		if slices.Contains(b.Hosts, to) {
			t.Errorf("a virtual machine goes to %s", p.Certificate.Fleet.Hosts[to].Path)
		}
	}
}

// Nothing goes to a host that was drained before.
func TestADrainedHostTakesNothing(t *testing.T) {
	in := draining("s/r/az1/rack-0/n01")
	in.Observed.Nodes[0].Host.Cordoned, in.Observed.Nodes[0].Host.Drained = time.Unix(1e9, 0), true
	in.Observed.VMs = slices.DeleteFunc(in.Observed.VMs, func(v model.ObservedVM) bool { return v.Node == in.Observed.Nodes[0].Path })
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(p.Certificate.Batches[0].Moves.To, 0) {
		t.Error("a virtual machine goes to n00")
	}
	in.Targets = []model.Path{"s/r/az1/rack-0/n00"}
	if p := mustMake(t, in); !p.Empty() || !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "n00 is drained already") }) {
		t.Errorf("%v, %q", kindsIn(p), p.Notes)
	}
	in.Observed.Nodes[0].Host.Drained = false // the cordon is of a rollout that was broken off, and ends earlier
	p = mustMake(t, in)
	if err := verify.Plan(p); err != nil || p.Empty() {
		t.Errorf("%v: %v", kindsIn(p), err)
	}
}

func TestADrainThatCannotBeIsRefused(t *testing.T) {
	node := rolled(6).Desired.Nodes[1].Path
	for name, c := range map[string]struct {
		change          func(in *planner.Input)
		invariant, text string
	}{
		"no room": {func(in *planner.Input) {
			for i := range in.Observed.VMs {
				in.Observed.VMs[i].MemoryMiB = 22 << 10
			}
		}, "I3", "has to leave"},
		"it does not answer": {func(in *planner.Input) { in.Observed.Nodes[1].Host = model.ObservedHost{} }, "I11", "does not answer"},
		"a machine that cannot move": {func(in *planner.Input) {
			i := slices.IndexFunc(in.Observed.VMs, func(v model.ObservedVM) bool { return v.Node == node })
			in.Observed.VMs[i].Fixed = "a passed-through device"
		}, "I8", "vm-01-0"},
		"nothing runs there": {func(in *planner.Input) { in.Desired.Nodes[1].Roles = []model.Role{model.RoleCephOSD} }, "I3", "nothing to drain"},
		"everything":         {func(in *planner.Input) { in.Targets = nil }, "I3", "name what to drain"},
	} {
		t.Run(name, func(t *testing.T) {
			in := draining(node)
			c.change(&in)
			if r := refusal(t, in); r.Reasons[0].Invariant != c.invariant || !strings.Contains(r.Error(), c.text) {
				t.Errorf("got %v", r)
			}
		})
	}
}

// A region whose storage is ill already can be drained, and claims nothing of it.
func TestADrainBesideIllStorage(t *testing.T) {
	in := draining("s/r/az1/rack-0/n01")
	acting := in.Observed.Ceph[0].Pools[0].Acting
	acting[0], acting[1] = -1, -1
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if b := p.Certificate.Batches[0]; b.Grade != "" || p.Certificate.Grade != "" || len(b.Short) == 0 {
		t.Errorf("grade %q: %q", b.Grade, b.Short)
	}
	p.Certificate.Batches[0].Grade = "A"
	if err := verify.Plan(p); err == nil || !strings.Contains(err.Error(), "I2") {
		t.Errorf("grade A claimed: %v", err)
	}
}

func TestReplanADrainYieldsTheRest(t *testing.T) {
	replanYieldsTheRest(t, draining("s/r/az1/rack-0", "s/r/az2/rack-1"))
}

// What a drain and what an interrupted rollout have left is taken back, in the order in which a rollout does it.
func TestUndrain(t *testing.T) {
	in := draining()
	in.Goal, in.Targets = plan.GoalUndrain, []model.Path{"s/r/az1"}
	in.Observed.Nodes[2].Host = model.ObservedHost{}
	st := facts.Project(in.Desired, in.Observed)
	set := func(i int, a plan.Attr, v string) {
		st.Set(plan.Fact{Subject: plan.NodeSubject(in.Desired.Nodes[i].Path), Attr: a, Value: v})
	}
	set(0, plan.AttrCordon, plan.Set)
	set(0, plan.AttrGuests, plan.None)
	set(1, plan.AttrCordon, plan.Set)
	set(1, plan.AttrCeph, plan.Stopped)
	set(1, plan.AttrNoout, plan.Set)
	set(1, plan.AttrOrder, "another host") // armed and not begun
	set(3, plan.AttrOrder, "its host")
	set(3, plan.AttrInstall, facts.PhaseInstalled)
	set(8, plan.AttrCordon, plan.Set) // of another zone
	p, err := planner.FromState(in, st)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"host.uncordon", "ceph.start", "ceph.restore", "order.recall", "host.uncordon"}, kindsIn(p)); diff != "" {
		t.Error(diff)
	}
	if len(p.Left) != 1 || p.Left[0].Node != in.Desired.Nodes[2].Path {
		t.Errorf("left: %+v", p.Left)
	}
	if again, err := planner.FromState(in, p.Final()); err != nil || !again.Empty() {
		t.Errorf("%v, %v", kindsIn(again), err)
	}
	p.Stages[0].Ops[0].Kind = plan.HostDrain
	if err := verify.Plan(p); !errors.Is(err, verify.ErrNoCertificate) {
		t.Errorf("an undrain that drains: %v", err)
	}
}

func TestARefusalNamesWhatIsCordoned(t *testing.T) {
	in := draining("s/r/az1/rack-0/n01")
	for _, i := range []int{0, 2, 3, 4, 5} {
		in.Observed.Nodes[i].Host.Cordoned = time.Unix(1e9, 0)
	}
	if r := refusal(t, in); !strings.Contains(r.Error(), "n00, n02, n03, n04, n05") || !strings.Contains(r.Error(), "nuboctl undrain") {
		t.Errorf("got %v", r)
	}
}
