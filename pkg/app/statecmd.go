package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/view"
)

// archiveVersion is the version of the file that pull writes.
const archiveVersion = 1

// maxArchiveLine bounds a line of such a file.
const maxArchiveLine = 64 << 20

// archiveLine is one line of the file: the first has version and epoch, then come the entries and the records, and the last has the digest of all
// before it.
type archiveLine struct {
	FormatVersion int           `json:"format_version,omitempty"`
	Epoch         int64         `json:"epoch,omitempty"`
	Pulled        time.Time     `json:"pulled,omitzero"`
	Entry         *state.Stray  `json:"entry,omitempty"`
	Record        *state.Record `json:"record,omitempty"`
	SHA256        string        `json:"sha256,omitempty"`
}

// StatePull writes everything that the state holds, its journal included, into a file. Nothing in it is secret. It takes no lease.
func StatePull(ctx context.Context, e Env, file string) (err error) {
	s, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	tmp := file + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	entries, records, err := writeArchive(ctx, s, f, e.Now())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("pull %s into %s: %w", s.Where(), tmp, err), os.Remove(tmp))
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	e.note("Pulled %s: %s and %s into %s.", s.Where(), entriesOf(entries), view.Plural(records, "record"), file)
	return nil
}

// writeArchive writes a site's contents, its entries first: the journal may then know more than they do, which resuming bears, and not less.
func writeArchive(ctx context.Context, s site, w io.Writer, now time.Time) (entries, records int, err error) {
	sum := sha256.New()
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(io.MultiWriter(out, sum))
	c, err := s.Export(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = enc.Encode(archiveLine{FormatVersion: archiveVersion, Epoch: c.Epoch, Pulled: now.UTC()})
	for i := range c.Entries {
		err = errors.Join(err, enc.Encode(archiveLine{Entry: &c.Entries[i]}))
	}
	for r, rerr := range s.Records(ctx) {
		if err = errors.Join(err, rerr); err != nil {
			return 0, 0, err
		}
		err = enc.Encode(archiveLine{Record: &r})
		records++
	}
	err = errors.Join(err, json.NewEncoder(out).Encode(archiveLine{SHA256: hex.EncodeToString(sum.Sum(nil))}), out.Flush())
	return len(c.Entries), records, err
}

// archive is a file that pull wrote, read and checked.
type archive struct {
	state.Contents
	records []state.Record
	pulled  time.Time
}

func (a archive) all() iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for _, r := range a.records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// readArchive reads such a file. One that is not whole, or was changed, is refused as a whole.
func readArchive(r io.Reader) (archive, error) {
	var a archive
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxArchiveLine)
	sum, whole := sha256.New(), false
	for n := 1; in.Scan(); n++ {
		var l archiveLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil || whole {
			return a, fmt.Errorf("line %d is not what nuboctl state pull writes: %w", n, errors.Join(state.ErrDamaged, err))
		}
		if n == 1 && l.FormatVersion != archiveVersion {
			return a, fmt.Errorf("it has format_version %d, this program knows %d", l.FormatVersion, archiveVersion)
		}
		if err := a.take(n, l, sum, &whole); err != nil {
			return a, err
		}
		sum.Write(append(in.Bytes(), '\n'))
	}
	if err := in.Err(); err != nil {
		return a, err
	}
	if !whole {
		return a, fmt.Errorf("it ends too early: %w", state.ErrDamaged)
	}
	return a, nil
}

func (a *archive) take(n int, l archiveLine, sum hash.Hash, whole *bool) error {
	switch {
	case n == 1:
		a.Epoch, a.pulled = l.Epoch, l.Pulled
	case l.Entry != nil:
		a.Entries = append(a.Entries, *l.Entry)
	case l.Record != nil:
		a.records = append(a.records, *l.Record)
	case l.SHA256 != hex.EncodeToString(sum.Sum(nil)):
		return fmt.Errorf("line %d: the digest is not that of what stands before it: %w", n, state.ErrDamaged)
	default:
		*whole = true
	}
	return nil
}

// StatePush puts a pulled file into the state that the inventory names, which must be empty.
func StatePush(ctx context.Context, e Env, file string) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer f.Close()
	a, err := readArchive(f)
	if err != nil {
		return fmt.Errorf("push %s: %w", file, err)
	}
	s, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	lease, err := e.acquireAny(ctx, s, "", "state push")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	if err := fill(ctx, e, s, lease, a.Contents, a.all()); err != nil {
		return fmt.Errorf("push %s into %s: %w", file, s.Where(), err)
	}
	if err := completed(ctx, s, lease); err != nil {
		return fmt.Errorf("push %s into %s: %w", file, s.Where(), err)
	}
	e.note("Pushed %s and %s into %s.", entriesOf(len(a.Entries)), view.Plural(len(a.records), "record"), s.Where())
	return nil
}

// fill fills a site that is empty or not in use, and compares all of it with what it should be. It leaves the site marked as not complete: see
// completed.
func fill(ctx context.Context, e Env, s site, lease state.Lease, c state.Contents, records iter.Seq2[state.Record, error]) error {
	if err := fillable(ctx, s); err != nil {
		return err
	}
	c.Entries = slices.DeleteFunc(slices.Clone(c.Entries), func(x state.Stray) bool { return x.Bucket == movedBucket })
	marked := c
	mark, err := json.Marshal(movedMark{Incomplete: true, By: whoAmI(), At: e.Now().UTC()})
	if err != nil {
		return err
	}
	marked.Entries = append(slices.Clone(c.Entries), state.Stray{Bucket: movedBucket, Key: movedKey, Value: mark})
	// The mark comes first: a process that dies in the middle leaves a site that nobody works with.
	if err := s.Commit(ctx, lease.Fence(), state.Write{Bucket: movedBucket, Key: movedKey, Value: mark}); err != nil {
		return err
	}
	if err := s.Fill(ctx, lease, marked, records); err != nil {
		return err
	}
	return same(ctx, s, marked, records)
}

// same compares a site with what was put into it: every entry, every record.
func same(ctx context.Context, s site, c state.Contents, records iter.Seq2[state.Record, error]) error {
	got, err := s.Export(ctx)
	if err != nil {
		return err
	}
	c.Sort()
	equal := func(a, b state.Stray) bool {
		return a.Bucket == b.Bucket && a.Key == b.Key && string(a.Value) == string(b.Value)
	}
	if !slices.EqualFunc(got.Entries, c.Entries, equal) || got.Epoch < c.Epoch {
		return fmt.Errorf("%s does not hold what was written into it: %w", s.Where(), state.ErrDamaged)
	}
	next, stop := iter.Pull2(s.Records(ctx))
	defer stop()
	for want, err := range records {
		if err != nil {
			return err
		}
		have, rerr, ok := next()
		if rerr != nil || !ok || have.Hash != want.Hash {
			return fmt.Errorf("%s: record %d is not the one that was written: %w", s.Where(), want.Seq, errors.Join(state.ErrDamaged, rerr))
		}
	}
	if r, err, ok := next(); ok {
		return fmt.Errorf("%s: record %d was never written: %w", s.Where(), r.Seq, errors.Join(state.ErrDamaged, err))
	}
	return nil
}

// StateUnlock ends the lease of a scope that its holder cannot give up any more.
func StateUnlock(ctx context.Context, e Env, scope string) (err error) {
	s, err := e.findSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	held, err := s.Unlock(ctx, scope)
	if err != nil {
		return err
	}
	if e.JSON {
		return view.JSON(e.Out, map[string]any{"format_version": 1, "unlocked": held})
	}
	if len(held) == 0 {
		e.note("Nobody holds %s.", s.Where())
	}
	for _, h := range held {
		if _, err := fmt.Fprintf(e.Out, "Unlocked %s: it was held by %s@%s, process %d (%s), since %s.\n", orAll(h.Scope), h.Holder.User, h.Holder.Host, h.Holder.PID,
			h.Holder.Command, h.Holder.Since.Format(time.RFC3339)); err != nil {
			return err
		}
		e.note("What it still sends is refused by etcd, relays and hosts. BMCs cannot tell: make sure that the process is gone before you apply.")
	}
	return nil
}

func orAll(scope string) string {
	if scope == "" {
		return "everything"
	}
	return scope
}

func entriesOf(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
