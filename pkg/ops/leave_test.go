package ops_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// TestKillADecommission dies at every moment of every op of a decommission, and goes on with the same plan or with a new one. The node is out of everything
// at the end, and its disk is wiped.
func TestKillADecommission(t *testing.T) {
	for _, when := range []moment{beforeIntent, afterIntent, inTheAct, afterAct, afterDone} {
		for _, same := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/same plan %v", when, same), func(t *testing.T) {
				for i := range 7 {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) { killDecommission(newSiteOf(t, dir, opstest.LeavingSite(4)), i, when, same) })
				}
			})
		}
	}
}

func killDecommission(s *site, i int, when moment, same bool) {
	s.lab.Ready()
	leaves := s.node(0)
	plans := func() plan.Plan { return s.planTargets(plan.GoalDecommission, leaves) }
	p := plans()
	if p.Ops() != 7 && p.Ops() != 6 {
		s.t.Fatalf("it has %d ops", p.Ops())
	}
	if i >= p.Ops() {
		return
	}
	op := p.Stages[0].Order()[i]
	if !s.killAt(p, op.ID, when) {
		s.t.Errorf("%s: the process did not die", op.ID)
		return
	}
	time.Sleep(time.Minute)
	if !same {
		p = plans()
	}
	if res := s.run(s.t.Context(), p); res.Kind != engine.Done {
		s.t.Errorf("%s: going on is %s: %v", op.ID, res.Kind, res.Error())
	}
	if again := plans(); !again.AsDesired() {
		s.t.Errorf("%s: something is left to do: %d ops, %v", op.ID, again.Ops(), again.Left)
	}
	c := s.observe().Ceph[0]
	if len(c.Mons) != 3 || len(c.OSDs) != 3 {
		s.t.Errorf("%s: the cluster has %d monitors and %d OSDs", op.ID, len(c.Mons), len(c.OSDs))
	}
}
