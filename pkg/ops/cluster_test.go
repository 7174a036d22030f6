package ops_test

import (
	"testing"
	"testing/synctest"

	"github.com/nuboctl/nuboctl/pkg/engine"
	"github.com/nuboctl/nuboctl/pkg/ops/opstest"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// TestSiteWithACluster: from nothing to a cluster in one run, nothing left to do after it, and what a lost reply hides is found by looking.
func TestSiteWithACluster(t *testing.T) {
	for name, fault := range map[string]rack.Fault{"nothing fails": rack.Sound, "a reply is lost": rack.LostReply} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSiteOf(t, t.TempDir(), opstest.CephSite(3))
				if fault == rack.Sound {
					if res := s.run(t.Context(), s.plan(plan.GoalInstall)); res.Kind != engine.Done {
						t.Fatal(res.Error())
					}
				} else {
					s.lab.Break(s.d.Nodes[1].Path, fault)
				}
				s.apply()
				o := s.observe()
				if len(o.Ceph) != 1 || len(o.Ceph[0].Mons) != 3 || len(o.Ceph[0].Mgrs) != 3 || len(o.Ceph[0].OSDs) != 3 {
					t.Errorf("the cluster is %+v", o.Ceph)
				}
			})
		})
	}
}

// TestReinstalledMemberOfACluster: a host that is laid down anew takes its daemons up again, and nobody makes a second cluster.
func TestReinstalledMemberOfACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, t.TempDir(), opstest.CephSite(3))
		s.apply()
		in := s.plan(plan.GoalInstall)
		if !in.Empty() {
			t.Fatalf("something is left to do: %v", in.Stages)
		}
		p := s.planTargets(plan.GoalReinstall, s.d.Nodes[2].Path)
		for _, st := range p.Stages {
			for _, o := range st.Ops {
				if o.Kind == plan.CephCreate {
					t.Error("a reinstall makes another cluster")
				}
			}
		}
		if res := s.run(t.Context(), p); res.Kind != engine.Done {
			t.Fatal(res.Error())
		}
		s.apply()
	})
}
