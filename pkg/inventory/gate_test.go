package inventory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
)

const gateHead = "cloud \"x\" {\n  domain = \"x.test\"\n}\nsite \"s\" {\n  region \"r\" {}\n}\n"

func TestGates(t *testing.T) {
	inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(gateHead + `
rollout {
  health_allow = ["POOL_NO_REDUNDANCY", "TELEMETRY_CHANGED"]
}
gate "web" {
  scope    = "s/r"
  good     = 5
  deadline = "30m"
  http {
    url     = "https://api.x.test/health"
    status  = 204
    matches = "^$"
  }
}
gate "alerts" {
  prometheus {
    url   = "http://prom.x.test:9090"
    query = "count(ALERTS)"
    max   = 0
  }
}
gate "backup" {
  command {
    run = ["/usr/local/bin/check", "--quick"]
  }
}
`)}, Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	zero := 0.0
	want := []model.Gate{
		{Name: "alerts", Prometheus: &model.GatePrometheus{URL: "http://prom.x.test:9090", Query: "count(ALERTS)", Max: &zero}},
		{Name: "backup", Command: &model.GateCommand{Run: []string{"/usr/local/bin/check", "--quick"}}},
		{Name: "web", Scope: "s/r", Good: 5, Deadline: 30 * time.Minute, HTTP: &model.GateHTTP{URL: "https://api.x.test/health", Status: 204, Matches: "^$"}},
	}
	if diff := cmp.Diff(want, inv.Desired.Gates); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"POOL_NO_REDUNDANCY", "TELEMETRY_CHANGED"}, inv.Desired.Rollout.HealthAllow); diff != "" {
		t.Error(diff)
	}
}

// All mistakes are told at once, each with a remedy.
func TestGateMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"nothing asked": {`gate "a" {}`, []string{"asks 0 questions"}},
		"two questions": {"gate \"a\" {\n  http {\n    url = \"http://a\"\n  }\n  command {\n    run = [\"a\"]\n  }\n}", []string{"asks 2 questions"}},
		"the same name": {"gate \"a\" {\n  command {\n    run = [\"a\"]\n  }\n}\ngate \"a\" {\n  command {\n    run = [\"a\"]\n  }\n}", []string{"occurs twice"}},
		"numbers and places": {"gate \"a\" {\n  scope = \"s/q\"\n  good = 0\n  deadline = \"soon\"\n  command {\n    run = []\n    node = \"nobody\"\n  }\n}",
			[]string{"which is no place", "good is 0", "is no duration", "the command is empty", `there is no node "nobody"`}},
		"web":            {"gate \"a\" {\n  http {\n    url = \"api.x.test\"\n    status = 7\n    matches = \"(\"\n  }\n}", []string{"no address of a web server", "status is 7", "no regular expression"}},
		"a password":     {"gate \"a\" {\n  http {\n    url = \"https://u:p@api.x.test\"\n  }\n}", []string{"holds a password"}},
		"any value":      {"gate \"a\" {\n  prometheus {\n    url = \"http://p\"\n    query = \"up\"\n  }\n}", []string{"any value would be good"}},
		"no value":       {"gate \"a\" {\n  prometheus {\n    url = \"http://p\"\n    query = \" \"\n    min = 2\n    max = 1\n  }\n}", []string{"the query is empty", "so no value is good"}},
		"health by text": {"rollout {\n  health_allow = [\"pool has no redundancy\", \"A\", \"A\"]\n}", []string{"no name of a health check", "names A twice"}},
	} {
		t.Run(name, func(t *testing.T) {
			inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(gateHead + c.body + "\n")}, Options{})
			for _, want := range c.want {
				found := false
				for _, d := range diags {
					found = found || strings.Contains(d.Summary, want) && d.Remedy != ""
				}
				if !found {
					t.Errorf("%q not among\n%s", want, render(inv.Files, diags))
				}
			}
		})
	}
}
