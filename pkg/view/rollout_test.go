package view_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// rollout is a plan of two zones with as many hosts each, one host in a batch.
func rollout(perZone int) plan.Plan {
	c := &plan.Certificate{Grade: "A+C", Policy: plan.Policy{Survive: "A+C"}}
	c.Bound = plan.Bound{Rounds: 2*perZone - 1, Seconds: 3600, Binding: "memory in s/r/az1"}
	for z, zone := range []model.Path{"s/r/az1", "s/r/az2"} {
		short := []string{"B: placement groups of pool vms would keep 1 of 2 copies with rack a lost"}
		c.Bound.Zones = append(c.Bound.Zones, plan.ZoneBound{Zone: zone, Bound: perZone - z, BoundSeconds: 1800, Binding: []string{"memory", "failure domains"}[z]})
		for i := range perZone {
			h := int32(len(c.Fleet.Hosts))
			c.Fleet.Hosts = append(c.Fleet.Hosts, plan.Host{Path: zone.Join("k1", fmt.Sprintf("blade-%d-%02d", z+1, i)), Change: true})
			c.Fleet.VMs.Names = append(c.Fleet.VMs.Names, fmt.Sprintf("vm-%02d", h))
			c.Batches = append(c.Batches, plan.Batch{Hosts: plan.Ints{h}, Zone: zone, Grade: "A+C", Short: short, Seconds: 1200 + int64(60*i), Stage: 1 + int(h),
				Counts: plan.Counts{Displaced: 1, PGsDown: 100 + i, PGsAtMin: 100 + i, QuorumSpare: -1}, Moves: plan.Moves{VM: plan.Ints{h}, To: plan.Ints{0}}})
		}
	}
	c.Fleet.Hosts = append(c.Fleet.Hosts, plan.Host{Path: "s/r/az2/k1/lost", Down: true}, plan.Host{Path: "s/r/az2/k1/same"})
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Certificate: c, Notes: []string{"what a reader <should> know"}}
	write := plan.Stage{Title: "idle slots"}
	for _, h := range c.Fleet.Hosts[:2*perZone] {
		sub := plan.NodeSubject(h.Path)
		write.Ops = append(write.Ops, plan.Op{ID: plan.ID(plan.SlotWrite, sub), Kind: plan.SlotWrite, Target: sub})
	}
	p.Stages = append(p.Stages, write)
	for i, b := range c.Batches {
		sub := plan.NodeSubject(c.Fleet.Hosts[b.Hosts[0]].Path)
		p.Stages = append(p.Stages, plan.Stage{Title: fmt.Sprintf("batch %d", i+1), Ops: []plan.Op{{ID: plan.ID(plan.HostDrain, sub), Kind: plan.HostDrain, Target: sub}}})
	}
	return p
}

func TestRolloutText(t *testing.T) {
	for name, tc := range map[string]struct {
		perZone int
		all     bool
	}{"rollout": {6, false}, "rollout-all": {2, true}} {
		p := rollout(tc.perZone)
		golden(t, "plan-"+name, plainToo(t, func(b *bytes.Buffer, s view.Style) error {
			return view.PlanText(b, s, p, view.PlanOptions{All: tc.all})
		}))
	}
}

func TestRolloutJSON(t *testing.T) {
	var b bytes.Buffer
	if err := view.PlanJSON(&b, rollout(3)); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"rounds": 6.0, "rounds_lower_bound": 5.0, "binding_constraint": "memory in s/r/az1", "grade": "A+C",
		"predicted_seconds": 2 * (3*1200.0 + 180), "seconds_lower_bound": 3600.0, "hosts": 6.0, "moves": 6.0, "vms": 6.0} {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
	if zones := got["zones"].([]any); len(zones) != 2 || zones[1].(map[string]any)["rounds_lower_bound"] != 2.0 || zones[1].(map[string]any)["grade"] != "A+C" {
		t.Errorf("zones %v", got["zones"])
	}
}

// pageOf parses a page and holds that it is well formed, escapes what it shows and refers to nothing outside of itself.
func pageOf(t *testing.T, text []byte) (shown string) {
	t.Helper()
	var out strings.Builder
	for z := html.NewTokenizer(bytes.NewReader(text)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			out.Write(z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			if tok.Data == "script" || tok.Data == "link" || tok.Data == "img" || tok.Data == "iframe" {
				t.Errorf("the page has a %s", tok.Data)
			}
			for _, a := range tok.Attr {
				if a.Key == "src" || a.Key == "href" || strings.Contains(a.Val, "url(") || strings.Contains(a.Val, "ZgotmplZ") {
					t.Errorf("%s has %s=%q", tok.Data, a.Key, a.Val)
				}
			}
		}
	}
}

func TestPlanHTML(t *testing.T) {
	var b bytes.Buffer
	if err := view.PlanHTML(&b, rollout(6)); err != nil {
		t.Fatal(err)
	}
	text := pageOf(t, b.Bytes())
	for _, want := range []string{"Rollout of 12 hosts", "memory in s/r/az1", "falls short of B: placement groups of pool vms", "what a reader <should> know", "batch 12: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if n := bytes.Count(b.Bytes(), []byte(`<rect class="b`)); n != 12 {
		t.Errorf("%d batches are drawn", n)
	}
	for class, n := range map[string]int{`<i class="down"`: 1, `<i class="stay"`: 1, `<i class="h`: 12} {
		if got := bytes.Count(b.Bytes(), []byte(class)); got != n {
			t.Errorf("%s: %d hosts, want %d", class, got, n)
		}
	}
	if err := view.PlanHTML(&b, plan.Plan{Goal: plan.GoalInstall}); err == nil {
		t.Error("a plan that is no rollout has a page")
	}
}

func TestSimulationHTML(t *testing.T) {
	for _, violations := range [][]view.SimulatedViolation{nil, {{Seed: 7, Time: "2h", Invariant: "I2", Detail: "<pool>"}}} {
		var b bytes.Buffer
		if err := view.SimulationHTML(&b, view.SimulationPage{Title: "T", Rollouts: 4, Completed: 3, Halted: 1, Makespans: []float64{3600, 7200, 7300, 9000}, Violations: violations}); err != nil {
			t.Fatal(err)
		}
		text := pageOf(t, b.Bytes())
		if strings.Contains(text, "None: at no moment") == (len(violations) > 0) || strings.Contains(text, "<pool>") != (len(violations) > 0) {
			t.Errorf("with %d violations the page says:\n%s", len(violations), text)
		}
		if n := bytes.Count(b.Bytes(), []byte(`class="m"`)); n != 40 {
			t.Errorf("%d bars", n)
		}
	}
	var b bytes.Buffer
	if err := view.SimulationHTML(&b, view.SimulationPage{Title: "nothing was run"}); err != nil {
		t.Error(err)
	}
}
