package world

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

func (o Options) inPlace() bool { return o.Packages.Digest != "" }

// touches reports whether a package of the rollout is of a kind.
func (o Options) touches(kind func(name string) bool) bool {
	return slices.ContainsFunc(o.Packages.Packages, func(p model.SnapshotPackage) bool { return kind(p.Name) })
}

// installed takes in that a host has its packages.
func (w *World) installed(path model.Path) { w.Truth.Hosts[w.index[path]].New = true }

// packages are those of the rack, with what goes wrong.
type packages struct {
	w *World
	ops.Packages
}

// Stage implements ops.Packages.
func (p packages) Stage(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	if _, _, err := p.w.reach(ctx, n); err != nil {
		return err
	}
	if p.w.chance(p.w.opt.Faults.Install) {
		return fmt.Errorf("%s: libssl3_3.0.11-2_amd64.deb: content did not arrive whole", n.Path)
	}
	return errors.Join(p.Packages.Stage(ctx, n, snapshot, report), p.w.reply(-1))
}

// Install implements ops.Packages.
func (p packages) Install(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	i, h, err := p.w.reach(ctx, n)
	if err != nil {
		return err
	}
	if p.w.chance(p.w.opt.Faults.Install) {
		return fmt.Errorf("%s: dpkg: error: dpkg frontend lock was locked by another process", n.Path)
	}
	if !h.New {
		p.w.tell(Act{Kind: Packages, Host: i, Ours: true})
	}
	return errors.Join(p.Packages.Install(ctx, n, snapshot, report), p.w.reply(-1))
}
