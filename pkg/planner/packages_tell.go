package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// tellPackages adds the notes that a reader of a plan with packages needs: what changes where, what is restarted, and that there is no way back.
func (r *rollout) tellPackages() {
	snap := r.in.Desired.Rollout.Snapshot
	var changes, services groups
	back, hosts := 0, 0
	for i := range r.in.Observed.Nodes {
		n := &r.in.Observed.Nodes[i]
		if r.want[n.Path] == "" || n.Host.Packages == nil {
			continue
		}
		changes.add(changeText(snap, *n.Host.Packages), n.Path)
		services.add(serviceText(snap, n.Host.Packages.Services), n.Path)
		if hosts++; n.Host.Idle != nil && n.Host.Idle.Proven {
			back++
		}
	}
	changes.tell(r.builder)
	services.tell(r.builder)
	if r.policy.Stays {
		r.note("virtual machines stay where they are and run on; while a batch gets its packages its hosts take no new ones")
	} else {
		r.note("Open vSwitch is restarted, so hosts are emptied first, as for a restart: virtual machines move away, Ceph's daemons stop under noout")
	}
	if facts.BringsQEMU(snap) != "" {
		r.note("virtual machines keep the QEMU that they were started with until they are moved or restarted")
	}
	r.note("packages in place are one-way: none is taken back. What a host had before is in the plan and is recorded there; the way back is a slot: nuboctl rollback, where the other slot holds what was proven good "+
		"(%d of %s), or an upgrade to an image with the packages that are wanted", back, plural(hosts, "host", "hosts"))
}

// changeText is what changes on a host: "~ libssl3 3.0.11-1 → 3.0.11-2".
func changeText(s model.Snapshot, o model.ObservedPackages) string {
	has := installed(o)
	var out []string
	for _, p := range s.Packages {
		switch h, ok := has[p.Name]; {
		case !ok:
			out = append(out, "+ "+p.Name+" "+p.Version)
		case h.Is != facts.PackageSame:
			out = append(out, "~ "+p.Name+" "+h.Version+" → "+p.Version)
		}
	}
	if len(out) == 0 {
		return "nothing is installed that is not there already; services that were not restarted then are"
	}
	return strings.Join(out, ", ")
}

// serviceText is what becomes of the services of a host that come with the packages.
func serviceText(s model.Snapshot, services []string) string {
	by := map[plan.UnitCare][]string{}
	for _, unit := range slices.Sorted(slices.Values(services)) {
		care := plan.CareOf(unit)
		by[care] = append(by[care], unit)
	}
	var out []string
	for _, x := range []struct {
		care plan.UnitCare
		text string
	}{{plan.UnitRestart, "restarted"}, {plan.UnitReload, "run anew without a stop"}, {plan.UnitCeph, "stopped before and started after, when both checks allow it"},
		{plan.UnitLeave, "left as they run until the host restarts"}} {
		if list := by[x.care]; len(list) > 0 {
			out = append(out, x.text+": "+strings.Join(list, ", "))
		}
	}
	if len(out) == 0 {
		return "no service of snapshot " + s.Name + " runs there, so none is restarted"
	}
	return "services: " + strings.Join(out, "; ")
}

// groups are hosts of which the same is to be told, in the order in which they came.
type groups struct {
	texts []string
	hosts map[string][]model.Path
}

func (g *groups) add(text string, at model.Path) {
	if g.hosts == nil {
		g.hosts = map[string][]model.Path{}
	}
	if g.hosts[text] == nil {
		g.texts = append(g.texts, text)
	}
	g.hosts[text] = append(g.hosts[text], at)
}

func (g *groups) tell(b *builder) {
	for _, text := range g.texts {
		const most = 4
		var names []string
		list := g.hosts[text]
		for _, at := range list[:min(len(list), most)] {
			names = append(names, at.Name())
		}
		where := strings.Join(names, ", ")
		if more := len(list) - len(names); more > 0 {
			where += fmt.Sprintf(" and %d more", more)
		}
		b.note("%s: %s", where, text)
	}
}
