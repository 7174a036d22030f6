package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/observe"
	"github.com/nuboctl/nuboctl/pkg/observe/synthetic"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// PlanOptions are those of Plan.
type PlanOptions struct {
	Out              string
	Targets          []string
	Goal             string
	Observed         string // a file, "none", "synthetic", or empty: look
	Seed             uint64 // of a synthetic observation
	Image            string // NAME@DIGEST: plan for that image instead of the one that NAME stands for in the image store
	Packages         string // put the packages of this snapshot in place, whatever the inventory's method is
	HTML             string // write a page to this file
	JUnit            string // write a report for CI systems to this file
	All              bool   // show every batch and every op
	Sign             SignOptions
	DetailedExitCode bool

	keepDrained bool // an undrain takes nothing back that a drain has set
}

// Plan computes a plan, explains it and saves it.
func Plan(ctx context.Context, e Env, o PlanOptions) (err error) {
	if o.Sign.wanted() && o.Out == "" {
		return errors.New("--sign: only a saved plan can be signed: add -o FILE")
	}
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p, err := s.plan(ctx, o)
	if err != nil {
		return err
	}
	if err := s.reportPlan(p, o.JUnit); err != nil {
		return err
	}
	if err = explain(e, p, o.HTML, o.All); err == nil && o.Out != "" {
		err = s.save(ctx, p, o.Out, o.Sign)
	}
	if err == nil && o.DetailedExitCode && !p.AsDesired() {
		return &Exit{Code: ExitChanges, Shown: true}
	}
	return err
}

// explain shows a plan on stdout, and as a page where one is asked for.
func explain(e Env, p plan.Plan, html string, all bool) error {
	if html != "" {
		var page bytes.Buffer
		if err := view.PlanHTML(&page, p); err != nil {
			return err
		}
		if err := replaceFile(html, page.Bytes()); err != nil {
			return err
		}
		e.note("Wrote the page to %s.", html)
	}
	if e.JSON {
		return view.PlanJSON(e.Out, p)
	}
	return view.PlanText(e.Out, e.OutStyle, p, view.PlanOptions{All: all})
}

// goals are those that this version plans for.
var goals = []plan.Goal{plan.GoalInstall, plan.GoalReinstall, plan.GoalUpgrade, plan.GoalRollback, plan.GoalDrain, plan.GoalUndrain, plan.GoalDecommission}

// Goals names the goals that this version plans for.
func Goals() string {
	names := make([]string, len(goals))
	for i, g := range goals {
		names[i] = string(g)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// outOfService are the goals that take hosts out of service in batches: their plans carry a certificate, and depend on everything that is up.
// A reinstall of hosts that do not answer takes nothing out of service, and has none.
var outOfService = []plan.Goal{plan.GoalUpgrade, plan.GoalRollback, plan.GoalDrain, plan.GoalReinstall}

// dependsOnAll reports whether what a plan of a goal may do to its targets depends on everything else.
func dependsOnAll(g plan.Goal) bool {
	return g == plan.GoalDecommission || slices.Contains(outOfService, g)
}

// plan observes and plans.
func (s *session) plan(ctx context.Context, o PlanOptions) (plan.Plan, error) {
	goal := plan.Goal(o.Goal)
	if !slices.Contains(goals, goal) {
		return plan.Plan{}, fmt.Errorf("--goal %s: this version plans for %s", o.Goal, Goals())
	}
	if err := errors.Join(s.useImage(o.Image), s.choosePackages(goal, o)); err != nil {
		return plan.Plan{}, err
	}
	targets, err := s.targets(o.Targets)
	if err != nil {
		return plan.Plan{}, err
	}
	certified := slices.Contains(outOfService, goal)
	if dependsOnAll(goal) && o.Observed == "" && len(targets) > 0 {
		s.env.note("Observing everything, since what a target may do depends on what else is up.")
	}
	seen, err := s.look(ctx, goal, targets, o)
	if err != nil {
		return plan.Plan{}, err
	}
	if goal == plan.GoalUndrain && o.Observed == "" {
		if err := s.marks(ctx, seen); err != nil {
			return plan.Plan{}, err
		}
	}
	for i := range seen.Nodes {
		if h := &seen.Nodes[i].Host; o.keepDrained && h.Drained {
			h.Cordoned, h.Drained = time.Time{}, false
		}
	}
	for _, n := range seen.Nodes {
		if o.Observed == "" && n.BMC.Error != "" {
			s.env.note("%s: its BMC could not be asked: %s", n.Path, strings.TrimPrefix(n.BMC.Error, string(n.Path)+": "))
		}
	}
	p, err := planner.Make(planner.Input{
		Goal: goal, Targets: targets, Desired: s.desired, Observed: seen, Inventory: s.inventoryDigest(), Images: s.digests, Packages: s.packages(seen),
	})
	var refused *planner.Refusal
	if errors.As(err, &refused) {
		return plan.Plan{}, &Exit{Code: ExitRefused, Err: err}
	}
	if err != nil {
		return plan.Plan{}, err
	}
	if certified && goal != plan.GoalReinstall && p.Certificate == nil && !p.Empty() {
		return plan.Plan{}, errors.New("the planner gave a plan that takes hosts out of service without a certificate; nothing is known of its safety, so it is not shown or saved")
	}
	if o.Observed == "synthetic" {
		p.Notes = append(p.Notes, madeUp)
	}
	if o.Image != "" {
		name, _, _ := strings.Cut(o.Image, "@")
		p.Provenance.Chosen = []string{name}
	}
	if p.Notes, err = s.noteCabling(ctx, p.Notes, targets); err != nil {
		return plan.Plan{}, err
	}
	return p, plan.Validate(p)
}

// madeUp is the note of a plan from a synthetic observation.
const madeUp = "the observation was made up (--observed synthetic): this plan can be read, verified and simulated, not applied"

// look gives the observation to plan from: a recorded one, one that is made up, or what is really there. A rollout of some targets depends on all.
func (s *session) look(ctx context.Context, goal plan.Goal, targets []model.Path, o PlanOptions) (model.Observed, error) {
	switch {
	case o.Observed == "synthetic":
		return s.synthetic(o.Seed)
	case o.Observed != "":
		return readObserved(o.Observed)
	case dependsOnAll(goal):
		targets = nil
	}
	return s.observe(ctx, targets, dependsOnAll(goal))
}

// packages are what the planner asks of the images that hosts run, hold or are to run, as far as they are in the image store.
func (s *session) packages(o model.Observed) map[model.Digest]planner.Packages {
	images := slices.Collect(maps.Values(s.digests))
	for _, n := range o.Nodes {
		images = append(images, n.Host.Image)
		if n.Host.Idle != nil {
			images = append(images, n.Host.Idle.Image)
		}
	}
	out := map[model.Digest]planner.Packages{}
	for _, d := range images {
		if !d.Valid() || out[d] != nil {
			continue
		}
		m, err := s.images.Manifest(d)
		if err != nil { // not there: the planner reckons with that
			continue
		}
		out[d] = planner.Packages{}
		for _, p := range m.Packages {
			if planner.Relevant(p.Name) {
				out[d][p.Name] = p.Version
			}
		}
	}
	return out
}

// synthetic makes up the observation of a healthy, loaded fleet, and says what it assumes.
func (s *session) synthetic(seed uint64) (model.Observed, error) {
	o, err := synthetic.Observe(s.desired, seed)
	o.FormatVersion = observe.FormatVersion
	if err == nil {
		s.env.note("Synthetic observation, seed %d: every host up with an older image, %d virtual machines. Nothing was looked at.", seed, len(o.VMs))
	}
	return o, err
}

// useImage makes a name stand for another digest than the image store says.
func (s *session) useImage(ref string) error {
	if ref == "" {
		return nil
	}
	name, digest, ok := strings.Cut(ref, "@")
	if d := model.Digest(digest); !ok || !d.Valid() {
		return fmt.Errorf("--image %s: write NAME@DIGEST, with the whole digest (sha256:…), as nuboctl image list --json shows it", ref)
	}
	used := false
	for i := range s.desired.Nodes {
		if n := &s.desired.Nodes[i]; n.Image.Name == name {
			n.Image.Digest, used = model.Digest(digest), true
		}
	}
	if !used {
		return fmt.Errorf("--image %s: no node of the inventory uses the image %s", ref, name)
	}
	s.digests[name] = model.Digest(digest)
	return nil
}

// inventoryDigest covers what the inventory says and what was rendered from it for every node.
func (s *session) inventoryDigest() model.Digest {
	configs := make([]model.Digest, len(s.desired.Nodes))
	for i, n := range s.desired.Nodes {
		configs[i] = n.Config
	}
	return model.DigestJSON([]any{s.inv.Digest, configs})
}

func (s *session) save(ctx context.Context, p plan.Plan, name string, sign SignOptions) error {
	file, digest, err := plan.EncodeDigest(p)
	if err != nil {
		return err
	}
	if err := s.env.withSignature(ctx, name, file, sign); err != nil {
		return err
	}
	use := "To do exactly this: " + s.env.again("apply", name)
	if s.unbuilt(p) != nil {
		use = "It can be read and verified, and not applied: its notes say why."
	}
	s.env.note("Saved the plan (%s) to %s. %s", digest.Short(), name, use)
	if len(s.desired.Rollout.SignedBy) > 0 && !sign.wanted() {
		s.env.note("This inventory has plans signed before they are applied: nuboctl sign %s", name)
	}
	return nil
}

// Show explains a saved plan again, and tells who signed it.
func Show(e Env, name, html string, all bool) error {
	file, err := plan.ReadFile(name)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	by, err := e.signedBy(name, file, nil)
	if err != nil {
		return err
	}
	p, err := plan.Decode(file)
	if err != nil {
		return fmt.Errorf("plan %s: %w", name, err)
	}
	if err := explain(e, p, html, all); err != nil || by == nil {
		return err
	}
	e.note("%s", by)
	return nil
}
