// Package run lets the real planner, verifier, engine and ops roll a fleet in a simulated data centre, with nuboctl killed and started again on the way,
// under the eyes of the monitor.
package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/certify"
	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Outcome is how a rollout ended.
type Outcome string

// The outcomes. Refused means that there is no safe plan, so that nothing was begun.
const (
	Completed Outcome = "completed"
	Halted    Outcome = "halted"
	Refused   Outcome = "refused"
)

// Result is what came of one rollout.
type Result struct {
	Seed       uint64
	Outcome    Outcome
	Why        string // of a rollout that is not complete: the last error
	Violations []monitor.Violation
	Makespan   time.Duration // simulated
	Rounds     int
	Bound      plan.Bound
	Runs       int // how often nuboctl was started
	Kills      int
	Replans    int
	Ops        int
}

// Options are what a rollout is made of beside its fleet.
type Options struct {
	Seed   uint64
	Faults world.Faults
	// Solve makes the certificate; wave.Solve unless set.
	Solve func(plan.Fleet, plan.Policy) (plan.Certificate, error)
	// Reckless leaves out every check of what Solve made, and of whether it still holds when a host goes.
	Reckless bool
	// Careless takes away the refusals of the simulated services as well: placement's of a full host, and Ceph's. A test of the monitor.
	Careless bool

	dies   func(r state.Record, written bool) bool // where nuboctl is killed, beside the faults' own
	damage func(*plan.Plan)                        // done to each plan that is made
}

// A rollout that does not come to its end in so many starts of nuboctl, or one for each host, is halted; after each the operator waits. Those that
// follow a kill do not count. What earlier plans have left on hosts is taken off at the end, in so many tries.
const (
	mostRuns    = 60
	afterKill   = 5 * time.Minute
	afterHalt   = 30 * time.Minute
	leftTries   = 15
	replanAfter = 3 // stale or halted results in a row after which the operator plans again
)

// Rollout carries out one rollout from plan to end.
func Rollout(f plan.Fleet, p plan.Policy, opt Options) Result {
	s := begin(f, p, opt)
	s.carryOut(f)
	return s.result()
}

func begin(f plan.Fleet, p plan.Policy, opt Options) *site {
	if opt.Solve == nil {
		opt.Solve = wave.Solve
	}
	s := &site{opt: opt, policy: p, rng: rnd(opt.Seed), journal: newJournal(), out: Result{Seed: opt.Seed}}
	s.world = world.New(f, world.Options{Seed: opt.Seed, Faults: opt.Faults, Careless: opt.Careless, Packages: snapshot(p, opt.Seed)})
	s.monitor = monitor.New(opt.Seed, s.world.Time.Now())
	s.monitor.OneWay = s.oneWay
	s.world.Watch(s.monitor)
	return s
}

// oneWay reports whether an op of the plan about a host is marked as one-way.
func (s *site) oneWay(host model.Path) bool {
	for _, stage := range s.p.Stages {
		for _, o := range stage.Ops {
			if info, _ := o.Kind.Info(); o.Target == plan.NodeSubject(host) && !info.Reversible {
				return true
			}
		}
	}
	return false
}

// carryOut plans and rolls; it reports whether there was a plan.
func (s *site) carryOut(f plan.Fleet) bool {
	if err := s.plan(f); err != nil {
		s.out.Outcome, s.out.Why = Refused, err.Error()
		return false
	}
	s.out.Rounds, s.out.Bound = len(s.p.Certificate.Batches), s.p.Certificate.Bound
	s.roll()
	return true
}

// result has the monitor look once more.
func (s *site) result() Result {
	if s.out.Outcome == Refused {
		return s.out
	}
	s.out.Makespan = s.world.Time.Since()
	s.monitor.End(&s.world.Truth, s.world.Time.Now(), s.out.Outcome == Completed)
	s.out.Violations = s.monitor.Violations
	return s.out
}

// rnd are the dice of the workstation: when nuboctl is killed, and how long a person takes.
func rnd(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6b696c6c)) }

// site is a workstation beside a simulated data centre.
type site struct {
	opt     Options
	policy  plan.Policy
	goal    plan.Goal
	rng     *rand.Rand
	world   *world.World
	monitor *monitor.Monitor
	journal *journal
	p       plan.Plan
	digest  model.Digest // of p, which is validated once
	leaves  int32        // the host that a decommission is about
	out     Result
}

// plan makes the plan for a fleet, and has it verified.
func (s *site) plan(f plan.Fleet) error {
	c, err := s.opt.Solve(f, s.policy)
	if err != nil {
		return err
	}
	p := stages(c, s.world, s.goal)
	if s.opt.damage != nil {
		s.opt.damage(&p)
	}
	if !s.opt.Reckless {
		if err := verify.Plan(p); err != nil {
			return fmt.Errorf("the planner's own plan is not accepted: %w", err)
		}
	}
	s.p, s.digest = p, p.Digest()
	return nil
}

// roll starts nuboctl until the rollout is over.
func (s *site) roll() {
	stuck := 0
	for s.out.Runs-s.out.Kills < max(mostRuns, len(s.world.Truth.Hosts)) {
		res, killed := s.start()
		switch {
		case killed:
			s.out.Kills++
			s.wait(afterKill)
			continue
		case res.Kind == engine.Done:
			s.out.Outcome = Completed
			for range leftTries {
				if s.out.Replans == 0 {
					break
				}
				released, taken := s.release(), s.takeBack()
				if released && taken {
					break
				}
				s.wait(afterHalt)
			}
			return
		}
		s.out.Outcome = Halted
		if err := res.Error(); err != nil {
			s.out.Why = err.Error()
		}
		s.wait(afterHalt)
		if stuck++; res.Kind != engine.Stale && res.Kind != engine.Halted {
			stuck = 0
		}
		if stuck >= replanAfter {
			stuck = 0
			s.replan()
		}
	}
}

// wait is what a person takes until he types the command again.
func (s *site) wait(most time.Duration) {
	s.world.Time.Until(s.world.Time.Since() + most/3 + time.Duration(s.rng.Int64N(int64(most))))
}

// replan plans again from what is there now, as a stale plan tells its reader to, and gives back what the old plan has left on hosts that are changed already.
func (s *site) replan() {
	if s.goal == plan.GoalDecommission {
		if s.planLeaving() == nil {
			s.out.Replans++
		}
		return
	}
	s.takeBack()
	f, err := s.world.Fleet(context.Background(), nil)
	if err != nil {
		return
	}
	if s.plan(f) != nil {
		return // the next try may find more hosts up
	}
	for i := range f.Hosts { // what we took down and has failed is lost from here on: the new plan reckons without it
		if h := &s.world.Truth.Hosts[i]; f.Hosts[i].Down && h.Ours {
			h.Ours, h.OursCeph = false, false
		}
	}
	s.out.Replans++
	s.release()
}

// takeBack does what nuboctl abort does before somebody plans again: on hosts that answer, daemons that the old plan has stopped are started, its marks removed, its order taken back, and
// machines that it has stopped with consent started. Without that, OSDs that were left stopped are marked out in the end and forgotten, and the new plan takes
// another host down beside them. It is done once more when all is over, for hosts that did not answer when they were planned without; it reports whether
// nothing is left.
func (s *site) takeBack() bool {
	d, all := ops.New(s.world.Ports(s.certifier())), true
	for i := range s.world.Truth.Hosts {
		h := &s.world.Truth.Hosts[i]
		if !h.OursCeph && !h.Cordon.After(s.world.Time.Now()) && !s.holds(h) {
			continue
		}
		if !h.Up {
			all = false
			continue
		}
		for _, k := range []plan.Kind{plan.CephStart, plan.CephRestore, plan.OrderRecall, plan.HostUncordon} {
			op := plan.Op{Kind: k, Target: plan.NodeSubject(s.world.Truth.Fleet.Hosts[i].Path)}
			if d.Apply(context.Background(), op, func(plan.Progress) {}) != nil {
				all = false // it is tried again
				break
			}
		}
	}
	return all
}

// holds reports whether machines that we stopped wait on a host, also where somebody has taken its cordon away.
func (s *site) holds(h *world.Host) bool {
	return slices.ContainsFunc(h.Guests, func(v int32) bool { return s.world.Truth.VMs[v].State == world.Held })
}

// release takes off the marks that earlier plans have left on hosts that are changed already, and reports whether none is left on one that is up.
func (s *site) release() bool {
	d, all := ops.New(s.world.Ports(s.certifier())), true
	give := func(k plan.Kind, host int, set bool) {
		if set {
			op := plan.Op{Kind: k, Target: plan.NodeSubject(s.world.Truth.Fleet.Hosts[host].Path)}
			all = d.Apply(context.Background(), op, func(plan.Progress) {}) == nil && all
		}
	}
	for i := range s.world.Truth.Hosts {
		if h := &s.world.Truth.Hosts[i]; h.New && h.Up {
			now := s.world.Time.Now()
			give(plan.HostUncordon, i, h.Cordon.After(now) || s.holds(h))
			give(plan.CephRestore, i, h.Noout.After(now))
		}
	}
	return all
}

func (s *site) certifier() ops.Batches {
	if s.opt.Reckless {
		return careless{s}
	}
	if s.p.Certificate == nil { // every host is changed already: a plan made again has nothing to do
		return certify.New(plan.Certificate{}, s.world)
	}
	return certify.New(*s.p.Certificate, s.world)
}

func (s *site) ports() ops.World {
	if s.goal == plan.GoalDecommission {
		return s.world.Leaving(s.certifier())
	}
	return s.world.Ports(s.certifier())
}

// start runs nuboctl once, and reports whether it was killed.
func (s *site) start() (engine.Result, bool) {
	s.out.Runs++
	ctx, kill := context.WithCancelCause(context.Background())
	defer kill(nil)
	s.journal.begin(kill)
	s.journal.dies = s.dies
	d := ops.New(s.ports())
	res, err := engine.Run(ctx, s.p, engine.Options{
		Run: fmt.Sprintf("run-%d", s.out.Runs), Approver: "simulation", Checked: s.digest, Journal: s.journal,
		Limits: engine.DefaultLimits(), Clock: s.world.Time, Executor: s.world.Time,
		Drivers: func(k plan.Kind) (engine.Driver, bool) { return d, d.Knows(k) },
	})
	s.out.Ops += len(res.With(engine.OpDone))
	if err != nil && !errors.Is(err, errKilled) {
		res.Kind, res.Err = engine.Failed, err
	}
	return res, s.journal.dead
}

// dies decides where nuboctl is killed.
func (s *site) dies(r state.Record, written bool) bool {
	if s.opt.dies != nil && s.opt.dies(r, written) {
		return true
	}
	return s.opt.Faults.Kill > 0 && s.rng.Float64() < s.opt.Faults.Kill/2
}
