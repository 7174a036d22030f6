package opstest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// rolloutKinds are the kinds of a rollout, in their order.
var rolloutKinds = []plan.Kind{plan.SlotWrite, plan.BatchCertify, plan.HostCordon, plan.HostDrain, plan.CephNoout, plan.CephStop, plan.SlotBoot, plan.CephStart,
	plan.CephRestore, plan.SlotCommit, plan.HostUncordon, plan.BatchGate, plan.BatchBake}

// newRollout is a bench with three hosts that run, of which the first gets another image.
func newRollout(t *testing.T, lab New) *bench { return newRolloutOf(t, lab, Site(3)) }

func newRolloutOf(t *testing.T, lab New, d model.Desired) *bench {
	b := &bench{T: t, lab: lab(d), node: d.Nodes[0]}
	b.lab.Ready()
	was := facts.HostSpec(d.Nodes[0].Image.Digest, d.Nodes[0].Config)
	d.Nodes = slices.Clone(d.Nodes)
	d.Nodes[0].Image.Digest = model.DigestBytes([]byte("debian-14"))
	w := b.lab.World()
	w.Desired = d
	b.driver, b.clock = ops.New(w), w.Clock
	b.ops = rollout(d.Nodes[0], string(was), string(facts.HostSpec(d.Nodes[0].Image.Digest, d.Nodes[0].Config)))
	return b
}

// rollout are the ops that take a host from one specification to another.
func rollout(n model.Node, was, want string) []plan.Op {
	host, batch := plan.NodeSubject(n.Path), plan.BatchSubject(0)
	type facts = []plan.Fact
	is := func(a plan.Attr, v string) plan.Fact { return plan.Fact{Subject: host, Attr: a, Value: v} }
	of := func(a plan.Attr, v string) plan.Fact { return plan.Fact{Subject: batch, Attr: a, Value: v} }
	conditions := map[plan.Kind][2]facts{
		plan.SlotWrite:    {{is(plan.AttrHost, was)}, {is(plan.AttrIdle, want)}},
		plan.BatchCertify: {nil, {of(plan.AttrCertified, plan.Yes)}},
		plan.HostCordon:   {{of(plan.AttrCertified, plan.Yes)}, {is(plan.AttrCordon, plan.Set)}},
		plan.HostDrain:    {{is(plan.AttrCordon, plan.Set)}, {is(plan.AttrGuests, plan.None)}},
		plan.CephNoout:    {{is(plan.AttrCeph, plan.Up)}, {is(plan.AttrNoout, plan.Set)}},
		plan.CephStop:     {{is(plan.AttrNoout, plan.Set), is(plan.AttrCeph, plan.Up)}, {is(plan.AttrCeph, plan.Stopped)}},
		plan.SlotBoot: {{is(plan.AttrIdle, want), is(plan.AttrGuests, plan.None), is(plan.AttrCeph, plan.Stopped), is(plan.AttrCordon, plan.Set), is(plan.AttrNoout, plan.Set)},
			{is(plan.AttrHost, want), is(plan.AttrIdle, was)}},
		plan.CephStart:    {{is(plan.AttrHost, want)}, {is(plan.AttrCeph, plan.Up)}},
		plan.CephRestore:  {{is(plan.AttrCeph, plan.Up)}, {is(plan.AttrNoout, "")}},
		plan.SlotCommit:   {{is(plan.AttrHost, want)}, {is(plan.AttrDefault, want)}},
		plan.HostUncordon: {{is(plan.AttrDefault, want)}, {is(plan.AttrCordon, ""), is(plan.AttrGuests, "")}},
		plan.BatchGate:    {{is(plan.AttrCordon, "")}, {of(plan.AttrGate, plan.Open)}},
		plan.BatchBake:    {{of(plan.AttrGate, plan.Open)}, {of(plan.AttrBaked, plan.Yes)}},
	}
	var out []plan.Op
	for _, k := range rolloutKinds {
		c := conditions[k]
		sub := c[1][0].Subject
		op := plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Pre: c[0], Post: c[1]}
		if k == plan.BatchBake {
			op.Args = map[string]string{"seconds": "600"}
		}
		out = append(out, op)
	}
	return out
}

// disturbances are what others do to a host between our ops.
func disturbances(t *testing.T, lab New) {
	for _, c := range []struct {
		name string
		at   plan.Kind
		do   func(*bench)
	}{
		{"an operator starts a machine on a drained host", plan.SlotBoot, func(b *bench) {
			b.lab.Place(model.ObservedVM{Name: "stray", Node: b.node.Path})
		}},
		{"an operator unsets noout", plan.CephStop, func(b *bench) {
			if err := b.lab.World().Storage.SetNoout(b.Context(), b.node, time.Time{}); err != nil {
				b.Fatal(err)
			}
		}},
		{"an operator uncordons", plan.HostDrain, func(b *bench) {
			if err := b.lab.World().Cordons.SetCordon(b.Context(), b.node, ops.Mark{}); err != nil {
				b.Fatal(err)
			}
		}},
		{"the daemons start by themselves", plan.SlotBoot, func(b *bench) {
			if err := b.lab.World().Storage.SetDaemons(b.Context(), b.node, true); err != nil {
				b.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRollout(t, lab)
				op := b.before(c.at)
				c.do(b)
				b.do(op) // all its preconditions hold again before it acts, or it does not
				if c.at != plan.SlotBoot {
					for _, f := range op.Pre {
						b.holds(f)
					}
				}
				b.empty()
			})
		})
	}
}

// held has a machine that cannot be migrated stopped with its owner's consent. It is started again also when somebody has taken the cordon away.
func held(t *testing.T, lab New) {
	t.Run("a machine is held, and an operator uncordons", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newRollout(t, lab)
			b.lab.Place(model.ObservedVM{Name: "pinned", Node: b.node.Path, Fixed: "pci", OnDrain: "stop_start"})
			op := b.before(plan.HostUncordon)
			w := b.lab.World()
			if err := w.Cordons.SetCordon(b.Context(), b.node, ops.Mark{}); err != nil {
				b.Fatal(err)
			}
			if err := b.driver.Check(b.Context(), op); err != nil {
				b.Errorf("its machines wait, and Check says %v", err)
			}
			b.do(op)
			list, err := w.Guests.List(b.Context(), b.node)
			if err != nil || len(list) != 1 || list[0].Held {
				b.Errorf("on the host are %v (%v)", list, err)
			}
		})
	})
}

// holds fails unless the world shows a fact.
func (b *bench) holds(f plan.Fact) {
	b.Helper()
	if f.Attr == plan.AttrCeph || ofBatch(f.Subject) {
		return // what the op changed
	}
	op := plan.Op{ID: "look", Kind: plan.HostVerify, Target: f.Subject, Post: []plan.Fact{f}}
	if err := b.driver.Verify(b.Context(), op); err != nil {
		b.Errorf("%v does not hold: %v", f, err)
	}
}

// empty fails when a virtual machine is left on the host.
func (b *bench) empty() {
	b.Helper()
	list, err := b.lab.World().Guests.List(b.Context(), b.node)
	if err != nil || len(list) > 0 {
		b.Errorf("on the host are %v (%v)", list, err)
	}
}
