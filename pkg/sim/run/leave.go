package run

import (
	"context"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Decommission takes one host out of service for good, after a drain where virtual machines run on it. left says what is still there although it is complete.
func Decommission(f plan.Fleet, host int32, opt Options) (r Result, left []string) {
	p := plan.Policy{Method: plan.MethodDrain, Times: plan.Times{Settle: 5}}
	opt.Solve = func(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
		return wave.Drain(draining(f, []int32{host}), p)
	}
	s := begin(settled(f), p, opt)
	s.goal, s.monitor.Cordon = plan.GoalDrain, monitor.LongestDrain
	if f.Hosts[host].Class >= 0 && (!s.carryOut(settled(f)) || s.out.Outcome != Completed) {
		return s.result(), nil
	}
	s.world.Retire(host)
	s.goal, s.leaves = plan.GoalDecommission, host
	if err := s.planLeaving(); err != nil {
		s.out.Outcome, s.out.Why = Refused, err.Error()
		return s.out, nil
	}
	s.journal, s.out.Outcome = newJournal(), Halted
	s.roll()
	if s.out.Outcome == Completed {
		left = s.rest(host)
	}
	return s.result(), left
}

// rest tells what of a host is left.
func (s *site) rest(host int32) (left []string) {
	t := &s.world.Truth
	if h := &t.Hosts[host]; h.Up || h.Daemons || !h.Gone {
		left = append(left, fmt.Sprintf("it is on %v, its daemons run %v, its OSDs are gone %v", h.Up, h.Daemons, h.Gone))
	}
	if n := len(t.PGsOf[host]); n > 0 {
		left = append(left, fmt.Sprintf("copies of %d acting sets are on it", n))
	}
	return left
}

// planLeaving plans to take the host out of service from what is there now.
func (s *site) planLeaving() error {
	d := s.world.Desired()
	p, err := planner.Make(planner.Input{Goal: plan.GoalDecommission, Targets: []model.Path{d.Nodes[s.leaves].Path}, Desired: d, Observed: s.world.Observe(context.Background())})
	if err == nil {
		err = verify.Plan(p)
	}
	if err != nil {
		return err
	}
	s.p, s.digest = p, p.Digest()
	return nil
}
