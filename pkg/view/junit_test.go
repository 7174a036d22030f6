package view_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// shape is what the schema that CI systems share (jenkins-junit.xsd) says of each element: its attributes, those that must be there first, and the
// elements that may stand in it.
var shape = map[string]struct {
	required, optional []string
	inside             []string
}{
	"testsuites": {nil, []string{"name", "tests", "failures", "errors", "time", "disabled", "skipped"}, []string{"testsuite"}},
	"testsuite": {[]string{"name", "tests"}, []string{"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
		[]string{"properties", "testcase", "system-out", "system-err"}},
	"testcase": {[]string{"name"}, []string{"assertions", "time", "classname", "status"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"failure":  {nil, []string{"type", "message"}, nil},
	"error":    {nil, []string{"type", "message"}, nil},
	"skipped":  {nil, []string{"message"}, nil},
}

var decimal = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// checkShape reads a report by the schema's rules and counts what it holds.
func checkShape(t *testing.T, report []byte) map[string]int {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(report))
	var open []string
	got := map[string]int{}
	said := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.StartElement:
			name := e.Name.Local
			rule, known := shape[name]
			if !known || (len(open) == 0) != (name == "testsuites") || len(open) > 0 && !slices.Contains(shape[open[len(open)-1]].inside, name) {
				t.Fatalf("<%s> stands in %v", name, open)
			}
			open, got[name] = append(open, name), got[name]+1
			have := map[string]string{}
			for _, a := range e.Attr {
				have[a.Name.Local] = a.Value
				if !slices.Contains(append(rule.required, rule.optional...), a.Name.Local) {
					t.Errorf("<%s> has the attribute %s", name, a.Name.Local)
				}
			}
			for _, r := range rule.required {
				if have[r] == "" {
					t.Errorf("<%s> has no %s", name, r)
				}
			}
			if s, ok := have["time"]; ok && !decimal.MatchString(s) {
				t.Errorf("<%s> took %q", name, s)
			}
			if name == "testsuite" {
				for _, k := range []string{"tests", "failures", "errors", "skipped"} {
					said[k], _ = strconv.Atoi(have[k])
				}
			}
		}
	}
	if said["tests"] != got["testcase"] || said["failures"] != got["failure"] || said["errors"] != got["error"] || said["skipped"] != got["skipped"] {
		t.Errorf("it says %v and holds %v", said, got)
	}
	return got
}

func TestPlanJUnit(t *testing.T) {
	p := makePlan(t, 3, plan.GoalInstall, func(d *model.Desired, o *model.Observed) {
		asDesired(d, o)
		o.Nodes[0].Host.OVS = nil
		o.Nodes[1].Host.Config = model.DigestBytes([]byte("older"))
	})
	var b bytes.Buffer
	if err := view.PlanJUnit(&b, p, []model.Path{"lab/r1/az1/a/blade-01", "lab/r1/az1/a/blade-02", "lab/r1/az1/a/blade-03"}); err != nil {
		t.Fatal(err)
	}
	got := checkShape(t, b.Bytes())
	if got["testcase"] != 3 || got["failure"] != 2 || got["error"]+got["skipped"] != 0 {
		t.Errorf("%v in\n%s", got, b.String())
	}
	golden(t, "plan.junit.xml", b.Bytes())
}

func TestApplyJUnit(t *testing.T) {
	p := makePlan(t, 1, plan.GoalInstall, nil)
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	r := engine.Result{Kind: engine.Failed, Started: at, Ended: at.Add(90 * time.Second)}
	statuses := []engine.Status{engine.OpDone, engine.OpHeld, engine.OpFailed, engine.OpStale, engine.OpUnknown, engine.OpInterrupted, engine.OpSkipped}
	for i, o := range p.Stages[0].Order()[:len(statuses)] {
		res := engine.OpResult{Op: o, Status: statuses[i], Started: at, Ended: at.Add(1500 * time.Millisecond)}
		switch statuses[i] {
		case engine.OpDone, engine.OpHeld:
		case engine.OpSkipped:
			res.Reason, res.Started, res.Ended = "an op that it needs failed", time.Time{}, time.Time{}
		default:
			res.Err = errors.New("it said \"<no>\" & \x01\nand more")
		}
		r.Ops = append(r.Ops, res)
	}
	var b bytes.Buffer
	if err := view.ApplyJUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	got := checkShape(t, b.Bytes())
	if got["testcase"] != 7 || got["failure"] != 2 || got["error"] != 2 || got["skipped"] != 1 || !strings.Contains(b.String(), `time="1.500"`) {
		t.Errorf("%v in\n%s", got, b.String())
	}
}
