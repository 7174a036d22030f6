package run

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// stages makes the plan of a certificate: the slots first, then a stage for each batch.
func stages(c plan.Certificate, w *world.World) plan.Plan {
	b := builder{cert: &c, w: w, osd: map[int32]bool{}, ceph: map[int32]bool{}}
	for i := range c.Fleet.Clusters {
		for _, h := range c.Fleet.Clusters[i].OSDHosts {
			b.osd[h], b.ceph[h] = true, true
		}
	}
	for i := range c.Fleet.Groups {
		for _, h := range c.Fleet.Groups[i].Hosts {
			b.ceph[h] = b.ceph[h] || !strings.Contains(c.Fleet.Groups[i].Name, "gateway")
		}
	}
	p := plan.Plan{FormatVersion: plan.FormatVersion, Goal: plan.GoalUpgrade, Certificate: &c, Initial: plan.State{},
		Provenance: plan.Provenance{Policy: model.DigestJSON(c.Policy)}}
	prepare := plan.Stage{Title: "images onto the idle slots"}
	for i := range c.Fleet.Hosts {
		b.initial(p.Initial, int32(i))
	}
	for i := range c.Batches {
		for _, h := range c.Batches[i].Hosts {
			prepare.Ops = append(prepare.Ops, b.write(h)...)
		}
	}
	if len(prepare.Ops) > 0 {
		p.Stages = append(p.Stages, prepare)
	}
	for i := range c.Batches {
		c.Batches[i].Stage = len(p.Stages)
		p.Stages = append(p.Stages, b.batch(i))
	}
	plan.Seal(&p)
	return p
}

type builder struct {
	cert *plan.Certificate
	w    *world.World
	osd  map[int32]bool
	ceph map[int32]bool
}

func (b *builder) subject(h int32) plan.Subject { return plan.NodeSubject(b.cert.Fleet.Hosts[h].Path) }

func (b *builder) initial(st plan.State, h int32) {
	was, want := b.w.Spec(int(h))
	now := &b.w.Truth.Hosts[h]
	set := func(a plan.Attr, v string) { st.Set(plan.Fact{Subject: b.subject(h), Attr: a, Value: v}) }
	switch {
	case !now.Up:
		return
	case now.New:
		was = want
	}
	set(plan.AttrHost, string(was))
	if b.ceph[h] {
		set(plan.AttrCeph, plan.Up)
	}
}

func (b *builder) write(h int32) []plan.Op {
	was, want := b.w.Spec(int(h))
	return []plan.Op{b.op(plan.SlotWrite, b.subject(h), facts{{plan.AttrHost, string(was)}}, facts{{plan.AttrIdle, string(want)}})}
}

type facts [][2]any

func (b *builder) op(k plan.Kind, s plan.Subject, pre, post facts) plan.Op {
	list := func(f facts) []plan.Fact {
		out := make([]plan.Fact, len(f))
		for i, x := range f {
			out[i] = plan.Fact{Subject: s, Attr: x[0].(plan.Attr), Value: x[1].(string)}
		}
		return out
	}
	return plan.Op{ID: plan.ID(k, s), Kind: k, Target: s, Pre: list(pre), Post: list(post)}
}

func (b *builder) batch(i int) plan.Stage {
	batch, sub := &b.cert.Batches[i], plan.BatchSubject(i)
	s := plan.Stage{Title: fmt.Sprintf("batch %d: %d hosts of %s", i+1, len(batch.Hosts), batch.Zone), Invariants: []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"}}
	certify := b.op(plan.BatchCertify, sub, nil, facts{{plan.AttrCertified, plan.Yes}})
	gate := b.op(plan.BatchGate, sub, nil, facts{{plan.AttrGate, plan.Open}})
	s.Ops = append(s.Ops, certify)
	for _, h := range batch.Hosts {
		last := certify.ID
		for _, op := range b.host(h) {
			op.Needs = []plan.OpID{last}
			last = op.ID
			s.Ops = append(s.Ops, op)
		}
		gate.Needs = append(gate.Needs, last)
	}
	s.Ops = append(s.Ops, gate)
	if seconds := b.cert.Policy.BakeSeconds; seconds > 0 {
		bake := b.op(plan.BatchBake, sub, facts{{plan.AttrGate, plan.Open}}, facts{{plan.AttrBaked, plan.Yes}})
		bake.Needs, bake.Args = []plan.OpID{gate.ID}, map[string]string{"seconds": strconv.FormatInt(seconds, 10)}
		s.Ops = append(s.Ops, bake)
	}
	return s
}

// host are the ops of one host, each after the one before.
func (b *builder) host(h int32) []plan.Op {
	_, spec := b.w.Spec(int(h))
	want, sub := string(spec), b.subject(h)
	var out []plan.Op
	add := func(k plan.Kind, pre, post facts) { out = append(out, b.op(k, sub, pre, post)) }
	host := &b.cert.Fleet.Hosts[h]
	runs := host.Class >= 0 || host.ClassAfter >= 0
	boot := facts{{plan.AttrIdle, want}}
	if runs {
		add(plan.HostCordon, nil, facts{{plan.AttrCordon, plan.Set}})
		add(plan.HostDrain, facts{{plan.AttrCordon, plan.Set}}, facts{{plan.AttrGuests, plan.None}})
		boot = append(boot, facts{{plan.AttrCordon, plan.Set}, {plan.AttrGuests, plan.None}}...)
	}
	if b.osd[h] {
		add(plan.CephNoout, nil, facts{{plan.AttrNoout, plan.Set}})
		boot = append(boot, facts{{plan.AttrNoout, plan.Set}}...)
	}
	if b.ceph[h] {
		stop := boot[len(boot)-1:]
		if !b.osd[h] {
			stop = nil
		}
		add(plan.CephStop, stop, facts{{plan.AttrCeph, plan.Stopped}})
		boot = append(boot, facts{{plan.AttrCeph, plan.Stopped}}...)
	}
	add(plan.SlotBoot, boot, facts{{plan.AttrHost, want}})
	if b.ceph[h] {
		add(plan.CephStart, facts{{plan.AttrHost, want}}, facts{{plan.AttrCeph, plan.Up}})
	}
	if b.osd[h] {
		add(plan.CephRestore, facts{{plan.AttrCeph, plan.Up}}, facts{{plan.AttrNoout, ""}})
	}
	add(plan.SlotCommit, facts{{plan.AttrHost, want}}, facts{{plan.AttrDefault, want}})
	if runs {
		add(plan.HostUncordon, facts{{plan.AttrHost, want}}, facts{{plan.AttrCordon, ""}, {plan.AttrGuests, ""}})
	}
	return out
}
