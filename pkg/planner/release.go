package planner

import (
	"fmt"
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// risen tells which release of Ceph each region goes to whose hosts get another one: from, to.
func risen(f plan.Fleet) map[model.Path][2]int {
	out := map[model.Path][2]int{}
	for _, h := range f.Hosts {
		if h.Change && h.Ceph > 0 && h.CephAfter > h.Ceph {
			out[h.Path.Region()] = [2]int{h.Ceph, h.CephAfter}
		}
	}
	return out
}

// rise refuses to let the release of an ill cluster rise, and tells a reader what is different about such a rollout. That its order can be kept is for package wave.
func (r *rollout) rise(f plan.Fleet) error {
	rises := risen(f)
	refusal := Refusal{Reasons: tooOld(f)}
	for _, c := range r.in.Observed.Ceph {
		step, ok := rises[c.Region]
		if !ok {
			continue
		}
		if c.Health == "HEALTH_ERR" {
			refusal.Reasons = append(refusal.Reasons, Reason{Invariant: "I7", Place: c.Region,
				Text: fmt.Sprintf("its cluster says HEALTH_ERR, and its release does not rise from %d to %d like that: %v", step[0], step[1], c.Checks), Remedy: "mend it first; ceph health detail tells more"})
			continue
		}
		r.note("Ceph of %s goes from release %d to %d: hosts with monitors first, in every zone, then managers, OSDs, and the others. This is one-way (I12): what OSDs of %d have written those of %d do not read",
			c.Region, step[0], step[1], step[1], step[0])
		if c.Require == 0 || !r.ends(c.Region) {
			r.note("when every OSD of %s has release %d, and not before, this is for you: ceph osd require-osd-release", c.Region, step[1])
		}
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

// tooOld refuses hosts with OSDs that would not start: of a release below what their cluster requires.
func tooOld(f plan.Fleet) (out []Reason) {
	for _, c := range f.Clusters {
		for _, i := range c.OSDHosts {
			if h := f.Hosts[i]; h.Change && h.CephAfter > 0 && h.CephAfter < c.Require {
				out = append(out, Reason{Invariant: "I7", Place: h.Path, Text: fmt.Sprintf("its OSDs would have Ceph %d, and its cluster starts none below %d any more (require-osd-release)", h.CephAfter, c.Require),
					Remedy: "go forward: name an image with Ceph " + strconv.Itoa(c.Require) + " or newer"})
			}
		}
	}
	return out
}
