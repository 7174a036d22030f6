package wave

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// standing are the reasons that hold before any batch is thought of: the state of storage and services, and who may not be moved.
func (c *cloud) standing() []plan.Reason {
	var out []plan.Reason
	seen := map[*region]bool{}
	for _, z := range c.zones {
		if z.change > 0 && !seen[z.region] {
			seen[z.region] = true
			out = append(out, c.health(z.region)...)
		}
	}
	return append(out, c.unmovable(c.toChange)...)
}

// health are the reasons that a region's storage and services give with nothing taken out.
func (c *cloud) health(r *region) []plan.Reason {
	return append(slices.Clone(r.broken), c.survival(r)...)
}

// survival refuses a grade that the region does not have even with nothing taken out.
func (c *cloud) survival(r *region) []plan.Reason {
	var out []plan.Reason
	for _, x := range []struct {
		letter string
		broken []int32
	}{{"B", r.base.b}, {"C", r.base.c}} {
		if d := most(x.broken); d >= 0 && has(c.p.Survive, x.letter) && len(r.broken) == 0 {
			out = append(out, plan.Reason{Invariant: "rollout.survive", Place: r.domains[d],
				Text:   fmt.Sprintf("grade %s does not hold for the loss of this %s even before anything is taken out (%d placement groups and services)", x.letter, r.level, x.broken[d]),
				Remedy: "let storage recover and spread the services, or set survive = \"A\""})
		}
	}
	return out
}

// unmovable names the virtual machines on some hosts that may be neither moved nor stopped, and those that could not be started again.
func (c *cloud) unmovable(on func(host int32) bool) []plan.Reason {
	var refuse, strand []string
	for v, fixed := range c.fixed {
		h := c.f.VMs.Host[v]
		if !fixed || h < 0 || !on(h) {
			continue
		}
		if !c.consent[v] {
			refuse = append(refuse, c.f.VMs.Names[v])
		} else if !c.startsAgain(c.f.Shapes[c.f.VMs.Shape[v]], c.f.Hosts[h].ClassAfter) {
			strand = append(strand, c.f.VMs.Names[v])
		}
	}
	var out []plan.Reason
	if len(refuse) > 0 {
		out = append(out, plan.Reason{Invariant: "I8", Text: "cannot be migrated, and their owners have not allowed a stop: " + few(refuse),
			Remedy: "ask their owners for on_drain = \"stop_start\", or leave their hosts out with --target"})
	}
	if len(strand) > 0 {
		out = append(out, plan.Reason{Invariant: "I7", Text: "could not be started again on their changed hosts, which lack their CPU model or a network: " + few(strand),
			Remedy: "leave their hosts out with --target"})
	}
	return out
}

func (c *cloud) startsAgain(s plan.Shape, class int32) bool {
	if class < 0 || !slices.Contains(c.f.Classes[class].CPUs, s.CPU) {
		return false
	}
	return !slices.ContainsFunc(s.Networks, func(n string) bool { return !slices.Contains(c.f.Classes[class].Networks, n) })
}

// few names the first of many.
func few(list []string) string {
	const most = 10
	text := strings.Join(list[:min(len(list), most)], ", ")
	if len(list) > most {
		text += fmt.Sprintf(" and %d more", len(list)-most)
	}
	return text
}

// explain says why hosts of a zone are left that no batch can hold, each reason once, and what would make the rollout possible.
func (c *cloud) explain(z *zone, s *solver, left []int32) []plan.Reason {
	type cause struct{ invariant, text string }
	hosts := map[cause][]model.Path{}
	var order []cause
	for _, l := range left {
		s.clear()
		why := cause{}
		if r := s.forbidden(l); r != nil {
			why = cause{r.Invariant, r.Text}
		} else if v := s.place([]int32{l}); v >= 0 {
			why = cause{"I3", s.lacks(v)}
		} else {
			s.rollback()
			continue
		}
		if hosts[why] == nil {
			order = append(order, why)
		}
		hosts[why] = append(hosts[why], c.f.Hosts[z.hosts[l]].Path)
	}
	remedy := c.remedy(z)
	var out []plan.Reason
	for _, why := range order {
		list := hosts[why]
		r := plan.Reason{Invariant: why.invariant, Place: list[0], Text: why.text, Remedy: remedy}
		if why.invariant == "I9" {
			r.Remedy = "have it on another host as well, or outside of this inventory, or leave the host out with --target"
		}
		if len(list) > 1 {
			r.Place, r.Text = z.path, fmt.Sprintf("%s (so %d hosts cannot be taken out, %s first)", why.text, len(list), list[0].Name())
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		out = append(out, plan.Reason{Invariant: "I3", Place: z.path, Remedy: remedy,
			Text: fmt.Sprintf("%d hosts are left that could each be taken out by a plan of their own, and not after the others in any order that was tried", len(left))})
	}
	return out
}

// lacks says what a virtual machine that fits nowhere would need.
func (s *solver) lacks(v int32) string {
	shape := s.shape(v)
	runs := 0
	for l := range s.z.hosts {
		h := s.c.f.Hosts[s.z.hosts[l]]
		if class := s.class[l]; class >= 0 && !h.Down && s.z.hosts[l] != s.at[v] && s.c.runs(s.c.f.VMs.Shape[v], s.class[s.c.local[s.at[v]]], class) {
			runs++
		}
	}
	what := fmt.Sprintf("%d VCPUs and %d MiB", shape.VCPUs, shape.MemoryMiB)
	if shape.Cells > 0 {
		what += fmt.Sprintf(" in %d NUMA cells", shape.Cells)
	}
	if runs == 0 {
		return fmt.Sprintf("no other host of %s runs CPU model %s, machine type %s and the networks of its virtual machines at its version or a newer one", s.z.path.Name(), shortCPU(shape.CPU), shape.Machine)
	}
	return fmt.Sprintf("the virtual machines displaced do not fit: none of %d hosts that could has %s left, beside reserve and anti-affinity", runs, what)
}

// shortCPU is the word of a processor ("MODEL,+FEATURE,-FEATURE") as far as it tells people something: the features of a baseline fill many lines.
func shortCPU(word string) string {
	model, features, _ := strings.Cut(word, ",")
	if n := strings.Count(features, ",") + 1; len(features) > 30 {
		return fmt.Sprintf("%s with %d features", model, n)
	}
	return word
}

// remedy tries what an operator could change and names what helps; the zone is solved again for each.
func (c *cloud) remedy(z *zone) string {
	var helps []string
	try := func(text string, f plan.Fleet, p plan.Policy) bool {
		if f2, ok := alone(f, z.path); ok && feasible(f2, p) {
			helps = append(helps, text)
			return true
		}
		return false
	}
	p := c.p
	p.MaxParallel, p.MaxUnavailable = 0, plan.MaxUnavailable{}
	if c.p.MaxParallel > 0 || c.p.MaxUnavailable != (plan.MaxUnavailable{}) {
		try("a greater max_unavailable and max_parallel, or fewer hosts that are lost", c.f, p)
	}
	if p = c.p; p.ReservePercent > 0 {
		p.ReservePercent = 0
		try("no reserve", c.f, p)
	}
	if p = c.p; has(p.Survive, "B") || has(p.Survive, "C") {
		p.Survive = "A"
		try("survive = \"A\"", c.f, p)
	}
	for n := 1; n <= 8; n *= 2 {
		f, like := c.withHosts(z, n)
		if like != "" && try(fmt.Sprintf("%d more hosts like %s", n, like), f, c.p) {
			break
		}
	}
	if len(helps) == 0 {
		return "no single change of policy and no eight more hosts would make it possible; see which rule it is"
	}
	return "possible with " + strings.Join(helps, ", or ")
}

// alone keeps a zone's hosts to be changed and makes those of all others stay.
func alone(f plan.Fleet, at model.Path) (plan.Fleet, bool) {
	f.Hosts = slices.Clone(f.Hosts)
	any := false
	for i := range f.Hosts {
		f.Hosts[i].Change = f.Hosts[i].Change && at.Contains(f.Hosts[i].Path)
		any = any || f.Hosts[i].Change
	}
	return f, any
}

// feasible reports whether every zone can be rolled.
func feasible(f plan.Fleet, p plan.Policy) bool {
	c := newCloud(f, p)
	if len(c.standing()) > 0 {
		return false
	}
	for _, z := range c.zones {
		if z.change == 0 {
			continue
		}
		at, mask := c.columns()
		s := newSolver(c, z, zoneBound{}, manner{}, at, mask)
		if drafts, _ := s.run(0); drafts == nil {
			return false
		}
	}
	return true
}

// withHosts is the fleet with some more hosts in the zone, empty, changed already, and each like the largest that runs virtual machines, whose name it
// gives too; an empty name: there is none.
func (c *cloud) withHosts(z *zone, n int) (plan.Fleet, string) {
	var like *plan.Host
	for _, h := range z.hosts {
		if x := &c.f.Hosts[h]; x.ClassAfter >= 0 && (like == nil || x.MemoryMiB > like.MemoryMiB) {
			like = x
		}
	}
	if like == nil {
		return c.f, ""
	}
	f := c.f
	f.Hosts = slices.Clone(f.Hosts)
	for i := range n {
		h := *like
		h.Path = z.path.Join(fmt.Sprintf("more-%d", i), fmt.Sprintf("more-%d", i))
		h.Change, h.Down, h.Class, h.Chassis = false, false, h.ClassAfter, ""
		f.Hosts = append(f.Hosts, h)
	}
	return f, like.Path.Name()
}
