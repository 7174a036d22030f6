package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func TestValidateTakesTheGoodPlan(t *testing.T) {
	if err := plan.Validate(good()); err != nil {
		t.Fatal(err)
	}
}

// TestValidateRefuses edits the good plan in every way that matters.
func TestValidateRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		want  string
		edit  func(p *plan.Plan)
		again bool // sealed again after the edit, so that only the edit itself can be found
	}{
		{"another version", "format_version", func(p *plan.Plan) { p.FormatVersion = 1 }, true},
		{"an op dropped from a chain", "not in this stage", func(p *plan.Plan) { drop(p, 1) }, true},
		{"the last op dropped", "after is", func(p *plan.Plan) { drop(p, 3) }, false},
		{"the last op dropped, sealed", "expects kvm", func(p *plan.Plan) { drop(p, 3) }, true},
		{"needs swapped", "expects", func(p *plan.Plan) {
			ops := p.Stages[0].Ops
			ops[1].Needs, ops[2].Needs = []plan.OpID{ops[2].ID}, []plan.OpID{ops[0].ID}
		}, true},
		{"needs dropped", "may run at once", func(p *plan.Plan) { p.Stages[0].Ops[1].Needs = nil }, true},
		{"need of an op of another stage", "not in this stage", func(p *plan.Plan) { p.Stages[1].Ops[0].Needs = []plan.OpID{p.Stages[0].Ops[3].ID} }, true},
		{"a circle", "in a circle", func(p *plan.Plan) { p.Stages[0].Ops[0].Needs = []plan.OpID{p.Stages[0].Ops[3].ID} }, true},
		{"an op that needs itself", "in a circle", func(p *plan.Plan) { p.Stages[1].Ops[0].Needs = []plan.OpID{p.Stages[1].Ops[0].ID} }, true},
		{"a precondition edited", "expects power", func(p *plan.Plan) { p.Stages[0].Ops[1].Pre[0].Value = "on" }, true},
		{"a postcondition edited", "after is", func(p *plan.Plan) { p.Stages[1].Ops[0].Post[0].Value = "elsewhere" }, false},
		{"a postcondition that the next needs edited", "expects install", func(p *plan.Plan) { p.Stages[0].Ops[2].Post[2].Value = "skipped" }, true},
		{"no postcondition", "changes nothing", func(p *plan.Plan) { p.Stages[1].Ops[0].Post = nil }, true},
		{"before edited", "before is", func(p *plan.Plan) { p.Stages[1].Before = p.Stages[0].Before }, false},
		{"after edited", "after is", func(p *plan.Plan) { p.Stages[1].After = p.Stages[0].After }, false},
		{"stages swapped", "before is", func(p *plan.Plan) { slices.Reverse(p.Stages) }, false},
		{"initial state edited", "before is", func(p *plan.Plan) { p.Initial.Set(fact(plan.AttrMachine, "S2")) }, false},
		{"an empty value in the initial state", "empty", func(p *plan.Plan) { p.Initial[node][plan.AttrBoot] = "" }, true},
		{"a subject without facts in the initial state", "tells nothing", func(p *plan.Plan) { p.Initial["node:x"] = map[plan.Attr]string{} }, true},
		{"an id twice", "occurs twice", func(p *plan.Plan) { p.Stages[1].Ops = append(p.Stages[1].Ops, p.Stages[1].Ops[0]) }, true},
		{"an op again in a later stage", "occurs twice", func(p *plan.Plan) { p.Stages = append(p.Stages, p.Stages[1]) }, true},
		{"an unknown kind", "no known kind", func(p *plan.Plan) { o := &p.Stages[1].Ops[0]; o.Kind, o.ID = "vm.dance", "vm.dance vm:vm-1" }, true},
		{"an id that is not its own", "should be called", func(p *plan.Plan) { p.Stages[1].Ops[0].ID = "vm.ensure vm:vm-2" }, true},
		{"a stage without ops", "no ops", func(p *plan.Plan) { p.Stages = append(p.Stages, plan.Stage{Title: "nothing"}) }, true},
		{"a race of two writers", "may run at once", func(p *plan.Plan) { race(p, []plan.Fact{fact(plan.AttrPower, "off")}, nil) }, true},
		{"a race of reader and writer", "may run at once", func(p *plan.Plan) { race(p, nil, []plan.Fact{fact(plan.AttrPower, "on")}) }, true},
		{"a reader that may be too early", "expects install", func(p *plan.Plan) { race(p, nil, []plan.Fact{fact(plan.AttrInstall, "installed")}) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := good()
			tc.edit(&p)
			if tc.again {
				plan.Seal(&p)
			}
			err := plan.Validate(p)
			if !errors.Is(err, plan.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want an error with %q, got %v", tc.want, err)
			}
		})
	}
}

func drop(p *plan.Plan, i int) { p.Stages[0].Ops = slices.Delete(p.Stages[0].Ops, i, i+1) }

// race puts an op beside the chain of stage 1 that nothing orders.
func race(p *plan.Plan, post, pre []plan.Fact) {
	vm := plan.VMSubject("other")
	post = append(post, plan.Fact{Attr: plan.AttrRuns, Subject: vm, Value: "x"})
	p.Stages[0].Ops = append(p.Stages[0].Ops, plan.Op{ID: plan.ID(plan.VMEnsure, vm), Kind: plan.VMEnsure, Target: vm, Pre: pre, Post: post})
}

// What two ops that may run at once agree on is no race.
func TestValidateAllowsAgreement(t *testing.T) {
	p := good()
	race(&p, nil, []plan.Fact{fact(plan.AttrMachine, "S1")})
	plan.Seal(&p)
	if err := plan.Validate(p); err != nil {
		t.Error(err)
	}
}

// Every mistake is told, not the first alone.
func TestValidateTellsAll(t *testing.T) {
	p := good()
	p.Stages[0].Ops[0].Kind, p.Stages[1].Ops[0].Post, p.Stages[1].After = "x", nil, ""
	err := plan.Validate(p)
	for _, want := range []string{"no known kind", "changes nothing", "after is"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
}

// Every order of a stage that its needs allow leads to the same state and meets every precondition: what Validate promises.
func TestAnyOrderWillDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomPlan(t)
		for i, s := range p.Stages {
			st := p.StateBefore(i)
			if st.Digest() != s.Before {
				t.Fatalf("stage %d does not begin where the one before it ends", i)
			}
			done := map[plan.OpID]bool{}
			for rest := slices.Clone(s.Ops); len(rest) > 0; {
				may := slices.DeleteFunc(slices.Clone(rest), func(o plan.Op) bool {
					return slices.ContainsFunc(o.Needs, func(n plan.OpID) bool { return !done[n] })
				})
				o := rapid.SampledFrom(may).Draw(t, "next")
				if unmet := plan.Unmet(o, st); unmet != nil {
					t.Fatalf("%s may begin, and %v do not hold", o.ID, unmet)
				}
				for _, f := range o.Post {
					st.Set(f)
				}
				if !plan.Done(o, st) {
					t.Fatalf("%s is not done", o.ID)
				}
				done[o.ID] = true
				rest = slices.DeleteFunc(rest, func(x plan.Op) bool { return x.ID == o.ID })
			}
			if st.Digest() != s.After {
				t.Fatalf("stage %d ends elsewhere", i)
			}
		}
		if p.Final().Digest() != p.StateBefore(len(p.Stages)).Digest() {
			t.Fatal("the final state is not the last one")
		}
	})
}

func TestOrderLeavesOutCircles(t *testing.T) {
	s := plan.Stage{Ops: []plan.Op{{ID: "c", Needs: []plan.OpID{"b"}}, {ID: "a"}, {ID: "b", Needs: []plan.OpID{"a"}},
		{ID: "x", Needs: []plan.OpID{"y"}}, {ID: "y", Needs: []plan.OpID{"x"}}, {ID: "z", Needs: []plan.OpID{"y"}}}}
	var got []plan.OpID
	for _, o := range s.Order() {
		got = append(got, o.ID)
	}
	if !slices.Equal(got, []plan.OpID{"a", "b", "c"}) {
		t.Errorf("got %v", got)
	}
}

func TestKindsAreComplete(t *testing.T) {
	for _, k := range plan.Kinds() {
		i, ok := k.Info()
		if !ok || i.Verb == "" || i.Timeout <= 0 || (i.Destructive && i.Reversible) || i.Timeout < 2*i.Patience {
			t.Errorf("%s: %+v", k, i)
		}
	}
	if ways := good().OneWay(); len(ways) != 2 || ways[0].Kind != plan.PowerOn || ways[1].Kind != plan.InstallWait {
		t.Errorf("one-way ops: %v", ways)
	}
}

func TestStateKeepsNoEmptyValues(t *testing.T) {
	st := plan.State{}.With(fact(plan.AttrPower, "on"))
	before := st.Digest()
	st.Set(fact(plan.AttrBoot, "network"))
	if st.Set(fact(plan.AttrBoot, "")); st.Digest() != before {
		t.Error("a value that is gone has left something behind")
	}
	if st.Set(fact(plan.AttrPower, "")); st.Digest() != (plan.State{}).Digest() || len(st) != 0 {
		t.Errorf("the state is not empty: %v", st)
	}
	want := []plan.Change{{Attr: plan.AttrBoot, Subject: node, From: "network"}, {Attr: plan.AttrPower, Subject: node, From: "on", To: "off"}}
	got := plan.Diff(plan.State{node: {plan.AttrPower: "on", plan.AttrBoot: "network"}}, plan.State{node: {plan.AttrPower: "off"}})
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
