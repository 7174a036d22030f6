package app

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
	"github.com/nuboctl/nuboctl/pkg/verify"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// ApplyOptions are those of Apply.
type ApplyOptions struct {
	File string // a saved plan; empty: plan first
	Plan PlanOptions
	Yes  bool
	// JUnit names a file for a report of the run.
	JUnit string
	// SaveTo names a file to save the plan to instead of applying it.
	SaveTo string
	// Emergency has whoever holds the lease give way at the next safe point.
	Emergency bool
	// Patience is for how long a BMC may be busy or silent before a step gives up; zero: as each kind of step does.
	Patience time.Duration

	saved plan.Plan // what File holds
}

// Apply carries out a plan: exactly the saved one, or one that it makes, shows and asks about.
func Apply(ctx context.Context, e Env, o ApplyOptions) (err error) {
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if o.Emergency && o.SaveTo != "" {
		return errors.New("a run gives way to an apply, not to a plan that is saved: leave --emergency out here, and give it to apply FILE")
	}
	if err := s.readApproved(&o); err != nil {
		return err
	}
	scope, err := s.scopeOf(o)
	if err != nil {
		return err
	}
	lease, err := s.turn(ctx, scope, o.Emergency)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	ctx, deaf := s.listen(ctx, lease, "apply")
	defer deaf()
	return s.unlessStopped(ctx, s.apply(ctx, o, lease))
}

// apply plans and carries out under a lease.
func (s *session) apply(ctx context.Context, o ApplyOptions, lease state.Lease) error {
	p, err := s.planToApply(ctx, o)
	if err != nil {
		return err
	}
	if o.SaveTo != "" {
		return s.save(ctx, p, o.SaveTo, o.Plan.Sign)
	}
	if err := errors.Join(s.unbuilt(p), proven(p)); err != nil {
		return err
	}
	if o.File == "" && !o.Yes && !s.env.Yes && !p.Empty() {
		if err := s.env.ask(ctx); err != nil {
			return err
		}
	}
	err = s.carryOut(ctx, p, lease, o)
	if errors.Is(err, engine.ErrAborted) && p.Certificate != nil {
		err = errors.Join(err, s.giveBack(ctx, lease, s.marked, p.Goal != plan.GoalDrain))
	}
	return err
}

// planToApply reads the saved plan and makes sure that it is not stale, or makes and shows one.
func (s *session) planToApply(ctx context.Context, o ApplyOptions) (plan.Plan, error) {
	if o.File != "" {
		if len(o.Plan.Targets) > 0 || o.Plan.Observed != "" || o.Plan.Image != "" || o.Plan.Packages != "" {
			return plan.Plan{}, errors.New("a saved plan is applied as it is: --target, --observed, --image and --packages go with plan")
		}
		p := o.saved
		for _, name := range p.Provenance.Chosen {
			if err := s.useImage(name + "@" + string(p.Provenance.Images[name])); err != nil {
				return p, err
			}
		}
		if snap := p.Provenance.Snapshot; snap != nil {
			s.usePackages(snap.Name)
		}
		if err := s.pinSnapshot(p.Goal); err != nil {
			return p, err
		}
		if err := s.fresh(p); err != nil {
			return p, &Exit{Code: ExitStale, Err: err}
		}
		return p, nil
	}
	p, err := s.plan(ctx, o.Plan)
	if err != nil {
		return p, err
	}
	w, style := s.env.Out, s.env.OutStyle
	if s.env.JSON { // stdout carries events
		w, style = s.env.Err, s.env.ErrStyle
	}
	return p, view.PlanText(w, style, p, view.PlanOptions{All: o.Plan.All})
}

// fresh compares a plan's provenance with what is there now.
func (s *session) fresh(p plan.Plan) error {
	var errs []error
	if p.Provenance.Inventory != s.inventoryDigest() {
		errs = append(errs, errors.New("stale plan: the inventory, a profile or a key has changed since it was made"))
	}
	if policy, err := s.policy(p); err != nil || p.Provenance.Policy != policy {
		errs = append(errs, errors.New("stale plan: the rollout policy has changed since it was made"))
	}
	for _, img := range p.ImageRefs() {
		if s.digests[img.Name] != img.Digest {
			errs = append(errs, fmt.Errorf("stale plan: image %s was %s when it was made and is %s now", img.Name, img.Digest.Short(), s.digests[img.Name].Short()))
		}
	}
	if snap := p.Provenance.Snapshot; snap != nil && s.desired.Rollout.Snapshot.Digest != snap.Digest {
		errs = append(errs, fmt.Errorf("stale plan: snapshot %s was %s when it was made and is %s now", snap.Name, snap.Digest.Short(), cmp.Or(s.desired.Rollout.Snapshot.Digest.Short(), "not in the image store")))
	}
	errs = append(errs, asNamed(p, s.desired.Rollout.Snapshot))
	err := errors.Join(errs...)
	if err != nil {
		err = errors.Join(err, errors.New("plan again, read what has changed, and apply the new plan"))
	}
	return err
}

// asNamed compares the packages that a plan's ops say they install, by which the verifier judges what has to leave and to stop for them, with those of the snapshot that is installed.
func asNamed(p plan.Plan, snap model.Snapshot) error {
	list := make([]plan.PackageVersion, len(snap.Packages))
	for i, x := range snap.Packages {
		list[i] = plan.PackageVersion{Name: x.Name, Version: x.Version}
	}
	is := plan.PackagesText(list)
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if o.Kind == plan.PackagesInstall && o.Args[plan.ArgPackages] != is {
				return fmt.Errorf("stale plan: %s says that it installs %q, and snapshot %s holds %q", o.ID, o.Args[plan.ArgPackages], snap.Name, is)
			}
		}
	}
	return nil
}

// policy is the digest that a plan of this kind would have of the rollout block as it is now.
func (s *session) policy(p plan.Plan) (model.Digest, error) {
	if p.Certificate == nil {
		return model.DigestJSON(s.desired.Rollout), nil
	}
	policy, err := facts.PolicyFor(p.Goal, s.desired)
	return model.DigestJSON(policy), err
}

// ask asks whether to go on with a plan. Without a person to ask, the answer is no.
func (e Env) ask(ctx context.Context) error {
	if !e.Interactive {
		return errors.New("nobody is there to approve the plan: save it with plan -o FILE, have it reviewed, and apply FILE; or say --yes")
	}
	return e.confirm(ctx, "Apply this plan?")
}

// confirm asks the person at the terminal.
func (e Env) confirm(ctx context.Context, question string) error {
	fmt.Fprintf(e.Err, "\n%s Only \"yes\" goes on: ", question)
	line := make(chan string, 1)
	go func() { // a read from a terminal cannot be cancelled; the process ends soon after
		text, _ := bufio.NewReader(e.In).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if strings.TrimSpace(text) == "yes" {
			return nil
		}
		return errors.New("not approved: nothing was done")
	case <-ctx.Done():
		return &Exit{Code: ExitInterrupted, Err: errors.New("interrupted: nothing was done")}
	}
}

func holder(e Env, command string) state.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return state.Holder{User: whoAmI(), Host: host, PID: os.Getpid(), Command: "nuboctl " + command, Since: e.Now().UTC()}
}

// carryOut runs a plan under a lease.
func (s *session) carryOut(ctx context.Context, p plan.Plan, lease state.Lease, o ApplyOptions) (err error) {
	if err := state.Rename(ctx, s.store, lease.Fence(), s.desired.Moved); err != nil {
		return err
	}
	if err := s.keepAddresses(ctx, lease.Fence()); err != nil {
		return err
	}
	if err := s.keepKeys(ctx, lease.Fence()); err != nil {
		return err
	}
	j, err := s.store.OpenJournal(ctx, lease)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if n := j.Repaired(); n > 0 {
		s.env.note("The journal ended in the middle of a record, as after a crash; %d bytes that nobody was told of were cut off.", n)
	}
	r := s.reach(ctx, lease.Fence(), true)
	defer func() { err = errors.Join(err, r.Close()) }()
	w := r.world(s.desired, s.batches(r, p))
	w.Patience = o.Patience
	driver := ops.New(w)
	if err := reachable(p, driver); err != nil {
		return err
	}
	consoles := s.keepConsoles()
	defer consoles.Close()
	live := view.NewLive(s.env.Out, s.env.Err, s.env.ErrStyle, view.LiveOptions{JSON: s.env.JSON, Redraw: s.env.Interactive, Now: s.env.Now})
	control, ended := s.control.begin(live)
	result, err := engine.Run(ctx, p, engine.Options{
		Scope: lease.Fence().Scope, Approver: s.approver, Lost: lease.Lost(), Journal: consoles.Journal(j), Limits: engine.DefaultLimits(), Observer: live, Control: control, Log: s.env.Log,
		Drivers: func(k plan.Kind) (engine.Driver, bool) { return consoles.Driver(driver), driver.Knows(k) },
	})
	ended()
	live.Close()
	if err == nil {
		err = reportRun(result, o.JUnit)
	}
	if err != nil || p.Empty() { // an empty plan settles what interrupted runs left open, and has nothing to show
		return err
	}
	s.marked = marked(result)
	if result.Kind == engine.Done {
		s.replicate(context.WithoutCancel(ctx), lease)
	}
	return s.finish(live, result)
}

func (e Env) socket() string { return filepath.Join(e.stateDir(), control.FileName) }

// unbuilt refuses a plan that names images without digests, or was made from an observation that was made up.
func (s *session) unbuilt(p plan.Plan) error {
	var errs []error
	for _, n := range p.Notes {
		if strings.Contains(n, "is not in the image store") || n == madeUp {
			errs = append(errs, errors.New(n))
		}
	}
	return errors.Join(errs...)
}

// proven has every plan that takes hosts out of service, or gives them back, checked by the independent verifier right before it is applied, whoever made it.
func proven(p plan.Plan) error {
	err := verify.Plan(p)
	if err == nil {
		return nil
	}
	return &Exit{Code: ExitRefused, Err: fmt.Errorf("the plan is not accepted by the verifier, so nothing was done: %w", err)}
}

// keepAddresses records what was allotted, so that a node keeps its address when others come and go.
func (s *session) keepAddresses(ctx context.Context, f state.Fence) error {
	b := state.Addresses(s.store, f)
	var writes []state.Write
	for key, p := range s.given {
		have, ok, err := b.Lookup(ctx, key)
		if err != nil {
			return err
		}
		if ok && have.IP == p.String() {
			continue
		}
		w, err := b.Write(key, state.Address{IP: p.String(), Given: s.env.Now().UTC()})
		if err != nil {
			return err
		}
		writes = append(writes, w)
	}
	if len(writes) == 0 {
		return nil
	}
	return s.store.Commit(ctx, f, writes...)
}

// finish shows how the run ended and gives its exit code.
func (s *session) finish(live *view.Live, r engine.Result) error {
	if err := live.Summary(r); err != nil {
		return err
	}
	code := map[engine.Kind]int{
		engine.Done: ExitDone, engine.Failed: ExitError, engine.Stale: ExitStale, engine.Halted: ExitHalted,
		engine.Interrupted: ExitInterrupted, engine.Aborted: ExitError,
	}[r.Kind]
	if code == ExitDone {
		return nil
	}
	return &Exit{Code: code, Err: r.Error(), Shown: true}
}
