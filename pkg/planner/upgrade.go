package planner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
)

// upgrade plans the rollout of new host specifications, or back to older ones, in batches. The certificate is a function of what is desired and observed alone; the state says
// how far it has been carried out, and batches that are over are left out of the plan.
func (b *builder) upgrade(p *plan.Plan) error {
	policy, err := facts.PolicyFor(b.in.Goal, b.in.Desired)
	if err != nil {
		return err
	}
	r := &rollout{builder: b, policy: policy, want: map[model.Path]string{}, back: map[model.Path]model.Digest{}, nodes: map[model.Path]*model.Node{}}
	switch {
	case b.in.Goal == plan.GoalRollback:
		err = r.chooseBack()
	case b.in.Goal == plan.GoalReinstall:
		r.chooseAnew()
	case r.inPlace():
		p.Provenance.Snapshot = &plan.Snapshot{Name: b.in.Desired.Rollout.Snapshot.Name, Digest: b.in.Desired.Rollout.Snapshot.Digest}
		err = r.choosePackages()
	default:
		r.choose()
	}
	if err != nil {
		return err
	}
	if len(r.want) == 0 {
		b.requiresAlone(p)
		return nil
	}
	if err := r.bare(); err != nil {
		return err
	}
	fleet, err := facts.FleetFor(b.in.Desired, b.in.Observed, r.changes())
	if err != nil {
		return fmt.Errorf("what was observed is not enough to plan a rollout from: %w", err)
	}
	r.leaveOut(fleet)
	if err := r.rise(fleet); err != nil {
		return err
	}
	r.cert, err = wave.Solve(fleet, policy)
	if err != nil {
		return r.cordoned(backwards(err, fleet))
	}
	r.stages(p)
	return nil
}

// rollout is an upgrade being planned.
type rollout struct {
	*builder
	policy plan.Policy
	want   map[model.Path]string       // the specification of each node to be changed
	back   map[model.Path]model.Digest // the image in the idle slot of each node that goes back to it
	nodes  map[model.Path]*model.Node
	cert   plan.Certificate
	osd    map[int32]bool
	writes []plan.Op
}

// bare refuses images that lack what the hosts need that get them. What a host goes back to has served there.
func (r *rollout) bare() error {
	if r.inPlace() || r.in.Goal == plan.GoalRollback {
		return nil
	}
	for _, n := range r.in.Desired.Nodes {
		if r.want[n.Path] != "" {
			r.mustBring(n, r.in.Images[n.Image.Name])
		}
	}
	return r.builder.bare()
}

// choose finds the nodes whose host is not the wanted one, as observed.
func (r *rollout) choose() {
	seen := make(map[model.Path]string, len(r.in.Observed.Nodes))
	for _, n := range r.in.Observed.Nodes {
		if n.Host.Reachable {
			seen[n.Path] = string(facts.HostSpec(n.Host.Image, n.Host.Config))
		}
	}
	for i := range r.in.Desired.Nodes {
		n := &r.in.Desired.Nodes[i]
		r.nodes[n.Path] = n
		if !r.targeted(n.Path) || n.Leaves() || n.Adopted {
			continue
		}
		has := seen[n.Path]
		want := string(facts.HostSpec(r.in.Images[n.Image.Name], n.Config))
		switch {
		case has == "":
			r.stay(n.Path, "it does not answer, or is not installed: it is not upgraded, and counts as lost in every batch", "bring it back or install it, then: nuboctl upgrade "+n.Name)
		case has != want:
			r.want[n.Path] = want
			if r.in.Images[n.Image.Name] == "" {
				r.missing[n.Image.Name] = true
			}
		}
	}
}

// stay names a node that the rollout leaves as it is.
func (r *rollout) stay(at model.Path, text, remedy string) {
	r.left = append(r.left, plan.Left{Node: at, Text: text, Remedy: remedy})
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// leaveOut takes hosts that answer but are down for virtual machines out of what is wanted.
func (r *rollout) leaveOut(f plan.Fleet) {
	for _, h := range f.Hosts {
		if h.Down && r.want[h.Path] != "" {
			delete(r.want, h.Path)
			r.stay(h.Path, "it cannot be asked for its virtual machines: it is not changed, and counts as lost in every batch",
				fmt.Sprintf("look at libvirt there, then: nuboctl %s %s", r.in.Goal, r.nodes[h.Path].Name))
		}
	}
}

// stages adds the stages of what is not over yet, and the certificate that goes with them.
func (r *rollout) stages(p *plan.Plan) {
	over := 0
	for over < len(r.cert.Batches) && r.over(over) {
		over++
	}
	p.Initial = withoutBatches(r.state, over)
	r.state = p.Initial
	if over == len(r.cert.Batches) {
		r.requires(p)
		return
	}
	if over > 0 {
		wave.Advance(&r.cert.Fleet, r.cert.Batches[:over])
		r.cert.Batches = r.cert.Batches[over:]
		r.cert.Bound = wave.Bounds(r.cert.Fleet, r.cert.Policy, r.cert.Batches)
		r.cert.Grade = wave.Grade(r.cert.Batches)
	}
	r.osd = map[int32]bool{}
	for _, c := range r.cert.Fleet.Clusters {
		for _, h := range c.OSDHosts {
			r.osd[h] = true
		}
	}
	var stages []plan.Stage
	for i := range r.cert.Batches {
		if ops := r.batch(i); len(ops) > 0 {
			b := r.cert.Batches[i]
			stages = append(stages, plan.Stage{Ops: ops, Invariants: promises(b),
				Title: fmt.Sprintf("batch %d of %d: %s in %s", i+1, len(r.cert.Batches), plural(len(b.Hosts), "host", "hosts"), b.Zone)})
		}
	}
	if len(r.writes) > 0 {
		title := map[bool]string{true: "bring the packages to the hosts", false: "write the idle slots"}[r.inPlace()]
		stages = slices.Insert(stages, 0, plan.Stage{Title: title, Ops: r.writes, Invariants: []string{"nothing is taken out of service"}})
	}
	for i := range r.cert.Batches {
		r.cert.Batches[i].Stage = len(stages) - len(r.cert.Batches) + i
	}
	p.Stages = append(p.Stages, stages...)
	r.requires(p)
	p.Certificate = &r.cert
	p.Provenance.Policy = model.DigestJSON(r.cert.Policy)
	if r.drains() {
		r.tellDrain()
	} else {
		r.tell()
	}
}

// over reports whether all hosts of a batch are done and its gate and bake behind it.
func (r *rollout) over(i int) bool {
	if r.drains() {
		return !slices.ContainsFunc(r.cert.Batches[i].Hosts, func(h int32) bool { return !drained(r.state, r.cert.Fleet.Hosts[h].Path) })
	}
	sub := plan.BatchSubject(i)
	if r.state.Get(sub, plan.AttrGate) != plan.Open || (r.cert.Policy.BakeSeconds > 0 && r.state.Get(sub, plan.AttrBaked) != plan.Yes) {
		return false
	}
	for _, h := range r.cert.Batches[i].Hosts {
		at := r.cert.Fleet.Hosts[h].Path
		if r.state.Get(plan.NodeSubject(at), r.changed()) != r.want[at] {
			return false
		}
	}
	return true
}

// withoutBatches is the state in which the batch numbered `over` is called 0: what was said of those before it is history.
func withoutBatches(st plan.State, over int) plan.State {
	if over == 0 {
		return st
	}
	out := make(plan.State, len(st))
	for sub, f := range st {
		if i, ok := sub.Batch(); ok {
			if i >= over {
				out[plan.BatchSubject(i-over)] = f
			}
			continue
		}
		out[sub] = f
	}
	return out
}

// promises name what holds while a batch's stage runs.
func promises(b plan.Batch) []string {
	out := []string{"survives: grade " + string(b.Grade)}
	return append(out, b.Short...)
}

// tell adds the notes that a reader needs before approving.
func (r *rollout) tell() {
	n := len(r.cert.Batches)
	r.note("%s; no plan under this policy needs fewer than %d (%s)", plural(n, "batch", "batches"), r.cert.Bound.Rounds, r.cert.Bound.Binding)
	text := "every batch survives grade " + string(r.cert.Grade)
	for _, b := range r.cert.Batches {
		if len(b.Short) > 0 {
			text += "; short of the rest, first in " + string(b.Zone) + ": " + b.Short[0]
			break
		}
	}
	r.note("%s", text)
	if r.lays() {
		r.note("hosts are laid down anew, onto the disk of their system only: what is in their slots goes, and there is none to go back to; their OSDs and what outlives slots stay")
	}
	if r.inPlace() {
		r.tellPackages()
	}
	r.tellStops("started again on the same host")
}

// tellStops names the virtual machines that are stopped, and what becomes of them.
func (r *rollout) tellStops(then string) {
	stops := map[int32]bool{}
	for _, b := range r.cert.Batches {
		for _, v := range b.Stops {
			stops[v] = true
		}
	}
	if len(stops) > 0 {
		var subs []plan.Subject
		for _, v := range slices.Sorted(maps.Keys(stops)) {
			subs = append(subs, plan.VMSubject(r.cert.Fleet.VMs.Names[v]))
		}
		r.note("with their owners' consent %s stopped and %s: %s", plural(len(stops), "virtual machine is", "virtual machines are"), then, few(subs))
	}
}

// batch gives the ops of a batch that are still to be done.
func (r *rollout) batch(i int) []plan.Op {
	sub := plan.BatchSubject(i)
	b := r.cert.Batches[i]
	is := func(a plan.Attr, v string) []plan.Fact { return []plan.Fact{{Attr: a, Subject: sub, Value: v}} }
	uses := []string{"zone:" + string(b.Zone)}
	op := func(k plan.Kind, post []plan.Fact) plan.Op {
		return plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Post: post, Uses: uses}
	}
	var out []plan.Op
	var first, last []plan.OpID
	if r.state.Get(sub, plan.AttrCertified) != plan.Yes {
		out = append(out, op(plan.BatchCertify, is(plan.AttrCertified, plan.Yes)))
		first = []plan.OpID{out[0].ID}
		last = first
	}
	var ends []plan.OpID
	for _, h := range b.Hosts {
		chain := r.hostOps(h, sub, first)
		if len(chain) > 0 {
			ends = append(ends, chain[len(chain)-1].ID)
		}
		out = append(out, chain...)
	}
	if len(ends) > 0 {
		last = ends
	}
	if r.drains() { // nothing was taken out of service that would have to come back
		return out
	}
	if r.state.Get(sub, plan.AttrGate) != plan.Open {
		gate := op(plan.BatchGate, is(plan.AttrGate, plan.Open))
		gate.Pre, gate.Needs = is(plan.AttrCertified, plan.Yes), last
		out = append(out, gate)
		last = []plan.OpID{gate.ID}
	}
	if r.cert.Policy.BakeSeconds > 0 && r.state.Get(sub, plan.AttrBaked) != plan.Yes {
		bake := op(plan.BatchBake, is(plan.AttrBaked, plan.Yes))
		bake.Pre, bake.Needs = is(plan.AttrGate, plan.Open), last
		bake.Args = map[string]string{"seconds": strconv.FormatInt(r.cert.Policy.BakeSeconds, 10)}
		out = append(out, bake)
	}
	return out
}

func (r *rollout) hostOps(h int32, batch plan.Subject, certify []plan.OpID) []plan.Op {
	if r.drains() {
		return r.empties(h, batch, certify)
	}
	if r.inPlace() {
		return r.install(h, batch, certify)
	}
	return r.host(h, batch, certify)
}

func (r *rollout) drains() bool { return r.cert.Policy.Drains() }

// host gives what is still to be done on a host of a batch, behind certify; writing its slot goes to the first stage.
func (r *rollout) host(h int32, batch plan.Subject, certify []plan.OpID) []plan.Op {
	host := r.cert.Fleet.Hosts[h]
	n, want := r.nodes[host.Path], r.want[host.Path]
	sub := plan.NodeSubject(host.Path)
	c := &chain{sub: sub, st: plan.State{sub: cloneFacts(r.state[sub])}, uses: []string{"rack:" + string(host.Path.Rack())}, bmc: n.BMC.Address}
	if len(n.NICs) > 0 {
		c.boot = n.NICs[0].Network
	}
	guests := host.Class >= 0 || host.ClassAfter >= 0
	ceph := r.osd[h] || r.state.Get(sub, plan.AttrCeph) != ""
	if was := c.get(plan.AttrHost); was != want {
		r.down(c, n, want, guests, r.osd[h], ceph)
		if emptied := emptied(c, guests, r.osd[h], ceph); r.lays() {
			r.arm(c, n, want, emptied)
			r.lay(c, n, want, emptied)
		} else {
			c.add(plan.SlotBoot, nil, append(c.facts(plan.AttrIdle, want), emptied...), c.facts(plan.AttrHost, want, plan.AttrIdle, was)) // what ran before is then in the idle one
		}
	}
	if !r.finished(c, want) {
		r.up(c, n, want, guests, ceph)
	}
	return behind(c, batch, certify)
}

// behind has the chain's first op wait for the batch's certificate, and every op know of it.
func behind(c *chain, batch plan.Subject, certify []plan.OpID) []plan.Op {
	if len(c.ops) > 0 && c.ops[0].Kind == plan.HostCordon || len(certify) > 0 && len(c.ops) > 0 {
		first := &c.ops[0]
		first.Needs = append(slices.Clone(certify), first.Needs...)
		first.Pre = append(slices.Clone(first.Pre), plan.Fact{Attr: plan.AttrCertified, Subject: batch, Value: plan.Yes})
	}
	return c.ops
}

// down empties a host: slot, cordon, drain, noout, daemons.
func (r *rollout) down(c *chain, n *model.Node, want string, guests, osd, ceph bool) {
	var noout map[string]string
	if r.lays() {
		r.identify(c, *n)
		noout = map[string]string{"noout": NooutHolds}
	} else if c.get(plan.AttrIdle) != want && r.in.Goal != plan.GoalRollback {
		w := &chain{sub: c.sub, st: c.st, uses: c.uses, boot: c.boot}
		w.add(plan.SlotWrite, map[string]string{"config": string(n.Config), "image": string(r.in.Images[n.Image.Name]), "image_name": n.Image.Name},
			w.facts(plan.AttrHost, c.get(plan.AttrHost)), w.facts(plan.AttrIdle, want))
		r.writes = append(r.writes, w.ops...)
	}
	if guests && c.get(plan.AttrCordon) == "" { // what an operator has drained stays so
		c.add(plan.HostCordon, nil, nil, c.facts(plan.AttrCordon, plan.Set))
	}
	if guests && c.get(plan.AttrGuests) != plan.None {
		c.add(plan.HostDrain, nil, c.facts(plan.AttrCordon, c.get(plan.AttrCordon)), c.facts(plan.AttrGuests, plan.None))
	}
	if osd && c.get(plan.AttrNoout) != plan.Set {
		c.add(plan.CephNoout, noout, nil, c.facts(plan.AttrNoout, plan.Set))
	}
	if ceph && c.get(plan.AttrCeph) != plan.Stopped {
		var pre []plan.Fact
		if osd {
			pre = c.facts(plan.AttrNoout, plan.Set)
		}
		if data := c.get(plan.AttrKept); data != "" && r.lays() {
			pre = append(pre, c.fact(plan.AttrKept, data))
		}
		c.add(plan.CephStop, noout, pre, c.facts(plan.AttrCeph, plan.Stopped))
	}
}

// emptied are the facts without which a host must not go down.
func emptied(c *chain, guests, osd, ceph bool) (pre []plan.Fact) {
	if guests {
		pre = append(pre, c.facts(plan.AttrCordon, c.get(plan.AttrCordon), plan.AttrGuests, plan.None)...)
	}
	if osd {
		pre = append(pre, c.facts(plan.AttrNoout, plan.Set)...)
	}
	if ceph {
		pre = append(pre, c.facts(plan.AttrCeph, plan.Stopped)...)
	}
	return pre
}

// finished reports whether a host that runs what is wanted bears no mark of a rollout any more. A default that nobody has looked at is taken as
// right unless the idle slot shows that this rollout has just restarted it.
func (r *rollout) finished(c *chain, want string) bool {
	settled := r.lays() || c.get(plan.AttrDefault) == want || (c.get(plan.AttrDefault) == "" && c.get(plan.AttrIdle) == "")
	return settled && c.get(plan.AttrCordon) != plan.Set && c.get(plan.AttrNoout) == "" && c.get(plan.AttrCeph) != plan.Stopped
}

// up brings a restarted host back: services, daemons, noout, slot, cordon. One that was laid down anew has to have the OSDs that it had.
func (r *rollout) up(c *chain, n *model.Node, want string, guests, ceph bool) {
	r.services(c, *n, want)
	runs := c.facts(plan.AttrHost, want, plan.AttrDefault, want)
	if r.lays() {
		r.disks(c, n, want)
		runs = c.facts(plan.AttrHost, want)
	}
	if ceph && c.get(plan.AttrCeph) != plan.Up {
		post := c.facts(plan.AttrCeph, plan.Up)
		if data := c.get(plan.AttrKept); data != "" && r.lays() {
			post = append(post, c.fact(plan.AttrKept, data))
		}
		c.add(plan.CephStart, nil, c.facts(plan.AttrHost, want), post)
	}
	if c.get(plan.AttrNoout) == plan.Set {
		c.add(plan.CephRestore, nil, c.facts(plan.AttrCeph, plan.Up), c.facts(plan.AttrNoout, ""))
	}
	if c.get(plan.AttrDefault) != want && !r.lays() {
		c.add(plan.SlotCommit, nil, c.facts(plan.AttrHost, want), c.facts(plan.AttrDefault, want))
	}
	if guests && c.get(plan.AttrCordon) == plan.Set {
		c.add(plan.HostUncordon, nil, runs, c.facts(plan.AttrCordon, "", plan.AttrGuests, ""))
	}
}
