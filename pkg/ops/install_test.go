package ops_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func TestThreeBladesBecomeHosts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 3)
		p := s.plan(plan.GoalInstall)
		if res := s.run(t.Context(), p); res.Kind != engine.Done {
			t.Fatal(res.Error())
		}
		if again := s.plan(plan.GoalInstall); !again.Empty() {
			t.Errorf("a second plan is not empty: %v", again.Stages)
		}
		// The old plan is carried out: applying its file again does nothing.
		res := s.run(t.Context(), p)
		if res.Kind != engine.Done || len(res.With(engine.OpHeld)) != p.Ops() {
			t.Errorf("the same plan again: %s, %d of %d ops were so already: %v", res.Kind, len(res.With(engine.OpHeld)), p.Ops(), res.Error())
		}
		for i := range s.d.Nodes {
			if n := s.lab.Begun(s.node(i)); n != 1 {
				t.Errorf("%s was written %d times", s.node(i), n)
			}
		}
	})
}

// TestOneFailsOthersGoOn breaks one blade in each way; the others become hosts, and when it is mended it becomes one too.
func TestOneFailsOthersGoOn(t *testing.T) {
	for _, tc := range []struct {
		fault rack.Fault
		begun int // under the first apply
		total int // in the end
	}{
		{rack.Unreachable, 0, 1},
		{rack.Impostor, 0, 1},
		{rack.Forgetful, 0, 1},
		{rack.Hung, 0, 1},
		{rack.Refused, 0, 1},
		{rack.Silent, 1, 2},
		{rack.HostSilent, 1, 1},
		{rack.HostOther, 1, 1},
		{rack.LostReply, 0, 1},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, dir, 3)
				p := s.plan(plan.GoalInstall)
				s.lab.Break(s.node(1), tc.fault)
				res := s.run(t.Context(), p)
				if res.Kind != engine.Failed || len(res.With(engine.OpFailed)) != 1 || res.With(engine.OpFailed)[0].Op.Target != plan.NodeSubject(s.node(1)) {
					t.Fatalf("the run is %s: %v", res.Kind, res.Error())
				}
				for _, o := range res.With(engine.OpSkipped) {
					if o.Op.Target != plan.NodeSubject(s.node(1)) && o.Op.Target != plan.VMSubject("vm-02") {
						t.Errorf("%s did not go on", o.Op.Target)
					}
				}
				if n := s.lab.Begun(s.node(1)); n != tc.begun {
					t.Errorf("its disk was begun to be written %d times, want %d", n, tc.begun)
				}
				s.lab.Break(s.node(1), rack.Sound)
				s.apply()
				if n := s.lab.Begun(s.node(1)); n != tc.total {
					t.Errorf("in the end its disk was begun to be written %d times, want %d", n, tc.total)
				}
				if s.lab.Begun(s.node(0)) != 1 || s.lab.Begun(s.node(2)) != 1 {
					t.Error("a blade that was well was installed again")
				}
			})
		})
	}
}

// TestABMCThatKnowsNoOnce keeps the override for always: it is removed when it has done its work, and nothing fails.
func TestABMCThatKnowsNoOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 1)
		s.lab.Break(s.node(0), rack.Keeper)
		s.apply()
		if n := s.lab.Begun(s.node(0)); n != 1 {
			t.Errorf("its disk was begun to be written %d times, want once", n)
		}
		if got := s.observe().Nodes[0].BMC.BootOnce; got != "" {
			t.Errorf("its BMC still boots it from the %s", got)
		}
	})
}

func TestReinstall(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, dir, 2)
		s.apply()
		p := s.plan(plan.GoalReinstall)
		if !slices.ContainsFunc(p.Stages[0].Ops, func(o plan.Op) bool { return o.Kind == plan.InstallWait }) {
			t.Fatal("the plan installs nothing")
		}
		if res := s.run(t.Context(), p); res.Kind != engine.Done {
			t.Fatalf("%s: %v", res.Kind, res.Error())
		}
		for i := range s.d.Nodes {
			if n := s.lab.Begun(s.node(i)); n != 2 {
				t.Errorf("%s was written %d times in all, want 2", s.node(i), n)
			}
		}
		if again := s.plan(plan.GoalInstall); !again.Empty() {
			t.Errorf("a plan after the reinstall is not empty: %v", again.Stages)
		}
	})
}
