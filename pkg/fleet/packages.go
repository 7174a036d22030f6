package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/packages"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Packages implements ops.Packages over SSH.
type Packages struct {
	Links *Links
	Epoch int64 // goes with every change
	// Snapshot is the one that the inventory names; Debs gives its packages with their files, verified.
	Snapshot model.Snapshot
	Debs     func(snapshot model.Digest) ([]packages.Package, error)
	// RateMiBs limits what is sent to each host, MiB/s; 0: DefaultSlotRate.
	RateMiBs int
	// Root is a directory on the host in the place of /, for tests.
	Root string
}

// asked are a snapshot's packages for a look at a host: their files do not matter.
func asked(s model.Snapshot) []packages.Package {
	out := make([]packages.Package, len(s.Packages))
	for i, p := range s.Packages {
		out[i] = packages.Package{Name: p.Name, Version: p.Version}
	}
	return out
}

func (p *Packages) driver(n model.Node) packages.Driver {
	return packages.Driver{Root: p.Root, Host: remote.Fenced{Host: p.Links.To(n), Epoch: p.Epoch}, Rate: int64(cmp.Or(p.RateMiBs, DefaultSlotRate)) << 20}
}

// look tells how a host stands to the snapshot.
func (p *Packages) look(ctx context.Context, n model.Node) (model.ObservedPackages, error) {
	link := p.Links.To(n)
	o, err := packages.Driver{Host: link, Root: p.Root}.Observe(ctx, p.Snapshot.Digest, asked(p.Snapshot))
	if errors.Is(err, remote.ErrUnreachable) {
		link.Drop()
	}
	if err != nil {
		return o, fmt.Errorf("%s: %w", n.Path, err)
	}
	return o, nil
}

// State implements ops.Packages.
func (p *Packages) State(ctx context.Context, n model.Node) (ops.PackageState, error) {
	o, err := p.look(ctx, n)
	s := ops.PackageState{Staged: o.Staged}
	if facts.Installed(p.Snapshot, o) {
		s.Installed = o.Done
	}
	return s, err
}

// Busy implements ops.Packages.
func (p *Packages) Busy(ctx context.Context, n model.Node) (bool, error) {
	busy, err := packages.Driver{Host: p.Links.To(n), Root: p.Root}.Busy(ctx)
	if err != nil {
		return false, fmt.Errorf("%s: %w", n.Path, err)
	}
	return busy, nil
}

// is refuses another snapshot than the one whose packages are known.
func (p *Packages) is(n model.Node, snapshot model.Digest) error {
	if snapshot != p.Snapshot.Digest || snapshot == "" {
		return fmt.Errorf("%s: the plan names snapshot %s, and %s is at hand: plan again", n.Path, snapshot.Short(), p.Snapshot.Digest.Short())
	}
	return nil
}

// Stage implements ops.Packages.
func (p *Packages) Stage(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	if err := p.is(n, snapshot); err != nil {
		return err
	}
	list, err := p.Debs(snapshot)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	err = p.driver(n).Stage(ctx, snapshot, list, func(text string, done, total int64) { report(plan.Progress{Text: text, Done: done, Total: total}) })
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// Install implements ops.Packages. The host goes on by itself when the connection is lost, as it is when Open vSwitch restarts, and is found at it again.
func (p *Packages) Install(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	if err := p.is(n, snapshot); err != nil {
		return err
	}
	seen, err := p.look(ctx, n)
	if err != nil || facts.Installed(p.Snapshot, seen) {
		return err
	}
	if err := p.driver(n).Begin(ctx, snapshot, restarts(seen.Services)); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	if err := p.follow(ctx, n, snapshot, report); err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// restarts are what the host is to restart afterwards.
func restarts(units []string) (out []packages.Restart) {
	for _, u := range units {
		switch plan.CareOf(u) {
		case plan.UnitRestart:
			out = append(out, packages.Restart{Unit: u})
		case plan.UnitReload:
			out = append(out, packages.Restart{Unit: u, Reload: true})
		}
	}
	return out
}

// follow watches the installation until it ends, over as many connections as that takes.
func (p *Packages) follow(ctx context.Context, n model.Node, snapshot model.Digest, report func(plan.Progress)) error {
	heard, link := time.Now(), p.Links.To(n)
	_, err := backoff.Retry(ctx, func() (bool, error) {
		err := packages.Driver{Host: link, Root: p.Root}.Follow(ctx, snapshot, func(text string) {
			heard = time.Now()
			report(plan.Progress{Text: text})
		})
		if errors.Is(err, remote.ErrUnreachable) && time.Since(heard) < followPatience {
			link.Drop()
			return false, err
		}
		if err != nil {
			err = backoff.Permanent(err)
		}
		return true, err
	}, backoff.WithMaxElapsedTime(0))
	return err
}
