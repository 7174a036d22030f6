package opstest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// packageKinds are the kinds of a rollout of packages beside those of every rollout.
var packageKinds = []plan.Kind{plan.PackagesFetch, plan.PackagesInstall}

// newPackages is a bench with three hosts that run, of which the first is emptied and gets packages in place.
func newPackages(t *testing.T, lab New) *bench {
	b := newRollout(t, lab)
	sub, want := plan.NodeSubject(b.node.Path), string(model.DigestBytes([]byte("snapshot")))
	is := func(pairs ...any) (out []plan.Fact) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, plan.Fact{Subject: sub, Attr: pairs[i].(plan.Attr), Value: pairs[i+1].(string)})
		}
		return out
	}
	down := is(plan.AttrCordon, plan.Set, plan.AttrGuests, plan.None, plan.AttrNoout, plan.Set, plan.AttrCeph, plan.Stopped)
	staged, done := is(plan.AttrStaged, want), is(plan.AttrPackages, want)
	b.ops = nil
	add := func(k plan.Kind, pre, post []plan.Fact) {
		b.ops = append(b.ops, plan.Op{ID: plan.ID(k, sub), Kind: k, Target: sub, Pre: pre, Post: post})
	}
	add(plan.PackagesFetch, is(plan.AttrHost, string(b.runs())), staged)
	add(plan.HostCordon, nil, down[:1])
	add(plan.HostDrain, down[:1], down[1:2])
	add(plan.CephNoout, nil, down[2:3])
	add(plan.CephStop, down[2:3], down[3:])
	add(plan.PackagesInstall, append(staged, down...), done)
	add(plan.CephStart, done, is(plan.AttrCeph, plan.Up))
	add(plan.CephRestore, is(plan.AttrCeph, plan.Up), is(plan.AttrNoout, ""))
	add(plan.HostUncordon, done, is(plan.AttrCordon, "", plan.AttrGuests, ""))
	return b
}

// runs is what the bench's host runs.
func (b *bench) runs() model.Digest {
	b.Helper()
	return fakeHost{b}.Runs(b.T)
}

// inPlace takes a host through an installation of packages.
func inPlace(t *testing.T, lab New) {
	for name, test := range map[string]func(*bench){
		"packages, from the first op to the last": func(b *bench) {
			for _, op := range b.ops {
				b.do(op)
			}
		},
		"an installation that fails goes on when it is asked for again": (*bench).installsAgain,
		"a host is not given back while packages are installed":         (*bench).notWhileBusy,
		"a host whose libvirt does not come back halts":                 (*bench).unsoundPackages,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(newPackages(t, lab)) }) })
	}
}

func (b *bench) installsAgain() {
	op := b.before(plan.PackagesInstall)
	b.lab.Break(b.node.Path, rack.Broken)
	ctx, cancel := b.deadline(op)
	defer cancel()
	if err := b.driver.Apply(ctx, op, b.told); err == nil || !strings.Contains(err.Error(), "dpkg: error") || !strings.Contains(err.Error(), "stays cordoned") {
		b.Errorf("dpkg fails, and it says %v", err)
	}
	b.probe(op, plan.NotApplied)
	b.lab.Break(b.node.Path, rack.Sound)
	b.do(op)
	b.probe(op, plan.Applied)
}

func (b *bench) notWhileBusy() {
	op := b.before(plan.PackagesInstall)
	ctx, cancel := b.within(10 * time.Second)
	defer cancel()
	if err := b.driver.Apply(ctx, op, b.told); !errors.Is(err, context.Canceled) {
		b.Errorf("nobody follows any more, and it says %v", err)
	}
	back := plan.Op{Kind: plan.HostUncordon, Target: op.Target}
	for _, o := range []plan.Op{{Kind: plan.CephStart, Target: op.Target}, {Kind: plan.SlotBoot, Target: op.Target}, {Kind: plan.HostOff, Target: op.Target}, back} {
		if err := b.driver.Apply(b.Context(), o, b.told); err == nil || !strings.Contains(err.Error(), "packages are being installed there") {
			b.Errorf("%s in the middle: %v", o.Kind, err)
		}
	}
	fakeHost{b}.Await(b.T, "the installation ends by itself", func() bool {
		busy, err := b.lab.World().Packages.Busy(b.Context(), b.node)
		return err == nil && !busy
	})
	b.probe(op, plan.Applied)
	if err := b.driver.Apply(b.Context(), back, b.told); err != nil {
		b.Errorf("given back at its end: %v", err)
	}
}

func (b *bench) unsoundPackages() {
	op := b.before(plan.PackagesInstall)
	b.lab.Break(b.node.Path, rack.Mute)
	ctx, cancel := b.deadline(op)
	defer cancel()
	if err := b.driver.Apply(ctx, op, b.told); err == nil || !strings.Contains(err.Error(), "libvirt does not answer") {
		b.Errorf("libvirt does not answer afterwards, and it says %v", err)
	}
}
