package plan_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const node = plan.Subject("node:lab/r1/az1/a/blade-01")

func fact(a plan.Attr, v string) plan.Fact { return plan.Fact{Attr: a, Subject: node, Value: v} }

// good is a plan with every field set, of two stages, in which every need matters.
func good() plan.Plan {
	op := func(k plan.Kind, s plan.Subject, needs []plan.OpID, pre, post []plan.Fact) plan.Op {
		return plan.Op{ID: plan.ID(k, s), Kind: k, Target: s, Needs: needs, Pre: pre, Post: post, Uses: []string{"rack:lab/r1/az1/a"}}
	}
	type facts = []plan.Fact
	vm := plan.VMSubject("vm-1")
	off := op(plan.PowerOff, node, nil, facts{fact(plan.AttrPower, "on")}, facts{fact(plan.AttrPower, "off")})
	boot := op(plan.BootNetwork, node, []plan.OpID{off.ID}, facts{fact(plan.AttrPower, "off")}, facts{fact(plan.AttrBoot, "network")})
	on := op(plan.PowerOn, node, []plan.OpID{boot.ID}, facts{fact(plan.AttrBoot, "network")},
		facts{fact(plan.AttrPower, "on"), fact(plan.AttrBoot, ""), fact(plan.AttrInstall, "started")})
	wait := op(plan.InstallWait, node, []plan.OpID{on.ID}, facts{fact(plan.AttrInstall, "started")}, facts{fact(plan.AttrInstall, "installed"), fact(plan.AttrKVM, "ready")})
	run := op(plan.VMEnsure, vm, nil, facts{fact(plan.AttrKVM, "ready")}, facts{{Attr: plan.AttrRuns, Subject: vm, Value: "lab/r1/az1/a/blade-01"}})
	run.Args = map[string]string{"image": string(model.DigestBytes([]byte("guest"))), "node": "lab/r1/az1/a/blade-01", "note": "<&> é"}
	p := plan.Plan{
		FormatVersion: plan.FormatVersion, Goal: plan.GoalInstall, Notes: []string{"read this first"}, Targets: []model.Path{"lab/r1"},
		Initial: plan.State{node: {plan.AttrPower: "on", plan.AttrMachine: "S1"}},
		Provenance: plan.Provenance{Inventory: model.DigestBytes([]byte("i")), Observation: model.DigestBytes([]byte("o")), Policy: model.DigestBytes([]byte("p")),
			Images: map[string]model.Digest{"guest": model.DigestBytes([]byte("guest")), "debian-13": model.DigestBytes([]byte("debian-13"))}},
		Stages: []plan.Stage{
			{Title: "hosts", Invariants: []string{"nothing runs on it"}, Ops: []plan.Op{off, boot, on, wait}},
			{Title: "machines", Ops: []plan.Op{run}},
		},
	}
	plan.Seal(&p)
	return p
}
