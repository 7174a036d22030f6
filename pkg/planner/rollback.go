package planner

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// Packages are the versions of an image's packages by name, as Debian writes them.
type Packages map[string]string

// The packages whose versions decide what a host can take over from another, and what it can go back to.
const (
	qemuPackage = "qemu-system-x86"
	cephPackage = "ceph-common"
)

// Relevant reports whether the planner asks for a package's version.
func Relevant(name string) bool {
	for _, list := range needs {
		if slices.Contains(list, name) {
			return true
		}
	}
	return false
}

// QEMU are the versions of QEMU that images bring, as far as their packages are known.
func (in Input) QEMU() map[model.Digest]string {
	out := map[model.Digest]string{}
	for image, packages := range in.Packages {
		if v := packages[qemuPackage]; v != "" {
			out[image] = facts.Upstream(v)
		}
	}
	return out
}

// Ceph are the major releases of Ceph that images bring, as far as their packages are known.
func (in Input) Ceph() map[model.Digest]int {
	out := map[model.Digest]int{}
	for image, packages := range in.Packages {
		if n := major(packages); n > 0 {
			out[image] = n
		}
	}
	return out
}

// chooseBack finds the targets that run what the inventory asks for and still hold in their idle slot what they ran before. A host that runs something
// else is not asked to: it has gone back already, or it never came here; so planning a rollback that was interrupted again goes on with it, and never
// turns a host twice.
func (r *rollout) chooseBack() error {
	seen := map[model.Path]*model.ObservedHost{}
	for i := range r.in.Observed.Nodes {
		seen[r.in.Observed.Nodes[i].Path] = &r.in.Observed.Nodes[i].Host
	}
	var refusal Refusal
	for i := range r.in.Desired.Nodes {
		n := &r.in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		if !r.targeted(n.Path) || n.Adopted {
			continue
		}
		h := seen[n.Path]
		switch {
		case h == nil || !h.Reachable:
			r.stay(n.Path, "it does not answer: it is not rolled back, and counts as lost in every batch", "bring it back, then: nuboctl rollback "+n.Name)
		case facts.HostSpec(h.Image, h.Config) != facts.HostSpec(r.in.Images[n.Image.Name], n.Config):
			r.stay(n.Path, "it does not run what the inventory asks for, so it has been rolled back already or was changed otherwise",
				"to bring it to what the inventory asks for: nuboctl upgrade "+n.Name+"; to roll it back from another image than the inventory's: --image NAME@DIGEST with the image it runs")
		default:
			if why := r.cannotGoBack(n, h); why != nil {
				refusal.Reasons = append(refusal.Reasons, *why)
				continue
			}
			r.want[n.Path] = string(facts.HostSpec(h.Idle.Image, h.Idle.Config))
			r.back[n.Path] = h.Idle.Image
		}
	}
	if len(refusal.Reasons) > 0 {
		return &refusal
	}
	return nil
}

// cannotGoBack says why a host cannot boot its idle slot again; nil when it can.
func (r *rollout) cannotGoBack(n *model.Node, h *model.ObservedHost) *Reason {
	no := func(text, remedy string) *Reason {
		return &Reason{Invariant: "I12", Place: n.Path, Text: text, Remedy: remedy}
	}
	write := "name the older image and have it written again: nuboctl upgrade " + n.Name + " --image NAME@DIGEST"
	switch {
	case h.Idle == nil:
		return no("its idle slot holds nothing complete, so there is nothing to go back to", write)
	case !h.Idle.Proven:
		return no("what its idle slot holds was written and never proven good, so it is not what ran before", write)
	case h.Idle.Image == h.Image && h.Idle.Config == h.Config:
		return no("both of its slots hold the same", write)
	case h.Idle.Image == h.Image || !slices.ContainsFunc(n.Roles, func(x model.Role) bool { return slices.Contains(facts.CephRoles(), x) }):
		return nil
	}
	from, to := major(r.in.Packages[h.Image]), major(r.in.Packages[h.Idle.Image])
	switch required := r.required(n.Path.Region()); {
	case to > 0 && to < required:
		return no(fmt.Sprintf("the cluster of %s starts no OSD below Ceph %d any more (require-osd-release), and the older slot has Ceph %d: that step was one-way", n.Path.Region(), required, to),
			"go forward: mend the image and upgrade to that")
	case from == 0 || to == 0:
		return no(fmt.Sprintf("whether Ceph of image %s can go on with what that of %s has written is not known, since the packages of one are not", h.Idle.Image.Short(), h.Image.Short()),
			"bring both images into the image store; nuboctl image list shows those that are there")
	case to < from:
		return no(fmt.Sprintf("Ceph %d has run there, and Ceph %d of the older slot cannot read what it wrote: this step was one-way", from, to), "go forward: mend the image and upgrade to that")
	}
	return nil
}

// major is the first number of the Ceph of an image; 0: not known.
func major(p Packages) int { return cephMajor(p[cephPackage]) }

// backwards adds to a refusal why room is scarcer than it looks when hosts go back to an older hypervisor.
func backwards(err error, f plan.Fleet) error {
	var refused *Refusal
	n, first := 0, model.Path("")
	for _, h := range f.Hosts {
		if h.Change && h.Class >= 0 && h.ClassAfter >= 0 && f.Classes[h.ClassAfter].Version < f.Classes[h.Class].Version {
			if n++; n == 1 {
				first = h.Path
			}
		}
	}
	if n == 0 || !errors.As(err, &refused) {
		return err
	}
	return &Refusal{Reasons: append(slices.Clone(refused.Reasons), Reason{Invariant: "I7", Place: first,
		Text:   plural(n, "host goes", "hosts go") + " back to an older hypervisor, or to one that is not known; no virtual machine moves from a newer one to an older one, so each host that is back takes none of those that still have to leave the others",
		Remedy: "roll back fewer hosts, so that the others can take their virtual machines, or stop virtual machines with their owners' consent"})}
}

// changes are what the rollout makes of the fleet.
func (r *rollout) changes() facts.Changes {
	c := facts.Changes{Nodes: func(n model.Node) bool { return r.want[n.Path] != "" }, QEMU: r.in.QEMU(), Ceph: r.in.Ceph()}
	if r.inPlace() {
		c.InPlace, c.Brings = true, facts.BringsQEMU(r.in.Desired.Rollout.Snapshot)
	}
	if r.in.Goal == plan.GoalRollback {
		c.Back = true
		c.Image = func(n model.Node) model.Digest { return r.back[n.Path] }
	}
	return c
}
