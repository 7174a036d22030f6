package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// fullPercent is how full OSDs may be when data has moved: Ceph warns at 85 (mon_osd_nearfull_ratio), and stops backfilling at 90.
const fullPercent = 85

// leavers are nodes that leave, and what was observed of everything.
type leavers struct {
	*builder
	nodes   []model.Node
	leaves  map[model.Path]bool
	seen    map[model.Path]model.ObservedNode
	reasons []Reason
}

// canLeave refuses when something would not hold without the nodes, or is not known: virtual machines, placement groups, room, quorums.
func (b *builder) canLeave(nodes []model.Node) error {
	l := &leavers{builder: b, nodes: nodes, leaves: map[model.Path]bool{}, seen: map[model.Path]model.ObservedNode{}}
	for _, n := range nodes {
		l.leaves[n.Path] = true
	}
	for _, o := range b.in.Observed.Nodes {
		l.seen[o.Path] = o
	}
	for _, n := range nodes {
		l.machines(n)
		l.isLost(n)
	}
	for _, r := range b.in.Desired.Regions {
		members := slices.DeleteFunc(slices.Clone(nodes), func(n model.Node) bool { return n.Path.Region() != r.Path || !inCluster(n) })
		if r.Ceph != nil && len(members) > 0 {
			l.cluster(r.Path, members)
		}
	}
	if len(l.reasons) == 0 {
		if err := l.services(); err != nil {
			return err
		}
	}
	if len(l.reasons) > 0 {
		return &Refusal{Reasons: l.reasons}
	}
	return nil
}

func (l *leavers) refuse(invariant string, at model.Path, remedy, format string, args ...any) {
	l.reasons = append(l.reasons, Reason{Invariant: invariant, Place: at, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// machines: no virtual machine is on the node, and none can come.
func (l *leavers) machines(n model.Node) {
	if !facts.Carries(n) || n.State == model.Lost {
		return
	}
	o := l.seen[n.Path]
	if !o.Host.Reachable || o.Host.Libvirt == "" {
		if l.state.Get(plan.NodeSubject(n.Path), plan.AttrPower) != string(model.PowerOff) {
			l.refuse("I11", n.Path, "bring it back, or switch it off: nuboctl bmc power off "+n.Name+`; when its machine is gone for good, write state = "lost"`,
				"it, or libvirt on it, does not answer, and it is not known to be off, so what runs there is not known")
		}
		return
	}
	var run, stopped []plan.Subject
	for _, vm := range l.in.Observed.VMs {
		switch {
		case vm.Node != n.Path:
		case facts.Occupies(vm):
			run = append(run, plan.VMSubject(vm.Name))
		default:
			stopped = append(stopped, plan.VMSubject(vm.Name))
		}
	}
	if len(stopped) > 0 {
		l.refuse("I8", n.Path, "start them elsewhere, or have their owners delete them", "%s there, and would go with it: %s", plural(len(stopped), "virtual machine is defined and stopped", "virtual machines are defined and stopped"), few(stopped))
	}
	switch {
	case len(run) > 0:
		l.refuse("I8", n.Path, "move them away first: nuboctl drain "+n.Name, "%s there: %s", plural(len(run), "virtual machine runs", "virtual machines run"), few(run))
	case o.Host.Cordoned.IsZero():
		l.refuse("I8", n.Path, "keep them away first: nuboctl drain "+n.Name, "virtual machines may still come there")
	}
}

// isLost: a node that is said to be lost shows no sign of life.
func (l *leavers) isLost(n model.Node) {
	if n.State != model.Lost {
		return
	}
	var alive []string
	if o := l.seen[n.Path]; o.Host.Reachable {
		alive = append(alive, "its host answers")
	}
	if l.state.Get(plan.NodeSubject(n.Path), plan.AttrPower) == string(model.PowerOn) {
		alive = append(alive, "its BMC says that it is on")
	}
	for _, c := range l.in.Observed.Ceph {
		for _, d := range slices.Concat(c.Mons, c.Mgrs, c.MDSs, c.RGWs) {
			if d.Node == n.Path && d.Up {
				alive = append(alive, "its Ceph daemon "+d.Name+" is in service")
			}
		}
		for _, o := range c.OSDs {
			if o.Node == n.Path && o.Up {
				alive = append(alive, fmt.Sprintf("osd.%d is up", o.ID))
			}
		}
	}
	if len(alive) > 0 {
		l.refuse("I11", n.Path, `write state = "retired", so that it is emptied in order`, "it is said to be lost, and %s", strings.Join(slices.Compact(alive), ", "))
	}
}

// cluster: the data of the members finds another place, and what is known of the cluster is enough to tell.
func (l *leavers) cluster(region model.Path, members []model.Node) {
	i := slices.IndexFunc(l.in.Observed.Ceph, func(c model.ObservedCeph) bool { return c.Region == region })
	if i < 0 || l.in.Observed.Ceph[i].Error != "" || l.in.Observed.Ceph[i].FSID == "" {
		why := "it was not observed"
		if i >= 0 {
			why = cmp.Or(l.in.Observed.Ceph[i].Error, "there is none")
		}
		l.refuse("I2", region, "make it answer, and plan again", "what its Ceph cluster has is not known: %s", why)
		return
	}
	c := l.in.Observed.Ceph[i]
	if c.Unsure != "" {
		l.refuse("I2", region, "wait until ceph -s shows them all, and plan again", "where the copies of its placement groups are is not known: %s", c.Unsure)
	}
	if c.Health == "HEALTH_ERR" {
		l.refuse("I2", region, "mend what it names first", "its Ceph cluster is in error: %s", strings.Join(c.Checks, "; "))
	}
	for _, flag := range []string{"nobackfill", "norebalance", "norecover", "noout", "pause"} {
		if slices.Contains(c.Flags, flag) {
			l.refuse("I2", region, "ceph osd unset "+flag, "the flag %s is set, so no data would move", flag)
		}
	}
	unclean := 0
	for _, p := range c.Pools {
		unclean += p.Unclean
	}
	if unclean > 0 {
		l.note("%s of %s not active and clean now; no OSD goes before all are", plural(unclean, "placement group is", "placement groups are"), region)
	}
	for _, n := range members {
		up := slices.ContainsFunc(c.OSDs, func(o model.ObservedOSD) bool { return o.Node == n.Path && o.Up })
		if up && !l.seen[n.Path].Host.Reachable && n.State == model.Retired {
			l.refuse("I11", n.Path, "bring it back, so that its OSDs can be stopped in order", "its OSDs are up, and its host does not answer")
		}
	}
	l.domains(c)
	l.room(c)
	l.monitors(c)
}

// serves reports whether an OSD is one that data can go to.
func (l *leavers) serves(o model.ObservedOSD) bool { return o.Up && o.In && !l.leaves[o.Node] }

// moves reports whether any data has to move: an OSD of a leaving node that is still in.
func (l *leavers) moves(c model.ObservedCeph) bool {
	return slices.ContainsFunc(c.OSDs, func(o model.ObservedOSD) bool { return l.leaves[o.Node] })
}

// domains: every pool has as many failure domains of its rule as it keeps copies.
func (l *leavers) domains(c model.ObservedCeph) {
	if !l.moves(c) {
		return
	}
	for _, p := range c.Pools {
		there := map[string]bool{}
		for _, o := range c.OSDs {
			if at := cmp.Or(o.Location[cmp.Or(p.Domain, "host")], fmt.Sprintf("osd.%d", o.ID)); l.serves(o) && (p.Class == "" || p.Class == o.Class) {
				there[at] = true
			}
		}
		if len(there) < p.Size {
			l.refuse("I2", c.Region, "add OSDs in another failure domain first, or give the pool fewer copies", "pool %s keeps %d copies on different places of type %s, and without these nodes OSDs are in service in %d: %s",
				p.Name, p.Size, cmp.Or(p.Domain, "host"), len(there), cmp.Or(strings.Join(slices.Sorted(maps.Keys(there)), ", "), "none"))
		}
	}
}

// room: what is stored fits on what stays, in each device class. A failure domain takes at most one copy of anything, so a large one cannot make up for
// small ones.
func (l *leavers) room(c model.ObservedCeph) {
	if !l.moves(c) {
		return
	}
	type class struct {
		used, unknown int64
		domains       map[string]int64
	}
	classes, copies, domain := map[string]*class{}, 1, "host"
	for _, p := range c.Pools {
		if p.Size > copies {
			copies, domain = p.Size, cmp.Or(p.Domain, "host")
		}
	}
	for _, o := range c.OSDs {
		k := classes[o.Class]
		if k == nil {
			k = &class{domains: map[string]int64{}}
			classes[o.Class] = k
		}
		if o.In && o.Bytes == 0 {
			k.unknown++
		}
		k.used += o.Used
		if l.serves(o) {
			k.domains[o.Location[domain]] += o.Bytes / 100 * fullPercent
		}
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		k := classes[name]
		what := "its OSDs"
		if name != "" {
			what = "its OSDs of class " + name
		}
		if k.unknown > 0 {
			l.refuse("I2", c.Region, "wait until ceph osd df shows all of them, and plan again", "how full %s are is not known of %d", what, k.unknown)
			continue
		}
		if most := Placeable(slices.Collect(maps.Values(k.domains)), copies); k.used > most {
			l.refuse("I2", c.Region, "add OSDs first, or delete data", "%s hold %d GiB, and without these nodes %d GiB fit in %d copies below %d %% full",
				what, k.used>>30, most>>30, copies, fullPercent)
		}
	}
}

// Placeable is how many bytes, copies included, fit on failure domains of which none takes more than one of so many copies of anything: the most for which the
// domains, each cut to one copy of it all, hold all copies.
func Placeable(domains []int64, copies int) int64 {
	fits := func(share int64) bool {
		var sum int64
		for _, d := range domains {
			sum += min(d, share)
		}
		return sum >= share*int64(copies)
	}
	var low, high int64 // one copy of it all; low fits
	for _, d := range domains {
		high += d
	}
	for high /= int64(copies); low < high; {
		if mid := low + (high-low+1)/2; fits(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low * int64(copies)
}

// monitors: a majority of those that stay is in quorum, and there are three where there were three.
func (l *leavers) monitors(c model.ObservedCeph) {
	stay, up, managers := 0, 0, 0
	for _, m := range c.Mons {
		if !l.leaves[m.Node] {
			stay++
			if m.Up {
				up++
			}
		}
	}
	for _, m := range c.Mgrs {
		if !l.leaves[m.Node] && m.Up {
			managers++
		}
	}
	goes := func(list []model.ObservedDaemon) bool {
		return slices.ContainsFunc(list, func(d model.ObservedDaemon) bool { return l.leaves[d.Node] })
	}
	if goes(c.Mons) && (2*up <= stay || (stay < 3 && len(c.Mons) >= 3)) {
		l.refuse("I1", c.Region, "give the role ceph-mon to other nodes and apply that first, or bring monitors back", "%s would be left, %d in quorum; a majority is needed, and three of them where there were three",
			plural(stay, "monitor", "monitors"), up)
	}
	if goes(c.Mgrs) && managers == 0 {
		l.refuse("I5", c.Region, "give the role ceph-mgr to another node and apply that first", "no other manager is in service")
	}
}

// services: what fails over to another member, and what hosts need of each other, keeps one.
func (l *leavers) services() error {
	f, err := facts.FleetFor(l.in.Desired, l.in.Observed, facts.Changes{Drain: true, Nodes: func(model.Node) bool { return false }})
	if err != nil {
		return fmt.Errorf("what was observed is not enough to plan a decommission from: %w", err)
	}
	for _, g := range f.Groups {
		goes, left := model.Path(""), 0
		for _, h := range g.Hosts {
			switch host := f.Hosts[h]; {
			case l.leaves[host.Path]:
				goes = host.Path
			case !host.Down:
				left++
			}
		}
		least := 1
		if g.Kind == plan.Quorum {
			least = 0 // monitors were asked above
			if !strings.HasPrefix(g.Name, "mon ") {
				least = len(g.Hosts)/2 + 1
			}
		}
		if goes != "" && left < least {
			l.refuse(map[plan.GroupKind]string{plan.Quorum: "I1", plan.Standby: "I5", plan.Key: "I9"}[g.Kind], goes, "give it another member first, and apply that",
				"%s would have %d members in service, and needs %d", g.Name, left, least)
		}
	}
	return nil
}
