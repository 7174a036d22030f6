package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// A site that is not to be worked with says so in one entry.
const (
	movedBucket = "site"
	movedKey    = "moved"
)

// movedMark is that entry.
type movedMark struct {
	To         string    `json:"to,omitempty"`
	Incomplete bool      `json:"incomplete,omitempty"` // it is being filled, or was and nobody came to the end
	By         string    `json:"by"`
	At         time.Time `json:"at"`
}

// markOf reads the mark of a site.
func markOf(ctx context.Context, s state.Store) (movedMark, bool, error) {
	var m movedMark
	e, err := s.Get(ctx, movedBucket, movedKey)
	if errors.Is(err, state.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(e.Value, &m); err != nil {
		return m, false, fmt.Errorf("read %s/%s: %w: %w", movedBucket, movedKey, state.ErrDamaged, err)
	}
	return m, true, nil
}

// stayed refuses a site that is not to be worked with.
func stayed(ctx context.Context, s site) error {
	m, marked, err := markOf(ctx, s)
	switch {
	case err != nil || !marked:
		return err
	case m.Incomplete:
		return fmt.Errorf("%s is not complete: %s began to fill it at %s and did not come to the end; run that command again", s.Where(), m.By, m.At.Format(time.RFC3339))
	}
	return fmt.Errorf("the state is no longer in %s: %s moved it to %s at %s; let the inventory's state block say so, or move it back with nuboctl state migrate",
		s.Where(), m.By, m.To, m.At.Format(time.RFC3339))
}

// fillable refuses to fill a site that is in use.
func fillable(ctx context.Context, s site) error {
	if _, marked, err := markOf(ctx, s); err != nil || marked {
		return err
	}
	c, err := s.Export(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, err := range s.Records(ctx) {
		if err != nil {
			return err
		}
		n++
	}
	if n+len(c.Entries) > 0 {
		return fmt.Errorf("%s is in use: it has %s and %s; nothing was written over them", s.Where(), entriesOf(len(c.Entries)), view.Plural(n, "record"))
	}
	return nil
}

// StateMigrate moves the state, its journal included, between the state directory and etcd. to is "etcd" or "local"; the inventory's state block
// names the etcd in both cases. Both sides are locked meanwhile, every entry and record is compared, and the side that was left says so from
// then on. It may be interrupted at any point and run again.
func StateMigrate(ctx context.Context, e Env, to string) (err error) {
	if to != "etcd" && to != "local" {
		return fmt.Errorf("migrate --to %q: say etcd or local", to)
	}
	inv, err := e.load()
	if err != nil {
		return err
	}
	if inv.State.Etcd == nil {
		return errors.New(`migrate: the inventory names no etcd: add state { etcd { endpoints = ["https://HOST:2379"] … } }, also to move away from it`)
	}
	dir, err := e.openDirectory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	shared, err := e.openCluster(ctx, inv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	if to == "etcd" {
		return e.migrate(ctx, dir, shared, to)
	}
	return e.migrate(ctx, shared, dir, to)
}

func (e Env) migrate(ctx context.Context, from, into site, word string) (err error) {
	source, err := e.acquireAny(ctx, from, "", "state migrate --to "+word)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Release()) }()
	target, err := e.acquireAny(ctx, into, "", "state migrate --to "+word)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Release()) }()
	left, marked, err := markOf(ctx, from)
	if err != nil {
		return err
	}
	filled, filling, err := markOf(ctx, into)
	if err != nil {
		return err
	}
	// A source that says that it was left, beside a target that is not complete, is an earlier try that ended between its last two steps.
	if marked && (left.Incomplete || left.To != into.Where() || !filling || !filled.Incomplete) {
		return stayed(ctx, from)
	}
	contents, err := from.Export(ctx)
	if err != nil {
		return err
	}
	tried := fmt.Sprintf("move the state from %s to %s", from.Where(), into.Where())
	if err := fill(ctx, e, into, target, contents, from.Records(ctx)); err != nil {
		return fmt.Errorf("%s: %w", tried, err)
	}
	rep, err := into.Verify(ctx)
	if err != nil {
		return err
	}
	// The source is marked while the target still counts as not complete, so that at no moment both can be worked with.
	mark, err := json.Marshal(movedMark{To: into.Where(), By: whoAmI(), At: e.Now().UTC()})
	if err != nil {
		return err
	}
	if err := from.Commit(ctx, source.Fence(), state.Write{Bucket: movedBucket, Key: movedKey, Value: mark}); err != nil {
		return fmt.Errorf("%s: %w", tried, err)
	}
	if err := completed(ctx, into, target); err != nil {
		return fmt.Errorf("%s: %w", tried, err)
	}
	e.note("Moved %s and %s from %s to %s; all were compared.", entriesOf(len(contents.Entries)), view.Plural(int(rep.Records), "record"), from.Where(), into.Where())
	if word == "local" {
		e.note("Now take the state block out of the inventory.")
	}
	return nil
}

// completed takes the mark of a site that was filled away.
func completed(ctx context.Context, s site, l state.Lease) error {
	return s.Commit(ctx, l.Fence(), state.Write{Bucket: movedBucket, Key: movedKey})
}
