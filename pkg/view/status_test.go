package view_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

func TestStatusText(t *testing.T) {
	const node = plan.Subject("node:lab/r1/az1/a/blade-01")
	holder := &state.Holder{User: "ann", Host: "desk", PID: 42, Command: "nuboctl apply", Since: t0}
	run := &engine.Progress{Run: "r1", Started: t0, Updated: t0.Add(90 * time.Second), Stage: 1, Stages: 2, Title: "hosts", Ops: 12, Waiting: 3,
		Counts: map[engine.Status]int{engine.OpDone: 4, engine.OpHeld: 1, engine.OpFailed: 1},
		Running: []engine.RunningOp{{Op: plan.ID(plan.InstallWait, node), Kind: plan.InstallWait, Target: node, Started: t0.Add(time.Minute),
			Progress: plan.Progress{Text: "image", Done: 300 << 20, Total: 400 << 20}}}}
	intent := state.Record{Kind: state.KindIntent, OpID: plan.ID(plan.PowerOn, node), Time: t0.Add(time.Minute)}
	stopped := state.RunState{ID: "r1", Plan: model.DigestBytes(nil), By: "ann", Started: t0, Ops: map[plan.OpID]state.OpState{
		plan.ID(plan.PowerOff, node): {Last: state.KindDone}, plan.ID(plan.PowerOn, node): {Last: state.KindIntent, Intent: &intent}}}
	for name, in := range map[string]view.StatusInput{
		"idle":        {},
		"running":     {Running: true, Holder: holder, Run: run},
		"paused":      {Running: true, Holder: holder, Run: run, Paused: true},
		"silent":      {Running: true, Holder: holder},
		"interrupted": {Interrupted: []state.RunState{stopped}},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "status-"+name, plainToo(t, func(b *bytes.Buffer, s view.Style) error { return view.StatusText(b, s, in) }))
		})
	}
	if run.Paused {
		t.Error("showing has changed what is shown")
	}
}

func journal() []state.Record {
	node := plan.Subject("node:lab/r1/az1/a/blade-01")
	rec := func(seq int64, k state.Kind, op plan.OpID) state.Record {
		return state.Record{FormatVersion: 1, Seq: seq, Time: t0.Add(time.Duration(seq) * time.Second), Epoch: 3, Kind: k, Run: "r1", OpID: op}
	}
	approved := rec(1, state.KindApproved, "")
	approved.By = "ann"
	failed := rec(4, state.KindFailed, plan.ID(plan.PowerOn, node))
	failed.Error = "it did not boot\nand more"
	settled := rec(5, state.KindReset, plan.ID(plan.PowerOn, node))
	settled.By, settled.Text = "bob", "settled by hand"
	return []state.Record{approved, rec(2, state.KindIntent, plan.ID(plan.PowerOff, node)), rec(3, state.KindDone, plan.ID(plan.PowerOff, node)), failed, settled, rec(6, state.KindUnknown, "vm.ensure vm:vm-1")}
}

func TestJournalText(t *testing.T) {
	for name, asJSON := range map[string]bool{"text": false, "json": true} {
		golden(t, "journal-"+name, plainToo(t, func(b *bytes.Buffer, s view.Style) error {
			return view.JournalText(b, s, journal(), map[int64]bool{4: true}, asJSON)
		}))
	}
}

func TestAbout(t *testing.T) {
	for _, tc := range []struct {
		target string
		want   []int64
	}{
		{"blade-01", []int64{2, 3, 4, 5}}, {"lab/r1/az1/a/blade-01", []int64{2, 3, 4, 5}}, {"lab/r1", []int64{2, 3, 4, 5}}, {"node:lab/r1/az1/a/blade-01", []int64{2, 3, 4, 5}},
		{"vm-1", []int64{6}}, {"vm:vm-1", []int64{6}}, {"r1", []int64{1, 2, 3, 4, 5, 6}}, {"power.on node:lab/r1/az1/a/blade-01", []int64{4, 5}},
		{"blade", nil}, {"lab/r", nil}, {"", nil},
	} {
		var got []int64
		for _, r := range journal() {
			if view.About(r, tc.target) {
				got = append(got, r.Seq)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("about %q: %v, want %v", tc.target, got, tc.want)
		}
	}
}

func TestObservedText(t *testing.T) {
	o := model.Observed{
		Nodes: []model.ObservedNode{
			{Path: "lab/r1/az1/a/blade-01", BMC: model.ObservedBMC{Reachable: true, Power: model.PowerOn}, Order: model.ObservedOrder{Phase: "installed"},
				Host: model.ObservedHost{Reachable: true, Release: "trixie", Kernel: "6.12", Slot: "a", Libvirt: "11.3.0", OVSVersion: "3.5.0",
					Cordoned: time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)}},
			{Path: "lab/r1/az1/a/blade-02", BMC: model.ObservedBMC{Error: "timeout\nmore"}},
		},
		VMs: []model.ObservedVM{{Name: "vm-1", State: "running", Node: "lab/r1/az1/a/blade-01"}},
	}
	golden(t, "observed", plainToo(t, func(b *bytes.Buffer, s view.Style) error { return view.ObservedText(b, s, o) }))
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 0: "0ms", 850 * time.Millisecond: "850ms", time.Second: "1s", 59900 * time.Millisecond: "59s", time.Minute: "1m00s", 185 * time.Second: "3m05s",
		time.Hour - time.Second: "59m59s", time.Hour: "1h00m", 127 * time.Minute: "2h07m", 30 * time.Hour: "30h00m",
	} {
		if got := view.Duration(d); got != want {
			t.Errorf("%v: %s, want %s", int64(d), got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 300 << 20: "300.0 MiB", 12 << 30: "12.0 GiB", 1 << 40: "1.0 TiB", 1 << 62: "4096.0 PiB"} {
		if got := view.Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestCounter(t *testing.T) {
	var b bytes.Buffer
	c := view.NewCounter(&b, view.Style{Width: 20}, "observe", true)
	c.Step(1, 10, "a-very-long-name-of-a-blade")
	c.Done()
	golden(t, "counter", b.Bytes())
	b.Reset()
	c = view.NewCounter(&b, view.Style{}, "observe", false)
	c.Step(1, 10, "x")
	if c.Done(); b.Len() > 0 {
		t.Errorf("a counter that must be silent says %q", strings.TrimSpace(b.String()))
	}
}
