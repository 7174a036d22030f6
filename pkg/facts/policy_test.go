package facts_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func TestMaxUnavailable(t *testing.T) {
	for text, want := range map[string]plan.MaxUnavailable{
		"2":                    {Count: 2, Unit: plan.LevelHost},
		"3 nodes":              {Count: 3, Unit: plan.LevelHost},
		"1 node per chassis":   {Count: 1, Unit: plan.LevelHost, Per: "chassis"},
		"10%":                  {Percent: 10},
		"100% per site":        {Percent: 100, Per: "site"},
		"1 rack per zone":      {Count: 1, Unit: plan.LevelRack, Per: "zone"},
		"2 racks per region":   {Count: 2, Unit: plan.LevelRack, Per: "region"},
		"1 chassis per zone":   {Count: 1, Unit: plan.LevelChassis, Per: "zone"},
		"1 zone  per   region": {Count: 1, Unit: plan.LevelZone, Per: "region"},
	} {
		if got, ok := facts.ParseMaxUnavailable(text); !ok || got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "0", "-1", "0%", "101%", "%", "one", "1 shelf", "1 rack per shelf", "1 rack per", "per zone", "1 rack zone", "10% racks", "1.5"} {
		if got, ok := facts.ParseMaxUnavailable(text); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func TestPolicy(t *testing.T) {
	d := model.Desired{Rollout: model.Rollout{Order: []model.Path{"b", "a"}, MaxUnavailable: "1 rack per zone", Survive: "A+C", Bake: "1h30m", Canary: 1, MaxParallel: 7, Reserve: "15%", Method: "reinstall"}}
	got, err := facts.Policy(d)
	want := plan.Policy{Order: []model.Path{"b", "a"}, MaxUnavailable: plan.MaxUnavailable{Count: 1, Unit: plan.LevelRack, Per: plan.LevelZone}, Survive: "A+C",
		BakeSeconds: 5400, Canary: 1, MaxParallel: 7, ReservePercent: 15, Method: "reinstall", Times: got.Times}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || got.Times.Host < 600 {
		t.Errorf("%v, %+v\n%s", err, got.Times, diff)
	}
	got, err = facts.Policy(model.Desired{})
	if err != nil || got.Survive != "A" || got.Method != facts.MethodSlot || got.MaxUnavailable != (plan.MaxUnavailable{Count: 1, Unit: plan.LevelHost}) || got.Times.Host == 0 {
		t.Errorf("what is not said: %+v, %v", got, err)
	}
	_, err = facts.Policy(model.Desired{Rollout: model.Rollout{MaxUnavailable: "some", Bake: "long", Reserve: "95%", Method: "magic", Canary: -1}})
	if err == nil {
		t.Fatal("a policy of nonsense is taken")
	}
	for _, word := range []string{"max_unavailable", "bake", "reserve", "method", "canary"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not complained of in:\n%v", word, err)
		}
	}
}
