package opstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// newReinstall is a bench with three hosts that run, of which the first is laid down anew with another image.
func newReinstall(t *testing.T, lab New) *bench {
	b := newRollout(t, lab)
	b.ops = b.reinstall()
	return b
}

// newRecall is a bench whose order to lay the first host down anew is out, and is taken back.
func newRecall(t *testing.T, lab New) *bench {
	b := newReinstall(t, lab)
	i := slices.IndexFunc(b.ops, func(o plan.Op) bool { return o.Kind == plan.OrderArm })
	arm := b.ops[i]
	b.ops = append(b.ops[:i+1], plan.Op{ID: plan.ID(plan.OrderRecall, arm.Target), Kind: plan.OrderRecall, Target: arm.Target, Pre: arm.Post,
		Post: []plan.Fact{{Subject: arm.Target, Attr: plan.AttrOrder}}})
	return b
}

// reinstall are the ops that empty a host, lay it down anew and give it back.
func (b *bench) reinstall() []plan.Op {
	b.Helper()
	w := b.lab.World()
	n := b.node
	n.Image.Digest = model.DigestBytes([]byte("debian-14"))
	want := string(facts.HostSpec(n.Image.Digest, n.Config))
	c, err := w.Storage.Observe(b.Context(), n)
	if err != nil || c.Data == "" {
		b.Fatalf("the OSDs of the host are %q, %v", c.Data, err)
	}
	sub := plan.NodeSubject(n.Path)
	is := func(pairs ...any) (out []plan.Fact) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, plan.Fact{Subject: sub, Attr: pairs[i].(plan.Attr), Value: pairs[i+1].(string)})
		}
		return out
	}
	down := is(plan.AttrCordon, plan.Set, plan.AttrGuests, plan.None, plan.AttrNoout, plan.Set, plan.AttrCeph, plan.Stopped)
	var out []plan.Op
	add := func(k plan.Kind, args map[string]string, pre, post []plan.Fact) {
		out = append(out, plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Args: args, Pre: pre, Post: post})
	}
	hold := map[string]string{"noout": "1h"}
	add(plan.HostCordon, nil, nil, down[:1])
	add(plan.HostDrain, nil, down[:1], down[1:2])
	add(plan.CephNoout, hold, nil, down[2:3])
	add(plan.CephStop, hold, append(is(plan.AttrKept, c.Data), down[2]), down[3:])
	add(plan.OrderArm, map[string]string{"goal": "reinstall"}, down, is(plan.AttrOrder, want, plan.AttrInstall, ""))
	add(plan.HostOff, hold, append(is(plan.AttrOrder, want, plan.AttrInstall, ""), down...), is(plan.AttrPower, "off", plan.AttrHost, ""))
	add(plan.BootNetwork, nil, is(plan.AttrPower, "off"), is(plan.AttrBoot, facts.NetBoot))
	add(plan.PowerOn, nil, is(plan.AttrOrder, want, plan.AttrInstall, "", plan.AttrPower, "off", plan.AttrBoot, facts.NetBoot), is(plan.AttrPower, "on", plan.AttrBoot, "", plan.AttrInstall, facts.PhaseStarted))
	add(plan.InstallWait, nil, is(plan.AttrInstall, facts.PhaseStarted), is(plan.AttrInstall, facts.PhaseInstalled))
	add(plan.HostVerify, map[string]string{"image": string(n.Image.Digest), "config": string(n.Config)}, is(plan.AttrInstall, facts.PhaseInstalled), is(plan.AttrHost, want))
	add(plan.OVSEnsure, nil, is(plan.AttrHost, want), is(plan.AttrOVS, facts.OVSValue(facts.Bridges(w.Desired, n))))
	add(plan.KVMEnsure, nil, is(plan.AttrHost, want), is(plan.AttrKVM, facts.KVMReady))
	add(plan.CephStart, nil, is(plan.AttrHost, want), is(plan.AttrCeph, plan.Up, plan.AttrKept, c.Data))
	add(plan.CephRestore, nil, is(plan.AttrCeph, plan.Up), is(plan.AttrNoout, ""))
	add(plan.HostUncordon, nil, is(plan.AttrHost, want), is(plan.AttrCordon, "", plan.AttrGuests, ""))
	return out
}

// reinstalled takes a host through a reinstall.
func reinstalled(t *testing.T, lab New) {
	for name, test := range map[string]func(*bench){
		"a reinstall keeps the OSDs":                 (*bench).keepsOSDs,
		"noout outlasts a long install":              (*bench).nooutLasts,
		"a host that does not shut down is cut off":  (*bench).stubborn,
		"an install that dies once goes on":          func(b *bench) { b.goesOn(rack.Silent) },
		"an install that fails once goes on":         func(b *bench) { b.goesOn(rack.Failed) },
		"an install that fails for good ends":        (*bench).failsForGood,
		"a disk was swapped while the host was down": (*bench).otherData,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(newReinstall(t, lab)) }) })
	}
	for name, do := range map[string]func(*bench) error{
		"an operator starts a machine on a host that is to go": func(b *bench) error {
			b.lab.Place(model.ObservedVM{Name: "stray", Node: b.node.Path})
			return nil
		},
		"the daemons start by themselves before it goes": func(b *bench) error { return b.lab.World().Storage.SetDaemons(b.Context(), b.node, true) },
		"an operator unsets noout before it goes":        func(b *bench) error { return b.lab.World().Storage.SetNoout(b.Context(), b.node, time.Time{}) },
		"an operator uncordons before it goes":           func(b *bench) error { return b.lab.World().Cordons.SetCordon(b.Context(), b.node, ops.Mark{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newReinstall(t, lab)
				op := b.before(plan.HostOff)
				if err := do(b); err != nil {
					t.Fatal(err)
				}
				seen := &downLook{Hosts: b.lab.World().Hosts, world: b.lab.World()}
				w := b.lab.World()
				w.Hosts = seen
				b.driver = ops.New(w)
				b.do(op)
				if len(seen.wrong) > 0 || !seen.told {
					t.Errorf("when it was told to shut down (%v): %s", seen.told, strings.Join(seen.wrong, "; "))
				}
			})
		})
	}
}

// downLook looks at a host right before it is told to shut down.
type downLook struct {
	ops.Hosts
	world ops.World
	told  bool
	wrong []string
}

// Shutdown implements ops.Hosts.
func (d *downLook) Shutdown(ctx context.Context, n model.Node) error {
	d.told = true
	guests, err1 := d.world.Guests.List(ctx, n)
	c, err2 := d.world.Storage.Observe(ctx, n)
	mark, err3 := d.world.Cordons.Cordon(ctx, n)
	for what, is := range map[string]bool{"machines run": len(guests) > 0, "its daemons run": c.Daemons != plan.Stopped, "it has no noout": c.Noout.IsZero(), "it is not cordoned": mark.Until.IsZero()} {
		if is {
			d.wrong = append(d.wrong, what)
		}
	}
	return errors.Join(err1, err2, err3, d.Hosts.Shutdown(ctx, n))
}

func (b *bench) keepsOSDs() {
	for _, op := range b.ops {
		b.do(op)
	}
	i := slices.IndexFunc(b.ops, func(o plan.Op) bool { return o.Kind == plan.CephStart })
	b.probe(b.ops[i], plan.Applied)
	if n := b.lab.Begun(b.node.Path); n != 1 {
		b.Errorf("its disk was begun to be written %d times", n)
	}
}

func (b *bench) nooutLasts() {
	b.do(b.before(plan.HostOff))
	seen, err := b.lab.World().Storage.Observe(b.Context(), b.node)
	if err == nil && !seen.Noout.IsZero() && seen.Noout.Sub(b.clock.Now()) < 50*time.Minute {
		b.Errorf("noout ends in %s, and the install has only begun", seen.Noout.Sub(b.clock.Now()))
	}
}

func (b *bench) stubborn() {
	op := b.before(plan.HostOff)
	b.lab.Break(b.node.Path, rack.Stubborn)
	began := b.clock.Now()
	b.do(op)
	if took := b.clock.Now().Sub(began); took < 4*time.Minute {
		b.Errorf("its power was cut after %s", took)
	}
}

// goesOn has the installer fail in its first boot. The order goes on in the next.
func (b *bench) goesOn(f rack.Fault) {
	op := b.before(plan.InstallWait)
	op.Args = map[string]string{"boots": "3"}
	b.lab.Break(b.node.Path, f)
	b.clock.AfterFunc(time.Minute, func() { b.lab.Break(b.node.Path, rack.Sound) })
	b.do(op)
	if n := b.lab.Begun(b.node.Path); n < 2 || n > 3 {
		b.Errorf("its disk was begun to be written %d times", n)
	}
}

func (b *bench) failsForGood() {
	op := b.before(plan.InstallWait)
	op.Args = map[string]string{"boots": "3"}
	b.lab.Break(b.node.Path, rack.Failed)
	ctx, cancel := b.deadline(op)
	defer cancel()
	err := b.driver.Apply(ctx, op, b.told)
	if n := b.lab.Begun(b.node.Path); n != 3 || err == nil || !strings.Contains(err.Error(), "chunk has a wrong digest") {
		b.Errorf("after %d times: %v", n, err)
	}
}

func (b *bench) otherData() {
	op := b.before(plan.CephStart)
	b.lab.Break(b.node.Path, rack.OtherData)
	ctx, cancel := b.deadline(op)
	defer cancel()
	err := b.driver.Check(ctx, op)
	if err == nil {
		err = b.driver.Apply(ctx, op, b.told)
	}
	if err == nil {
		err = b.driver.Verify(ctx, op)
	}
	if !errors.Is(err, ops.ErrUnverified) || !strings.Contains(err.Error(), "kept of "+string(op.Target)) {
		b.Errorf("another disk is there, and it says %v", err)
	}
}
