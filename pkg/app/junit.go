package app

import (
	"bytes"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// reportPlan writes what a plan would change as a JUnit report, where one is asked for.
func (s *session) reportPlan(p plan.Plan, file string) error {
	if file == "" {
		return nil
	}
	var nodes []model.Path
	for _, n := range targeted(s.desired.Nodes, p.Targets) {
		nodes = append(nodes, n.Path)
	}
	var out bytes.Buffer
	if err := view.PlanJUnit(&out, p, nodes); err != nil {
		return err
	}
	return replaceFile(file, out.Bytes())
}

// reportRun writes what came of a run as a JUnit report, where one is asked for.
func reportRun(r engine.Result, file string) error {
	if file == "" {
		return nil
	}
	var out bytes.Buffer
	if err := view.ApplyJUnit(&out, r); err != nil {
		return err
	}
	return replaceFile(file, out.Bytes())
}
