package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// rising is a region that goes from Ceph 16 to 18, with three hosts for its monitors alone.
func rising() planner.Input {
	in := rolled(6)
	in.Packages = map[model.Digest]planner.Packages{older: {"ceph-common": "16.2.15+ds-0"}, imageDigest: {"ceph-common": "18.2.7+ds-1"}}
	c := &in.Observed.Ceph[0]
	for i := range in.Desired.Nodes {
		in.Desired.Nodes[i].Image.Digest = imageDigest
	}
	c.Mons, c.Mgrs = nil, nil
	for i, at := range []model.Path{"s/r/az1/rack-7/mon1", "s/r/az1/rack-8/mon2", "s/r/az2/rack-7/mon3"} {
		in.Desired.Nodes = append(in.Desired.Nodes, model.Node{Path: at, Name: at.Name(), Profile: "p", Roles: []model.Role{model.RoleCephMon, model.RoleCephMgr},
			Image: model.ImageRef{Name: "debian-13", Digest: imageDigest}, Config: model.DigestBytes([]byte(at))})
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: at, Host: model.ObservedHost{Reachable: true, Image: older, Config: model.DigestBytes([]byte(at))}})
		d := model.ObservedDaemon{Name: at.Name(), Node: at, Up: true, Active: i == 0}
		c.Mons, c.Mgrs = append(c.Mons, d), append(c.Mgrs, d)
	}
	return in
}

// The plan for another major release of Ceph takes all monitors' hosts first, is accepted, and says what is one-way about it.
func TestCephRisesMonitorsFirst(t *testing.T) {
	in := rising()
	in.Desired.Rollout.MaxUnavailable = "1 host per zone"
	monitorsFirst(t, mustMake(t, in))
}

// The image that hosts run may be gone from the store, as after a change of the workstation: what they have is then told by their daemons.
func TestCephRisesFromAnImageThatNobodyKnows(t *testing.T) {
	in := rising()
	in.Desired.Rollout.MaxUnavailable = "1 host per zone"
	delete(in.Packages, older)
	c := &in.Observed.Ceph[0]
	for i := range c.Mons {
		c.Mons[i].Version, c.Mgrs[i].Version = "16.2.15", "16.2.15"
	}
	for i := range c.OSDs {
		c.OSDs[i].Version = "16.2.15"
	}
	monitorsFirst(t, mustMake(t, in))
}

func monitorsFirst(t *testing.T, p plan.Plan) {
	t.Helper()
	if err := verify.Plan(p); err != nil {
		t.Fatal(err)
	}
	mons := 0
	for i, b := range p.Certificate.Batches {
		for _, h := range b.Hosts {
			if at := p.Certificate.Fleet.Hosts[h].Path; strings.HasPrefix(at.Name(), "mon") {
				mons++
			} else if mons < 3 {
				t.Fatalf("batch %d takes %s before all monitors' hosts", i, at)
			}
		}
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool {
		return strings.Contains(n, "from release 16 to 18") && strings.Contains(n, "one-way")
	}) {
		t.Errorf("nobody is told: %q", p.Notes)
	}
}

// A cluster that is ill, and hosts that hold monitors and OSDs, are refused with the reason.
func TestCephDoesNotRise(t *testing.T) {
	for text, damage := range map[string]func(*planner.Input){
		"says HEALTH_ERR":                          func(in *planner.Input) { in.Observed.Ceph[0].Health = "HEALTH_ERR" },
		"it holds a monitor and OSDs: its OSDs wo": func(in *planner.Input) { in.Observed.Ceph[0].Mons[0].Node = in.Desired.Nodes[0].Path },
	} {
		in := rising()
		damage(&in)
		var refused *plan.Refusal
		if _, err := planner.Make(in); !errors.As(err, &refused) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
