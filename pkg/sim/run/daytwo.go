package run

import (
	"context"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// Rollback is Rollout back to the slots that hosts hold already: nothing is written. What a host becomes is the fleet's ClassAfter, which is of an
// older version where the older image has an older hypervisor.
func Rollback(f plan.Fleet, p plan.Policy, opt Options) Result {
	s := begin(f, p, opt)
	s.goal = plan.GoalRollback
	slots := s.world.Ports(nil).Slots
	for i, n := range s.world.Desired().Nodes {
		_, want := s.world.Spec(i)
		if !f.Hosts[i].Change {
			continue
		}
		if err := slots.Write(context.Background(), n, want, func(plan.Progress) {}); err != nil {
			s.out.Outcome, s.out.Why = Refused, err.Error()
			return s.out
		}
	}
	s.carryOut(f)
	return s.result()
}

// Drain drains hosts, asks whether they are drained, and gives them back. notDrained says what is on a host, that it lacks its cordon although the drain
// reports that it is done, or that it keeps it although it was given back; with faults, people may have done that.
func Drain(f plan.Fleet, hosts []int32, opt Options) (r Result, notDrained []string) {
	f = settled(f)
	p := plan.Policy{Method: plan.MethodDrain, Times: plan.Times{Settle: 5}}
	opt.Solve = func(f plan.Fleet, p plan.Policy) (plan.Certificate, error) {
		return wave.Drain(draining(f, hosts), p)
	}
	s := begin(f, p, opt)
	s.goal, s.monitor.Cordon = plan.GoalDrain, monitor.LongestDrain
	if !s.carryOut(f) || s.out.Outcome != Completed {
		return s.result(), nil
	}
	now := s.world.Time.Now()
	for _, h := range hosts {
		host := &s.world.Truth.Hosts[h]
		at := f.Hosts[h].Path
		if !host.Cordon.After(now) {
			notDrained = append(notDrained, fmt.Sprintf("%s is not cordoned", at))
		}
		if guests, err := s.world.Ports(nil).Guests.List(context.Background(), model.Node{Path: at}); err == nil {
			for _, g := range guests {
				if !g.Held {
					notDrained = append(notDrained, fmt.Sprintf("%s is on %s", g.Name, at))
				}
			}
		}
	}
	s.undrain(hosts)
	for _, h := range hosts {
		if s.out.Outcome == Completed && s.world.Truth.Hosts[h].Cordon.After(s.world.Time.Now()) {
			notDrained = append(notDrained, fmt.Sprintf("%s is not given back", f.Hosts[h].Path))
		}
	}
	return s.result(), notDrained
}

// settled is a fleet of which no host becomes another.
func settled(f plan.Fleet) plan.Fleet {
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		f.Hosts[i].ClassAfter = f.Hosts[i].Class
	}
	return f
}

// draining is a fleet of which some hosts are drained.
func draining(f plan.Fleet, hosts []int32) plan.Fleet {
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		f.Hosts[i].Change = slices.Contains(hosts, int32(i)) && !f.Hosts[i].Down
	}
	return f
}

// undrain gives hosts back by a plan of its own.
func (s *site) undrain(hosts []int32) {
	in := planner.Input{Goal: plan.GoalUndrain, Desired: s.world.Desired()}
	for _, h := range hosts {
		in.Targets = append(in.Targets, s.world.Truth.Fleet.Hosts[h].Path)
	}
	f, err := s.world.Fleet(context.Background(), nil)
	if err == nil {
		s.p, err = planner.FromState(in, initial(f, s.world, plan.GoalDrain))
	}
	if err == nil {
		err = verify.Plan(s.p)
	}
	if err != nil {
		s.out.Outcome, s.out.Why = Halted, err.Error()
		return
	}
	s.digest, s.journal, s.goal = s.p.Digest(), newJournal(), plan.GoalUndrain
	s.out.Outcome = Halted
	s.roll()
}
