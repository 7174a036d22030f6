package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// PlanOptions are those of Plan.
type PlanOptions struct {
	Out              string
	Targets          []string
	Goal             string
	Observed         string // a file, "none", or empty: look
	DetailedExitCode bool
}

// Plan computes a plan, explains it and saves it.
func Plan(ctx context.Context, e Env, o PlanOptions) (err error) {
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p, err := s.plan(ctx, o)
	if err != nil {
		return err
	}
	if e.JSON {
		err = view.PlanJSON(e.Out, p)
	} else {
		err = view.PlanText(e.Out, e.OutStyle, p)
	}
	if err == nil && o.Out != "" {
		err = s.save(p, o.Out)
	}
	if err == nil && o.DetailedExitCode && !p.AsDesired() {
		return &Exit{Code: ExitChanges, Shown: true}
	}
	return err
}

// plan observes and plans.
func (s *session) plan(ctx context.Context, o PlanOptions) (plan.Plan, error) {
	goal := plan.Goal(o.Goal)
	if goal != plan.GoalInstall && goal != plan.GoalReinstall {
		return plan.Plan{}, fmt.Errorf("--goal %s: this version plans for %s and %s", o.Goal, plan.GoalInstall, plan.GoalReinstall)
	}
	targets, err := s.targets(o.Targets)
	if err != nil {
		return plan.Plan{}, err
	}
	var seen model.Observed
	if o.Observed != "" {
		seen, err = readObserved(o.Observed)
	} else {
		seen, err = s.observe(ctx, targets)
	}
	if err != nil {
		return plan.Plan{}, err
	}
	for _, n := range seen.Nodes {
		if o.Observed == "" && n.BMC.Error != "" {
			s.env.note("%s: its BMC could not be asked: %s", n.Path, strings.TrimPrefix(n.BMC.Error, string(n.Path)+": "))
		}
	}
	p, err := planner.Make(planner.Input{
		Goal: goal, Targets: targets, Desired: s.desired, Observed: seen, Inventory: s.inventoryDigest(), Images: s.digests,
	})
	var refused *planner.Refusal
	if errors.As(err, &refused) {
		return plan.Plan{}, &Exit{Code: ExitRefused, Err: err}
	}
	if err != nil {
		return plan.Plan{}, err
	}
	return p, plan.Validate(p)
}

// inventoryDigest covers what the inventory says and what was rendered from it for every node.
func (s *session) inventoryDigest() model.Digest {
	configs := make([]model.Digest, len(s.desired.Nodes))
	for i, n := range s.desired.Nodes {
		configs[i] = n.Config
	}
	return model.DigestJSON([]any{s.inv.Digest, configs})
}

func (s *session) save(p plan.Plan, name string) error {
	file, err := plan.Encode(p)
	if err != nil {
		return err
	}
	if err := replaceFile(name, file); err != nil {
		return err
	}
	s.env.note("Saved the plan (%s) to %s. To do exactly this: nuboctl apply %s", p.Digest().Short(), name, name)
	return nil
}

func readPlan(name string) (plan.Plan, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("plan: %w", err)
	}
	p, err := plan.Decode(file)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("plan %s: %w", name, err)
	}
	return p, nil
}

// Show explains a saved plan again.
func Show(e Env, name string) error {
	p, err := readPlan(name)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.PlanJSON(e.Out, p)
	}
	return view.PlanText(e.Out, e.OutStyle, p)
}

// Verify checks a saved plan by itself: its form, and that every stage leads where it says.
func Verify(e Env, name string) error {
	p, err := readPlan(name)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, map[string]any{"format_version": 1, "valid": true, "digest": p.Digest(), "stages": len(p.Stages), "ops": p.Ops()})
	}
	_, err = fmt.Fprintf(e.Out, "The plan %s is well formed: %d stages, %d ops, each stage leads to the next.\n", p.Digest().Short(), len(p.Stages), p.Ops())
	return err
}
