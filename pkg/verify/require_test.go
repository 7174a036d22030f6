package verify

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

const region = plan.Subject("ceph:s/r")

// ended is a rollout of hosts that all have Ceph 18, whose cluster still lets OSDs of 16 start until the last stage.
func ended(change func(*plan.Fleet)) plan.Plan {
	f, policy := small()
	f.Hosts[no(1, 2, 1)].Down = false
	for i := range f.Hosts {
		f.Hosts[i].Ceph, f.Hosts[i].CephAfter = 18, 18
	}
	f.Clusters[0].Mons, f.Clusters[0].Require = plan.Ints{no(0, 0, 0), no(0, 1, 0), no(0, 2, 0)}, 16
	if change != nil {
		change(&f)
	}
	p := rollout(f, policy, smallBatches)
	p.Initial[region] = map[plan.Attr]string{plan.AttrRequire: "16"}
	p.Stages = append(p.Stages, plan.Stage{Title: "end", Ops: []plan.Op{endOf("16", "18")}})
	plan.Seal(&p)
	return p
}

func endOf(from, to string) plan.Op {
	return plan.Op{ID: plan.ID(plan.CephRequire, region), Kind: plan.CephRequire, Target: region, Args: map[string]string{"release": to},
		Pre: []plan.Fact{{Attr: plan.AttrRequire, Subject: region, Value: from}}, Post: []plan.Fact{{Attr: plan.AttrRequire, Subject: region, Value: to}}}
}

// earlier puts the ending before the last batch.
func earlier(p *plan.Plan) {
	last := len(p.Stages) - 1
	p.Stages[last-1], p.Stages[last] = p.Stages[last], p.Stages[last-1]
	p.Certificate.Batches[len(p.Certificate.Batches)-1].Stage++
}

func TestARiseIsEnded(t *testing.T) {
	p := ended(nil)
	if err := Plan(p); err != nil {
		t.Fatal(err)
	}
	p.Goal, p.Certificate, p.Stages = plan.GoalUpgrade, nil, p.Stages[len(p.Stages)-1:]
	plan.Seal(&p)
	if err := Plan(p); err != nil {
		t.Errorf("alone, when no host is left to be changed: %v", err)
	}
	for text, damage := range map[string]func(p *plan.Plan){
		"no place in a plan whose goal is":             func(p *plan.Plan) { p.Goal = plan.GoalRollback },
		"no place in a plan whose goal is decommissio": func(p *plan.Plan) { p.Goal = plan.GoalDecommission },
		"from 0 to 18":  func(p *plan.Plan) { p.Stages[0].Ops[0].Pre = nil },
		"from 16 to 0":  func(p *plan.Plan) { p.Stages[0].Ops[0].Post[0].Value = "newest" },
		`tells of "19"`: func(p *plan.Plan) { p.Stages[0].Ops[0].Args["release"] = "19" },
		"from 16 to 15": func(p *plan.Plan) { p.Stages[0].Ops[0].Post[0].Value = "15" },
		"or brings more tha": func(p *plan.Plan) {
			p.Stages[0].Ops[0].Post = append(p.Stages[0].Ops[0].Post, plan.Fact{Attr: plan.AttrSettings, Subject: region})
		},
		"stands beside ovs.": func(p *plan.Plan) {
			p.Stages[0].Ops = append(p.Stages[0].Ops, plan.Op{ID: plan.ID(plan.OVSEnsure, first), Kind: plan.OVSEnsure, Target: first, Post: []plan.Fact{{Attr: plan.AttrOVS, Subject: first, Value: "x"}}})
		},
	} {
		damaged := p
		damaged.Stages = slices.Clone(p.Stages)
		damaged.Stages[0].Ops = []plan.Op{endOf("16", "18")}
		damage(&damaged)
		plan.Seal(&damaged)
		if err := Plan(damaged); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want …%s…, got %v", text, err)
		}
	}
}
