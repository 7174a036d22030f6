package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/gate"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// clock is a time that the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// A gate opens after so many good answers in a row, and once open only its last answer counts; a new batch begins anew.
func TestHysteresis(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	var answer error
	s := gate.Set{Now: c.Now, Gates: []model.Gate{{Name: "g", Good: 2, Deadline: time.Minute, Command: &model.GateCommand{Run: []string{"x"}}}},
		Run: func(context.Context, model.Path, []string) error { return answer }}
	step := func(name string, a error, wrong, late bool) {
		t.Helper()
		answer = a
		w, l := s.Check(t.Context(), "s/r")
		if (len(w) > 0) != wrong || (len(l) > 0) != late {
			t.Errorf("%s: wrong %q, late %q", name, w, l)
		}
		c.now = c.now.Add(20 * time.Second)
	}
	bad := errors.New("no")
	step("good once", nil, true, false)
	step("bad between", bad, true, false)
	step("good once again", nil, true, false)
	step("good twice", nil, false, false)
	step("an alarm", bad, true, false)
	step("that went", nil, false, false)
	for i := range 3 {
		step(fmt.Sprint("bad for ", 20*i, " s"), bad, true, false)
	}
	step("bad for 60 s", bad, true, true)
	s.Begin()
	step("a new batch", nil, true, false)
	step("a new batch, good twice", nil, false, false)
}

func TestScope(t *testing.T) {
	var asked []string
	s := gate.Set{Now: time.Now, Run: func(_ context.Context, _ model.Path, argv []string) error { asked = append(asked, argv[0]); return nil }}
	for _, scope := range []model.Path{"", "a/r1", "a/r2", "a/r1/z1", "b"} {
		s.Gates = []model.Gate{{Name: string(scope) + "-", Scope: scope, Command: &model.GateCommand{Run: []string{"<" + string(scope) + ">"}}}}
		s.Check(t.Context(), "a/r1")
	}
	if want := []string{"<>", "<a/r1>", "<a/r1/z1>"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// A web page is judged by status and body; another host is not asked although the page says so.
func TestHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
			fmt.Fprint(w, "state: well")
		case "/ill":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}
	}))
	defer srv.Close()
	for _, c := range []struct {
		http model.GateHTTP
		want string
	}{
		{model.GateHTTP{URL: srv.URL + "/well", Matches: "well$"}, ""},
		{model.GateHTTP{URL: srv.URL + "/well", Matches: "ill$"}, "does not match"},
		{model.GateHTTP{URL: srv.URL + "/ill"}, "status 503, not 200"},
		{model.GateHTTP{URL: srv.URL + "/ill", Status: 503}, ""},
		{model.GateHTTP{URL: srv.URL + "/away"}, "status 302, not 200"},
		{model.GateHTTP{URL: "http://127.0.0.1:1/"}, "refused"},
	} {
		expect(t, model.Gate{HTTP: &c.http}, c.want)
	}
}

func TestPrometheus(t *testing.T) {
	answers := map[string]string{
		"nothing": `{"status":"success","data":{"resultType":"vector","result":[]}}`,
		"alert":   `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"alertname":"Down"},"value":[1,"1"]}]}}`,
		"two":     `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0"]},{"metric":{"instance":"b"},"value":[1,"3.5"]}]}}`,
		"number":  `{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`,
		"nan":     `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}`,
		"range":   `{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		"wrong":   `{"status":"error","error":"parse error at char 3"}`,
		"page":    `<html>`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" {
			t.Errorf("asked %s", r.URL.Path)
		}
		fmt.Fprint(w, answers[r.URL.Query().Get("query")])
	}))
	defer srv.Close()
	zero, one, three := 0.0, 1.0, 3.0
	for _, c := range []struct {
		query    string
		min, max *float64
		want     string
	}{
		{"nothing", nil, &zero, ""},
		{"nothing", &one, nil, "gives nothing"},
		{"alert", nil, &zero, "alert is 1 (alertname Down), above 0"},
		{"alert", &one, &one, ""},
		{"two", nil, &three, "is 3.5 (instance b), above 3"},
		{"two", &one, nil, "is 0, below 1"},
		{"number", &one, &three, ""},
		{"nan", nil, &three, "above 3"},
		{"nan", &one, nil, "below 1"},
		{"range", nil, &zero, "only vectors and numbers"},
		{"wrong", nil, &zero, "parse error at char 3"},
		{"page", nil, &zero, "not as Prometheus does"},
	} {
		expect(t, model.Gate{Prometheus: &model.GatePrometheus{URL: srv.URL + "/", Query: c.query, Min: c.min, Max: c.max}}, c.want)
	}
}

// expect asks a gate that one good answer opens.
func expect(t *testing.T, g model.Gate, want string) {
	t.Helper()
	g.Name, g.Good = "g", 1
	s := gate.Set{Gates: []model.Gate{g}, Now: time.Now}
	wrong, _ := s.Check(t.Context(), "s/r")
	if got := strings.Join(wrong, "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
		t.Errorf("%+v%+v: %q, want %q", g.HTTP, g.Prometheus, got, want)
	}
}
