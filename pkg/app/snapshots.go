package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/packages"
	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// snapshotLine is a snapshot as a list shows it.
type snapshotLine struct {
	Name     string         `json:"name"`
	Digest   model.Digest   `json:"digest"`
	Packages []manifest.Deb `json:"packages"`
	Size     int64          `json:"size"` // bytes of all packages
	Fault    string         `json:"fault,omitempty"`
}

// Snapshot makes a snapshot of the packages in a directory and signs it; with no directory it reads every byte of the one that is there, and tells what is in it.
func Snapshot(ctx context.Context, e Env, name, from string) error {
	if err := e.hasKeyPlace(); err != nil {
		return err
	}
	store, key, err := e.imageStore(true)
	if err != nil {
		return err
	}
	if from != "" {
		d, err := store.MakeSnapshot(ctx, name, from)
		if err != nil {
			return err
		}
		if err := store.SignSnapshot(d, key); err != nil {
			return err
		}
	}
	l, err := e.snapshotLine(store, name)
	if err == nil {
		err = wholeSnapshot(store, l)
	}
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, map[string]any{"format_version": 1, "snapshots": []snapshotLine{l}})
	}
	fmt.Fprintf(e.Out, "%s  %s  %s, %s, signed\n", l.Name, l.Digest.Short(), view.Plural(len(l.Packages), "package"), view.Bytes(l.Size))
	for _, p := range l.Packages {
		fmt.Fprintf(e.Out, "  %-32s %-28s %-6s %9s\n", p.Name, p.Version, p.Architecture, view.Bytes(p.Size))
	}
	return nil
}

// wholeSnapshot reads every package of a snapshot.
func wholeSnapshot(s image.Store, l snapshotLine) error {
	var errs []error
	for _, p := range l.Packages {
		errs = append(errs, s.CheckDeb(p))
	}
	return errors.Join(errs...)
}

func (e Env) snapshotLine(s image.Store, name string) (snapshotLine, error) {
	l := snapshotLine{Name: name, Packages: []manifest.Deb{}}
	d, err := s.ResolveSnapshot(name)
	if err != nil {
		return l, err
	}
	l.Digest = d
	k, _, err := openKeys(e.stateDir(), e.Now())
	if err != nil {
		return l, err
	}
	m, err := s.Snapshot(d, k.Public)
	if err != nil {
		return l, err
	}
	l.Packages = m.Debs
	for _, p := range m.Debs {
		l.Size += p.Size
	}
	return l, nil
}

// SnapshotList lists the snapshots of the store. One that cannot be read is listed with what is wrong with it.
func SnapshotList(e Env) error {
	if err := e.hasKeyPlace(); err != nil {
		return err
	}
	store, _, err := e.imageStore(true)
	if err != nil {
		return err
	}
	names, err := store.Snapshots()
	if err != nil {
		return err
	}
	list := []snapshotLine{}
	for _, n := range names {
		l, err := e.snapshotLine(store, n)
		if err != nil {
			l.Fault = err.Error()
		}
		list = append(list, l)
	}
	if e.JSON {
		return view.JSON(e.Out, map[string]any{"format_version": 1, "snapshots": list})
	}
	if len(list) == 0 {
		e.note("There are no snapshots of packages in %s; nuboctl image snapshot NAME --from DIR makes one of .deb files.", store.Dir)
		return nil
	}
	fmt.Fprintf(e.Out, "%-20s %-12s %9s %10s  %s\n", "NAME", "DIGEST", "PACKAGES", "SIZE", "SIGNED")
	for _, l := range list {
		signed := "yes"
		if l.Fault != "" {
			signed = l.Fault
		}
		fmt.Fprintf(e.Out, "%-20s %-12s %9d %10s  %s\n", l.Name, l.Digest.Short(), len(l.Packages), view.Bytes(l.Size), signed)
	}
	return nil
}

// usePackages has a rollout put packages in place, from a snapshot.
func (s *session) usePackages(name string) {
	s.desired.Rollout.Method, s.desired.Rollout.Snapshot = facts.MethodPackages, model.Snapshot{Name: name}
}

// choosePackages takes the snapshot that an upgrade names, or the inventory's.
func (s *session) choosePackages(goal plan.Goal, o PlanOptions) error {
	switch {
	case o.Packages != "" && goal != plan.GoalUpgrade:
		return fmt.Errorf("--packages goes with an upgrade, not with the goal %s", goal)
	case o.Packages != "" && o.Image != "":
		return errors.New("--packages and --image: hosts get packages in place, or another image; give one of them")
	case o.Packages != "":
		s.usePackages(o.Packages)
	}
	return s.pinSnapshot(goal)
}

// pinSnapshot finds the snapshot that an upgrade is to put in place. One that is not in the store stays without a digest; the planner says so.
func (s *session) pinSnapshot(goal plan.Goal) error {
	r := &s.desired.Rollout
	if goal != plan.GoalUpgrade || r.Method != facts.MethodPackages || r.Snapshot.Name == "" {
		r.Snapshot = model.Snapshot{Name: r.Snapshot.Name}
		return nil
	}
	d, err := s.images.ResolveSnapshot(r.Snapshot.Name)
	if errors.Is(err, image.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := s.snapshot(d)
	if err != nil {
		return err
	}
	r.Snapshot.Digest, r.Snapshot.Packages = d, nil
	for _, p := range m.Debs {
		r.Snapshot.Packages = append(r.Snapshot.Packages, model.SnapshotPackage{Name: p.Name, Version: p.Version, Needs: p.Needs()})
	}
	return nil
}

// snapshot gives a snapshot's manifest, verified with this operator's key.
func (s *session) snapshot(d model.Digest) (*manifest.Snapshot, error) {
	m, err := s.images.Snapshot(d, s.keys.Public)
	if errors.Is(err, manifest.ErrSignature) || errors.Is(err, image.ErrNotFound) {
		return nil, fmt.Errorf("snapshot %s: %w; nuboctl image snapshot NAME --from DIR makes and signs one", d.Short(), err)
	}
	return m, err
}

// debs gives the packages of a snapshot with their files.
func (s *session) debs(d model.Digest) ([]packages.Package, error) {
	m, err := s.snapshot(d)
	if err != nil {
		return nil, err
	}
	out := make([]packages.Package, len(m.Debs))
	for i, p := range m.Debs {
		out[i] = packages.Package{Name: p.Name, Version: p.Version, Digest: p.Digest, File: p.File(), Size: p.Size, Open: func() (io.ReadCloser, error) { return s.images.OpenDeb(p) }}
	}
	return out, nil
}
