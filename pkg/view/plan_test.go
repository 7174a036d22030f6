package view_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// asDesired makes the observation one of a site that needs nothing.
func asDesired(d *model.Desired, o *model.Observed) {
	for i, n := range d.Nodes {
		o.Nodes = append(o.Nodes, model.ObservedNode{Path: n.Path, BMC: model.ObservedBMC{Reachable: true, Serial: n.Serial, Power: model.PowerOn},
			Host: model.ObservedHost{Reachable: true, Image: n.Image.Digest, Config: n.Config, Libvirt: "11.3.0", OVS: facts.Bridges(*d, n)}})
		vm := d.VMs[i]
		o.VMs = append(o.VMs, model.ObservedVM{Name: vm.Name, Node: vm.Node, State: "running", Spec: facts.VMSpec(vm, vm.Image.Digest)})
	}
}

func TestPlanText(t *testing.T) {
	for _, tc := range []struct {
		name  string
		nodes int
		goal  plan.Goal
		edit  func(*model.Desired, *model.Observed)
	}{
		{"create", 1, plan.GoalInstall, nil},
		{"no-changes", 2, plan.GoalInstall, asDesired},
		{"update", 2, plan.GoalInstall, func(d *model.Desired, o *model.Observed) {
			asDesired(d, o)
			o.Nodes[0].Host.OVS = nil
			d.VMs[1].MemoryMiB = 256
		}},
		{"left", 2, plan.GoalInstall, func(d *model.Desired, o *model.Observed) {
			asDesired(d, o)
			o.Nodes[0].Host.Config = model.DigestBytes([]byte("older"))
		}},
		{"many-left", 13, plan.GoalInstall, func(d *model.Desired, o *model.Observed) {
			asDesired(d, o)
			for i := range o.Nodes[1:] {
				o.Nodes[i].Host.Config = model.DigestBytes([]byte("older"))
			}
			o.Nodes[12].Host.OVS = nil
		}},
		{"replace", 2, plan.GoalReinstall, func(d *model.Desired, o *model.Observed) { // of what is off: nothing runs there
			asDesired(d, o)
			o.VMs = nil
			for i, n := range d.Nodes {
				o.Nodes[i].Host, o.Nodes[i].BMC.Power = model.ObservedHost{}, model.PowerOff
				o.Nodes[i].Order = model.ObservedOrder{Spec: facts.HostSpec(n.Image.Digest, n.Config), Phase: facts.PhaseInstalled}
			}
		}},
		{"reinstall", 2, plan.GoalReinstall, func(d *model.Desired, o *model.Observed) {
			asDesired(d, o)
			for i := range o.VMs {
				o.VMs[i].Machine = "pc-q35-7.2"
				o.Nodes[i].Host.QEMU = "10.0.2"
			}
		}},
		{"notes", 1, plan.GoalInstall, func(d *model.Desired, _ *model.Observed) { d.Nodes[0].Image.Name = "debian-14" }},
		{"many", 21, plan.GoalInstall, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := makePlan(t, tc.nodes, tc.goal, tc.edit)
			golden(t, "plan-"+tc.name, plainToo(t, func(b *bytes.Buffer, s view.Style) error { return view.PlanText(b, s, p, view.PlanOptions{}) }))
		})
	}
}

func TestPlanJSON(t *testing.T) {
	for _, p := range []plan.Plan{makePlan(t, 1, plan.GoalInstall, nil), makePlan(t, 1, plan.GoalInstall, asDesired)} {
		var b bytes.Buffer
		if err := view.PlanJSON(&b, p); err != nil {
			t.Fatal(err)
		}
		var got struct {
			FormatVersion int                  `json:"format_version"`
			Digest        model.Digest         `json:"digest"`
			Summary       view.Summary         `json:"summary"`
			Changes       []view.SubjectChange `json:"changes"`
			Plan          plan.Plan            `json:"plan"`
		}
		d := json.NewDecoder(&b)
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.FormatVersion != 1 || got.Digest != p.Digest() || got.Plan.Digest() != p.Digest() || got.Changes == nil || got.Summary.Ops != p.Ops() {
			t.Errorf("got %+v", got)
		}
	}
}

func TestSummarize(t *testing.T) {
	got := view.Summarize(makePlan(t, 2, plan.GoalInstall, func(d *model.Desired, o *model.Observed) {
		asDesired(d, o)
		o.Nodes, o.VMs[0].Spec = o.Nodes[:1], model.DigestBytes(nil)
		o.VMs = o.VMs[:1]
	}))
	want := view.Summary{Create: 2, Update: 1, Stages: 1, Ops: 11, OneWay: 2}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
