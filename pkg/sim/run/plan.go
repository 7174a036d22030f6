package run

import (
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// stages has the planner make the plan of a certificate, from what is there now.
func stages(c plan.Certificate, w *world.World, goal plan.Goal) plan.Plan {
	d := w.Desired()
	images := map[string]model.Digest{}
	for _, n := range d.Nodes {
		images[n.Image.Name] = n.Image.Digest
	}
	return planner.Certified(planner.Input{Goal: goal, Desired: d, Images: images}, initial(c.Fleet, w, goal), c)
}

// snapshot is what hosts get in place under a policy; the zero value where they get another image. Where machines stay, every other seed leaves Ceph alone.
func snapshot(p plan.Policy, seed uint64) model.Snapshot {
	if !p.InPlace() {
		return model.Snapshot{}
	}
	s := model.Snapshot{Name: "fix", Packages: []model.SnapshotPackage{{Name: "libssl3", Version: "3.0.11-2"}}}
	if !p.Stays {
		s.Packages = append(s.Packages, model.SnapshotPackage{Name: "openvswitch-switch", Version: "3.1.0-3"})
	} else if seed%2 == 0 {
		s.Packages = append(s.Packages, model.SnapshotPackage{Name: "ceph-osd", Version: "18.2.7-2"})
	}
	s.Digest = model.DigestJSON(s)
	return s
}

// initial are the facts that an observation would show.
func initial(f plan.Fleet, w *world.World, goal plan.Goal) plan.State {
	ceph := map[int32]bool{}
	for i := range f.Clusters {
		for _, h := range f.Clusters[i].OSDHosts {
			ceph[h] = true
		}
	}
	for i := range f.Groups {
		for _, h := range f.Groups[i].Hosts {
			ceph[h] = ceph[h] || !world.OnHost(&f.Groups[i])
		}
	}
	st := plan.State{}
	for _, c := range f.Clusters {
		if c.Require > 0 {
			st.Set(plan.Fact{Subject: plan.CephSubject(c.Region), Attr: plan.AttrRequire, Value: strconv.Itoa(c.Require)})
		}
	}
	for i := range f.Hosts {
		now := &w.Truth.Hosts[i]
		spec, want := w.Spec(i)
		if now.New {
			spec = want
		}
		if f.Hosts[i].Down {
			continue
		}
		sub := plan.NodeSubject(f.Hosts[i].Path)
		st.Set(plan.Fact{Subject: sub, Attr: plan.AttrHost, Value: string(spec)})
		if now.New {
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrPackages, Value: string(w.Desired().Rollout.Snapshot.Digest)})
		}
		if goal == plan.GoalRollback && !now.New {
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrIdle, Value: string(want)})
		}
		if goal == plan.GoalDrain && now.Cordon.After(w.Time.Now()) {
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrCordon, Value: map[bool]string{true: plan.Drained, false: plan.Set}[now.Drained]})
		}
		if ceph[int32(i)] {
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrCeph, Value: plan.Up})
			st.Set(plan.Fact{Subject: sub, Attr: plan.AttrKept, Value: w.Data(i)})
		}
	}
	return st
}
