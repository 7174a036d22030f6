package planner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// inPlace reports whether hosts get packages and keep running what they were laid down as.
func (r *rollout) inPlace() bool { return r.policy.InPlace() }

// changed is the attribute that tells whether a host is what it is wanted to be.
func (r *rollout) changed() plan.Attr {
	if r.inPlace() {
		return plan.AttrPackages
	}
	return plan.AttrHost
}

// choosePackages finds the targets that do not have the snapshot's packages, and refuses what cannot be put in place.
func (r *rollout) choosePackages() error {
	snap := r.in.Desired.Rollout.Snapshot
	if err := usable(snap); err != nil {
		return err
	}
	seen := map[model.Path]*model.ObservedHost{}
	for i := range r.in.Observed.Nodes {
		seen[r.in.Observed.Nodes[i].Path] = &r.in.Observed.Nodes[i].Host
	}
	why := refusals{}
	for i := range r.in.Desired.Nodes {
		n := &r.in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		if !r.targeted(n.Path) || n.Leaves() || n.Adopted {
			continue
		}
		h := seen[n.Path]
		switch {
		case h == nil || !h.Reachable:
			r.stay(n.Path, "it does not answer, or is not installed: it gets no packages, and counts as lost in every batch", "bring it back or install it, then: nuboctl upgrade "+n.Name+" --packages "+snap.Name)
		case h.Packages == nil || h.Packages.Against != snap.Digest:
			r.stay(n.Path, "which packages it has is not known: it gets none", "observe it again: a recorded observation must be one for this snapshot")
		case facts.Installed(snap, *h.Packages):
		default:
			unfit(snap, n.Path, *h.Packages, why)
			r.want[n.Path] = string(snap.Digest)
		}
	}
	return why.refusal()
}

// usable refuses a snapshot that cannot be put in place on any host.
func usable(s model.Snapshot) error {
	no := func(text, remedy string) error {
		return &Refusal{Reasons: []Reason{{Invariant: "I12", Text: text, Remedy: remedy}}}
	}
	switch {
	case s.Name == "":
		return no("the method packages needs a snapshot, and none is named", "nuboctl upgrade --packages NAME, or rollout { snapshot = \"NAME\" }; nuboctl image snapshot NAME --from DIR makes one of .deb files")
	case s.Digest == "":
		return no("snapshot "+s.Name+" is not in the image store", "nuboctl image snapshot "+s.Name+" --from DIR makes it of the .deb files in DIR")
	}
	var boot []string
	for _, p := range s.Packages {
		if plan.BootPackage(p.Name) {
			boot = append(boot, p.Name)
		}
	}
	if len(boot) > 0 {
		return no(fmt.Sprintf("snapshot %s holds what takes effect only when the machine restarts: %s", s.Name, strings.Join(boot, ", ")),
			"leave them out of the snapshot, and bring them with an image: nuboctl image build, then nuboctl upgrade with rollout { method = \"slot\" }")
	}
	return nil
}

// refusals collects hosts by what is wrong with them, so that a reason that many share is told once.
type refusals map[Reason][]model.Path

func (r refusals) add(at model.Path, invariant, text, remedy string) {
	k := Reason{Invariant: invariant, Text: text, Remedy: remedy}
	r[k] = append(r[k], at)
}

func (r refusals) refusal() error {
	if len(r) == 0 {
		return nil
	}
	var out Refusal
	for _, k := range slices.SortedFunc(maps.Keys(r), func(a, b Reason) int { return strings.Compare(a.Text, b.Text) }) {
		hosts := r[k]
		if k.Place = hosts[0]; len(hosts) > 1 {
			k.Text += fmt.Sprintf(" (so on %d hosts)", len(hosts))
		}
		out.Reasons = append(out.Reasons, k)
	}
	return &out
}

// unfit tells why a snapshot cannot be put in place on a host.
func unfit(s model.Snapshot, at model.Path, o model.ObservedPackages, why refusals) {
	has := installed(o)
	for _, p := range s.Packages {
		h, ok := has[p.Name]
		switch {
		case !ok && !needed(s, p.Name, has):
			why.add(at, "I12", fmt.Sprintf("%s is not installed there, and nothing that is and that the snapshot upgrades needs it: only what is installed is upgraded in place", p.Name),
				"leave it out of snapshot "+s.Name+", make another snapshot for these hosts, or bring it with an image")
		case !ok:
		case h.Is == facts.PackageNewer:
			why.add(at, "I12", fmt.Sprintf("%s %s is installed there, and the snapshot would take it back to %s", p.Name, h.Version, p.Version),
				"make the snapshot anew from packages that are at least as new")
		case plan.CephPackage(p.Name) && cephMajor(p.Version) != cephMajor(h.Version):
			why.add(at, "I7", fmt.Sprintf("%s would go from %s to %s, another release of Ceph: its daemons have to go in an order over the whole region", p.Name, h.Version, p.Version),
				"upgrade by slot, which keeps that order: rollout { method = \"slot\" }")
		}
	}
}

func installed(o model.ObservedPackages) map[string]model.ObservedPackage {
	out := make(map[string]model.ObservedPackage, len(o.Installed))
	for _, p := range o.Installed {
		out[p.Name] = p
	}
	return out
}

// needed reports whether a package that is not installed comes with one that is upgraded, or with another new one.
func needed(s model.Snapshot, name string, has map[string]model.ObservedPackage) bool {
	open, seen := []string{name}, map[string]bool{}
	for len(open) > 0 {
		name, open = open[0], open[1:]
		for _, p := range s.Packages {
			if seen[p.Name] || !slices.Contains(p.Needs, name) {
				continue
			}
			if h, ok := has[p.Name]; ok && h.Is == facts.PackageOlder {
				return true
			} else if !ok {
				seen[p.Name] = true
				open = append(open, p.Name)
			}
		}
	}
	return false
}

// cephMajor is the first number of a version; 0: it has none.
func cephMajor(version string) int {
	first, _, _ := strings.Cut(facts.Upstream(version), ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// install gives what is still to be done on a host that gets packages, behind certify; bringing their files goes to the first stage. Ceph's daemons stop for their own
// packages, and when the host is emptied.
func (r *rollout) install(h int32, batch plan.Subject, certify []plan.OpID) []plan.Op {
	host, snap := r.cert.Fleet.Hosts[h], r.in.Desired.Rollout.Snapshot
	want, sub := r.want[host.Path], plan.NodeSubject(host.Path)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(r.state[sub])}, uses: []string{"rack:" + string(host.Path.Rack())}}
	guests := host.Class >= 0 || host.ClassAfter >= 0
	stops := !r.policy.Stays || slices.ContainsFunc(snap.Packages, func(p model.SnapshotPackage) bool { return plan.CephPackage(p.Name) })
	osd := stops && r.osd[h]
	ceph := stops && (r.osd[h] || r.state.Get(sub, plan.AttrCeph) != "")
	if c.get(plan.AttrPackages) != want {
		if c.get(plan.AttrStaged) != want {
			w := &chain{sub: c.sub, st: c.st, uses: append([]string{"files:workstation"}, c.uses...)}
			w.add(plan.PackagesFetch, map[string]string{"snapshot": snap.Name}, w.facts(plan.AttrHost, c.get(plan.AttrHost)), w.facts(plan.AttrStaged, want))
			r.writes = append(r.writes, w.ops...)
		}
		r.quiet(c, guests, osd, ceph)
		pre := c.facts(plan.AttrStaged, want)
		if guests {
			pre = append(pre, c.facts(plan.AttrCordon, c.get(plan.AttrCordon))...)
		}
		c.add(plan.PackagesInstall, r.packagesArgs(host.Path), append(pre, emptied(c, guests && !r.policy.Stays, osd, ceph)...), c.facts(plan.AttrPackages, want))
	}
	r.restored(c, want, guests, ceph)
	return behind(c, batch, certify)
}

// quiet keeps new virtual machines away from a host, and where the policy says so takes those away that it has; then it stops its daemons.
func (r *rollout) quiet(c *chain, guests, osd, ceph bool) {
	if guests && c.get(plan.AttrCordon) == "" {
		c.add(plan.HostCordon, nil, nil, c.facts(plan.AttrCordon, plan.Set))
	}
	if guests && !r.policy.Stays && c.get(plan.AttrGuests) != plan.None {
		c.add(plan.HostDrain, nil, c.facts(plan.AttrCordon, c.get(plan.AttrCordon)), c.facts(plan.AttrGuests, plan.None))
	}
	if osd && c.get(plan.AttrNoout) != plan.Set {
		c.add(plan.CephNoout, nil, nil, c.facts(plan.AttrNoout, plan.Set))
	}
	if ceph && c.get(plan.AttrCeph) != plan.Stopped {
		var pre []plan.Fact
		if osd {
			pre = c.facts(plan.AttrNoout, plan.Set)
		}
		c.add(plan.CephStop, nil, pre, c.facts(plan.AttrCeph, plan.Stopped))
	}
}

// restored gives a host back that has its packages.
func (r *rollout) restored(c *chain, want string, guests, ceph bool) {
	runs := c.facts(plan.AttrPackages, want)
	if ceph && c.get(plan.AttrCeph) == plan.Stopped {
		c.add(plan.CephStart, nil, runs, c.facts(plan.AttrCeph, plan.Up))
	}
	if c.get(plan.AttrNoout) == plan.Set {
		c.add(plan.CephRestore, nil, c.facts(plan.AttrCeph, plan.Up), c.facts(plan.AttrNoout, ""))
	}
	if guests && c.get(plan.AttrCordon) == plan.Set {
		c.add(plan.HostUncordon, nil, runs, c.facts(plan.AttrCordon, "", plan.AttrGuests, ""))
	}
}

// packagesArgs tell what is installed, and what a host had before of it.
func (r *rollout) packagesArgs(at model.Path) map[string]string {
	snap := r.in.Desired.Rollout.Snapshot
	list := make([]plan.PackageVersion, len(snap.Packages))
	for i, p := range snap.Packages {
		list[i] = plan.PackageVersion{Name: p.Name, Version: p.Version}
	}
	out := map[string]string{"snapshot": snap.Name, plan.ArgPackages: plan.PackagesText(list)}
	var before []plan.PackageVersion
	for _, p := range r.packagesOf(at).Installed {
		if p.Is != facts.PackageSame {
			before = append(before, plan.PackageVersion{Name: p.Name, Version: p.Version})
		}
	}
	if len(before) > 0 {
		out["before"] = plan.PackagesText(before)
	}
	return out
}

func (r *rollout) packagesOf(at model.Path) model.ObservedPackages {
	for i := range r.in.Observed.Nodes {
		if n := &r.in.Observed.Nodes[i]; n.Path == at && n.Host.Packages != nil {
			return *n.Host.Packages
		}
	}
	return model.ObservedPackages{}
}
