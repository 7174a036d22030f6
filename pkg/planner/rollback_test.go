package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// upgraded is a region whose hosts run the wanted image and hold the older one, both with the same QEMU and Ceph.
func upgraded(hosts int) planner.Input {
	in := rolled(hosts)
	in.Goal = plan.GoalRollback
	same := brings("1:7.2.0+dfsg-7", "16.2.15+ds-0")
	in.Packages = map[model.Digest]planner.Packages{older: same, imageDigest: same}
	for i := range in.Observed.Nodes {
		h := &in.Observed.Nodes[i].Host
		in.Desired.Nodes[i].Image.Digest = imageDigest
		h.Idle, h.Default = &model.ObservedSlot{Image: older, Config: h.Config, Proven: true}, &model.ObservedSlot{Image: imageDigest, Config: h.Config, Proven: true}
		h.Image = imageDigest
	}
	return in
}

func TestRollbackIsCertifiedAndWritesNothing(t *testing.T) {
	in := upgraded(6)
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != len(p.Certificate.Batches) {
		t.Errorf("%d stages for %d batches", len(p.Stages), len(p.Certificate.Batches))
	}
	final := p.Final()
	for _, n := range in.Desired.Nodes {
		sub, want := plan.NodeSubject(n.Path), string(facts.HostSpec(older, n.Config))
		for a, v := range map[plan.Attr]string{plan.AttrHost: want, plan.AttrDefault: want, plan.AttrCordon: ""} {
			if final.Get(sub, a) != v {
				t.Errorf("%s: %s is %q", n.Path, a, final.Get(sub, a))
			}
		}
	}
	var kinds []string
	for _, o := range p.Stages[0].Order() {
		kinds = append(kinds, string(o.Kind))
	}
	want := []string{"batch.certify", "host.cordon", "host.drain", "ceph.noout", "ceph.stop", "slot.boot", "ceph.start", "ceph.restore", "slot.commit", "host.uncordon", "batch.gate", "batch.bake"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestReplanARollbackYieldsTheRest(t *testing.T) { replanYieldsTheRest(t, upgraded(4)) }

// A rollback that was interrupted is planned again from what is there: hosts that are back are not turned once more.
func TestARollbackTurnsNoHostTwice(t *testing.T) {
	in := upgraded(6)
	for i := range in.Observed.Nodes[:4] {
		h := &in.Observed.Nodes[i].Host
		h.Image, h.Idle.Image, h.Default.Image = older, imageDigest, older
	}
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if len(p.Left) != 4 {
		t.Errorf("left: %+v", p.Left)
	}
	for i, h := range p.Certificate.Fleet.Hosts {
		if h.Change != (i >= 4) {
			t.Errorf("%s: %t", h.Path, h.Change)
		}
	}
}

// To an older QEMU only those hosts can go whose virtual machines find a place on others that stay or are the same: a single one can, all cannot.
func TestARollbackToAnOlderHypervisor(t *testing.T) {
	in := upgraded(6)
	in.Packages[imageDigest] = brings("1:10.0.2+ds-2", "16.2.15+ds-0")
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.QEMU = "10.0.2"
	}
	if r := refusal(t, in); !strings.Contains(r.Error(), "12 hosts go back to an older hypervisor") || !strings.Contains(r.Error(), "none of 2 hosts that could has") {
		t.Errorf("got %v", r)
	}
	delete(in.Packages, older) // not known is older than all
	for i := range in.Desired.Nodes {
		in.Desired.Nodes[i].Roles = []model.Role{model.RoleCompute}
	}
	if r := refusal(t, in); !strings.Contains(r.Error(), "12 hosts go back to an older hypervisor") || !strings.Contains(r.Error(), "none of 2 hosts that could has") {
		t.Errorf("got %v", r)
	}
	in.Targets = []model.Path{in.Desired.Nodes[1].Path}
	p := mustMake(t, in)
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	if len(p.Certificate.Batches) != 1 || len(p.Certificate.Batches[0].Moves.VM) != 5 {
		t.Errorf("batches: %+v", p.Certificate.Batches)
	}
}

func TestARollbackThatCannotBeIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(in *planner.Input)
		text   string
	}{
		"nothing in the idle slot": {func(in *planner.Input) { in.Observed.Nodes[3].Host.Idle = nil }, "nothing to go back to"},
		"never booted":             {func(in *planner.Input) { in.Observed.Nodes[3].Host.Idle.Proven = false }, "never proven"},
		"the same twice":           {func(in *planner.Input) { in.Observed.Nodes[3].Host.Idle.Image = imageDigest }, "hold the same"},
		"Ceph has moved on": {func(in *planner.Input) {
			in.Packages[imageDigest] = brings("1:7.2.0", "18.2.7+ds-1")
		}, "one-way"},
		"Ceph is not known": {func(in *planner.Input) { in.Packages = nil }, "image store"},
	} {
		t.Run(name, func(t *testing.T) {
			in := upgraded(6)
			c.change(&in)
			if r := refusal(t, in); r.Reasons[0].Invariant != "I12" || !strings.Contains(r.Error(), c.text) {
				t.Errorf("got %v", r)
			}
		})
	}
}
