package planner_test

import (
	"errors"
	"reflect"
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
	in.Packages = map[model.Digest]planner.Packages{older: brings("", "16.2.15+ds-0"), imageDigest: brings("", "18.2.7+ds-1")}
	c := &in.Observed.Ceph[0]
	for i := range in.Desired.Nodes {
		in.Desired.Nodes[i].Image.Digest = imageDigest
	}
	c.Mons, c.Mgrs = nil, nil
	c.Require, c.FSID = 16, "f"
	for i := range c.OSDs {
		c.OSDs[i].Version = "16.2.15"
	}
	for i, at := range []model.Path{"s/r/az1/rack-7/mon1", "s/r/az1/rack-8/mon2", "s/r/az2/rack-7/mon3"} {
		in.Desired.Nodes = append(in.Desired.Nodes, model.Node{Path: at, Name: at.Name(), Profile: "p", Roles: []model.Role{model.RoleCephMon, model.RoleCephMgr},
			Image: model.ImageRef{Name: "debian-13", Digest: imageDigest}, Config: model.DigestBytes([]byte(at))})
		in.Observed.Nodes = append(in.Observed.Nodes, model.ObservedNode{Path: at, Host: model.ObservedHost{Reachable: true, Image: older, Config: model.DigestBytes([]byte(at))}})
		d := model.ObservedDaemon{Name: at.Name(), Node: at, Up: true, Active: i == 0, Version: "16.2.15"}
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
	told(t, p, "from release 16 to 18", "one-way")
	told(t, p, "the last step has the cluster of s/r start no OSD of a release below 18 any more", "one-way")
	last := p.Stages[len(p.Stages)-1]
	if len(last.Ops) != 1 || last.Ops[0].Kind != plan.CephRequire || p.Certificate.Batches[len(p.Certificate.Batches)-1].Stage != len(p.Stages)-2 {
		t.Errorf("it ends with %+v", last)
	}
	if final := p.Final().Get("ceph:s/r", plan.AttrRequire); final != "18" {
		t.Errorf("at the end its cluster requires %q", final)
	}
}

// told demands a note with all of these words.
func told(t *testing.T, p plan.Plan, words ...string) {
	t.Helper()
	if !slices.ContainsFunc(p.Notes, func(n string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(n, w) })
	}) {
		t.Errorf("nobody is told %q: %q", words, p.Notes)
	}
}

// endings are the ops of a plan that end the rise of a cluster.
func endings(p plan.Plan) (out []plan.Op) {
	for _, s := range p.Stages {
		for _, o := range s.Ops {
			if o.Kind == plan.CephRequire {
				out = append(out, o)
			}
		}
	}
	return out
}

// Planned again from any stage, it ends alike: behind the last batch with nothing but that step, and behind that with nothing.
func TestReplanTheEndOfARise(t *testing.T) {
	in := rising()
	p := mustMake(t, in)
	for at := len(p.Stages) - 3; at <= len(p.Stages); at++ {
		again, err := planner.FromState(in, p.StateBefore(at))
		if err != nil {
			t.Fatal(err)
		}
		if err := verify.Plan(again); err != nil {
			t.Errorf("from stage %d: %v", at+1, err)
		}
		if len(again.Stages) != len(p.Stages)-at {
			t.Errorf("from stage %d it has %d stages, not %d", at+1, len(again.Stages), len(p.Stages)-at)
		}
		if n := len(again.Stages); n > 0 && !reflect.DeepEqual(again.Stages[n-1].Ops, p.Stages[len(p.Stages)-1].Ops) {
			t.Errorf("from stage %d it ends with %+v", at+1, again.Stages[n-1].Ops)
		}
	}
}

// risen is that region when every host has Ceph 18 and the cluster still requires 16.
func risen() planner.Input {
	in := rising()
	c := &in.Observed.Ceph[0]
	for i := range in.Observed.Nodes {
		in.Observed.Nodes[i].Host.Image = imageDigest
	}
	for i := range c.OSDs {
		c.OSDs[i].Version = "18.2.7"
	}
	for i := range c.Mons {
		c.Mons[i].Version = "18.2.7"
	}
	return in
}

// A rise is ended by the plan that brings the last host; and by one of its own where that one was not carried out to its end.
func TestTheEndOfARise(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(in *planner.Input)
		want   int
		note   string
	}{
		{"by the last host", func(in *planner.Input) { in.Observed.Nodes[3].Host.Image = older }, 1, "below 18 any more"},
		{"with no host left", func(*planner.Input) {}, 1, "below 18 any more"},
		{"ended already", func(in *planner.Input) { in.Observed.Ceph[0].Require = 18 }, 0, ""},
		{"not known", func(in *planner.Input) { in.Observed.Ceph[0].Require = 0 }, 0, ""},
		{"a cluster of somebody else", func(in *planner.Input) { in.Desired.Regions[0].Ceph.Adopted = true }, 0, ""},
		{"of another place", func(in *planner.Input) { in.Targets = []model.Path{"s/q"} }, 0, ""},
		{"an OSD is down", func(in *planner.Input) { in.Observed.Ceph[0].OSDs[2].Up = false }, 0, ""},
		{"an OSD is older", func(in *planner.Input) { in.Observed.Ceph[0].OSDs[2].Version = "16.2.15" }, 0, ""},
		{"a monitor is older", func(in *planner.Input) { in.Observed.Ceph[0].Mons[1].Version = "17.2.0" }, 1, "below 17 any more"},
		{"ill", func(in *planner.Input) { in.Observed.Ceph[0].Health = "HEALTH_ERR" }, 0, ""},
		{"one host of two stays", func(in *planner.Input) {
			in.Observed.Nodes[3].Host.Image, in.Observed.Nodes[4].Host.Image = older, older
			in.Targets = []model.Path{in.Desired.Nodes[4].Path}
		}, 0, "goes on to let OSDs of release 16 start: s/r/az1/rack-1/n03 has OSDs, and stays with 16"},
		{"one host is down", func(in *planner.Input) {
			in.Observed.Nodes[3].Host.Reachable, in.Observed.Nodes[4].Host.Image = false, older
		}, 0, "n03 has OSDs and is down"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := risen()
			tc.change(&in)
			p := mustMake(t, in)
			if err := verify.Plan(p); err != nil {
				t.Error(err)
			}
			if got := endings(p); len(got) != tc.want {
				t.Errorf("it ends the rise with %+v", got)
			}
			if tc.note != "" {
				told(t, p, tc.note)
			}
		})
	}
}

// From then on there is no way back: a rollback into slots with the older release is refused, whatever is known of what runs now; and so is an image that brings it.
func TestNoWayBackBehindTheEnd(t *testing.T) {
	back := upgraded(6)
	back.Packages = map[model.Digest]planner.Packages{older: brings("", "16.2.15+ds-0")}
	image := rising()
	image.Packages = map[model.Digest]planner.Packages{imageDigest: brings("", "16.2.15+ds-0")}
	for text, in := range map[string]*planner.Input{
		"the cluster of s/r starts no OSD below Ceph 18 any more (require-osd-release), and the older slot has Ceph 16": &back,
		"its OSDs would have Ceph 16, and its cluster starts none below 18 any more":                                    &image,
	} {
		in.Observed.Ceph[0].Require, in.Observed.Ceph[0].FSID = 18, "f"
		var refused *plan.Refusal
		if _, err := planner.Make(*in); !errors.As(err, &refused) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
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
