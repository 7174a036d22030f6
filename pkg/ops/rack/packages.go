package rack

import (
	"context"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

type packages struct{ f *Rack }

// What bringing and installing packages take, and how often somebody who follows looks.
const (
	stageTime   = 40 * time.Second
	installTime = 60 * time.Second
	followTime  = 5 * time.Second
)

func (p packages) State(ctx context.Context, n model.Node) (ops.PackageState, error) {
	return at(ctx, p.f, n, func(b *blade) ops.PackageState { return b.packages })
}

func (p packages) Busy(ctx context.Context, n model.Node) (bool, error) {
	return at(ctx, p.f, n, func(b *blade) bool { return b.unpacks })
}

func (p packages) Stage(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	if _, err := p.State(ctx, n); err != nil {
		return err
	}
	report(plan.Progress{Text: "libssl3", Done: 1, Total: 2})
	if err := p.f.clock.Sleep(ctx, stageTime); err != nil {
		return err
	}
	return p.f.change(ctx, n, "bring packages", func(b *blade) error { b.packages.Staged = snapshot; return nil })
}

// Install begins an installation, which goes on by itself unless the host goes down, and follows it.
func (p packages) Install(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	err := p.f.change(ctx, n, "install packages", func(b *blade) error {
		if b.packages.Staged != snapshot {
			return fmt.Errorf("%s: the files of snapshot %s are not there", n.Path, snapshot.Short())
		}
		if b.packages.Installed == snapshot || b.unpacks {
			return nil
		}
		b.unpacks, b.packages.Installed = true, ""
		p.f.after(b, installTime, func() {
			if b.unpacks = false; b.fault == Broken {
				return
			}
			if b.packages.Installed = snapshot; p.f.Installed != nil {
				p.f.Installed(n.Path)
			}
		})
		return nil
	})
	if err != nil {
		return err
	}
	report(plan.Progress{Text: "unpack libssl3"})
	for {
		type seen struct{ runs, done bool }
		is, err := at(ctx, p.f, n, func(b *blade) seen { return seen{b.unpacks, b.packages.Installed == snapshot} })
		switch {
		case err != nil || is.done:
			return err
		case !is.runs:
			return fmt.Errorf("%s: dpkg: error processing package libssl3 (--configure)", n.Path)
		}
		if err := p.f.clock.Sleep(ctx, followTime); err != nil {
			return err
		}
	}
}
