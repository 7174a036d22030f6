package ops_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// A machine that hangs in the warm restart behind its install is started cold, and its install goes on to its end unattended.
func TestAHostThatHangsInItsFirstBootIsStartedCold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.lab.Break(s.node(0), rack.HungFirst)
		if res := s.run(t.Context(), s.plan(plan.GoalInstall)); res.Kind != engine.Done {
			t.Fatalf("%s: %v", res.Kind, res.Error())
		}
		if p := s.plan(plan.GoalInstall); !p.Empty() {
			t.Error("something is left to do")
		}
	})
}

// Where the cold start does not help, it is not done a second time for the same install.
func TestAHostIsStartedColdOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.lab.Break(s.node(0), rack.HostSilent)
		for i, want := range []bool{true, false, false} {
			res := s.run(t.Context(), s.plan(plan.GoalInstall))
			if res.Kind != engine.Failed || strings.Contains(res.Error().Error(), "switched off and on once") != want {
				t.Errorf("apply %d: %s: %v", i+1, res.Kind, res.Error())
			}
		}
		s.lab.Break(s.node(0), rack.Sound)
		s.apply()
	})
}

// A host that has answered since it was laid down carries load: its machine is never switched off because it does not answer.
func TestAHostThatHasAnsweredIsNotSwitchedOff(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		all := s.plan(plan.GoalInstall)
		s.apply()
		var verify plan.Op
		for _, op := range all.Stages[0].Ops {
			if op.Kind == plan.HostVerify {
				verify = op
			}
		}
		s.lab.Break(s.node(0), rack.HostSilent)
		info, _ := verify.Kind.Info()
		ctx, cancel := context.WithTimeout(t.Context(), info.Timeout)
		defer cancel()
		if err := ops.New(s.lab.World()).Apply(ctx, verify, func(plan.Progress) {}); err == nil {
			t.Error("a host that does not answer was verified")
		}
		s.lab.Break(s.node(0), rack.Sound)
		if o := s.observe(); len(o.VMs) != 1 || o.VMs[0].State != "running" {
			t.Errorf("its virtual machine was stopped: %+v", o.VMs)
		}
	})
}

// A run that is stopped while a machine is off leaves it on.
func TestAColdStartIsNotLeftInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.lab.Break(s.node(0), rack.HungFirst)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := s.lab.World()
		offs := 0
		w.Machines = watched{w.Machines, func() {
			if offs++; offs == 2 { // the first is that of the install
				cancel()
			}
		}}
		d := ops.New(w)
		res := s.run(ctx, s.plan(plan.GoalInstall), func(o *engine.Options) {
			o.Drivers = func(k plan.Kind) (engine.Driver, bool) { return d, d.Knows(k) }
		})
		if res.Kind != engine.Interrupted {
			t.Errorf("%s: %v", res.Kind, res.Error())
		}
		if o := s.observe(); o.Nodes[0].BMC.Power != "on" {
			t.Errorf("the machine is %s", o.Nodes[0].BMC.Power)
		}
		s.apply()
	})
}

// watched are machines that tell when one has been switched off.
type watched struct {
	ops.Machines
	off func()
}

func (w watched) Open(ctx context.Context, n model.Node) (ops.Machine, error) {
	m, err := w.Machines.Open(ctx, n)
	return watchedMachine{m, w.off}, err
}

type watchedMachine struct {
	ops.Machine
	off func()
}

func (w watchedMachine) SetPower(ctx context.Context, want model.Power) error {
	err := w.Machine.SetPower(ctx, want)
	if want == model.PowerOff {
		w.off()
	}
	return err
}
