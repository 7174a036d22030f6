package view

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// The report that CI systems read: JUnit's, as far as they agree on it, for it has no standard of its own (the schema jenkins-junit.xsd is what most
// keep to). Times are in seconds.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Skipped *junitSkipped `xml:"skipped,omitempty"`
		Error   *junitOutcome `xml:"error,omitempty"`
		Failure *junitOutcome `xml:"failure,omitempty"`
	}
	junitOutcome struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// PlanJUnit reports a plan as a test of "all is as the inventory says": one case for each of the nodes and virtual machines, failed where the plan would
// change something, or leaves a difference. Nodes are those that were planned for; of them also what is as desired gets a case.
func PlanJUnit(w io.Writer, p plan.Plan, nodes []model.Path) error {
	wrong := map[plan.Subject]*junitOutcome{}
	for _, c := range Changes(p) {
		var text strings.Builder
		for _, id := range c.Ops {
			fmt.Fprintln(&text, id)
		}
		wrong[c.Subject] = &junitOutcome{Message: fmt.Sprintf("plan would %s it: %s", c.Action, Plural(len(c.Ops), "op")), Type: "change", Text: text.String()}
	}
	for _, l := range p.Left {
		wrong[plan.NodeSubject(l.Node)] = &junitOutcome{Message: l.Text, Type: "left", Text: l.Remedy}
	}
	subjects := map[plan.Subject]bool{}
	for _, n := range nodes {
		subjects[plan.NodeSubject(n)] = true
	}
	for s := range wrong {
		subjects[s] = true
	}
	var cases []junitCase
	for s := range subjects {
		cases = append(cases, junitCase{Class: string(placeOf(s)), Name: string(s), Time: inSeconds(0), Failure: wrong[s]})
	}
	slices.SortFunc(cases, func(a, b junitCase) int { return strings.Compare(a.Name, b.Name) })
	return writeJUnit(w, "nuboctl plan", cases, 0)
}

// ApplyJUnit reports a run: one case for each op.
func ApplyJUnit(w io.Writer, r engine.Result) error {
	var cases []junitCase
	for _, o := range r.Ops {
		c := junitCase{Class: string(placeOf(o.Op.Target)), Name: string(o.Op.ID), Time: inSeconds(o.Ended.Sub(o.Started))}
		said := &junitOutcome{Type: string(o.Status)}
		if o.Err != nil {
			said.Message, said.Text = strings.SplitN(o.Err.Error(), "\n", 2)[0], o.Err.Error()
		}
		switch o.Status {
		case engine.OpDone, engine.OpHeld:
		case engine.OpFailed, engine.OpStale:
			c.Failure = said
		case engine.OpSkipped:
			c.Skipped = &junitSkipped{Message: o.Reason}
		default: // unknown or interrupted: neither right nor wrong
			c.Error = said
		}
		cases = append(cases, c)
	}
	return writeJUnit(w, "nuboctl apply", cases, r.Ended.Sub(r.Started))
}

// placeOf is what CI systems group by: the path above a node.
func placeOf(s plan.Subject) model.Path {
	if path, ok := s.Node(); ok {
		return path.Parent()
	}
	return model.Path(strings.SplitN(string(s), ":", 2)[0])
}

// inSeconds writes a duration as the schema's decimal.
func inSeconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(d, 0).Seconds()) }

func writeJUnit(w io.Writer, name string, cases []junitCase, took time.Duration) error {
	counts := junitCounts{Tests: len(cases), Time: inSeconds(took)}
	for _, c := range cases {
		switch {
		case c.Failure != nil:
			counts.Failures++
		case c.Error != nil:
			counts.Errors++
		case c.Skipped != nil:
			counts.Skipped++
		}
	}
	out, err := xml.MarshalIndent(junitSuites{Name: name, junitCounts: counts, Suites: []junitSuite{{Name: name, junitCounts: counts, Cases: cases}}}, "", "  ")
	if err != nil {
		return fmt.Errorf("JUnit report: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(out)+"\n")
	return err
}
