package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// Export reads everything, as it is at one moment. It needs no lease.
func (s *Store) Export(ctx context.Context) (state.Contents, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	t, err := s.table(ctx)
	if err != nil {
		return state.Contents{}, err
	}
	c := state.Contents{Epoch: t.epoch}
	base := s.key(keyEntries)
	kvs, err := s.scan(ctx, "read the state", base, clientv3.GetPrefixRangeEnd(base), 0)
	if err != nil {
		return c, err
	}
	for _, kv := range kvs {
		escaped, key, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), base), "/")
		bucket, err := url.PathUnescape(escaped)
		if !ok || err != nil {
			return c, fmt.Errorf("read the state: key %q: %w", kv.Key, state.ErrDamaged)
		}
		c.Entries = append(c.Entries, state.Stray{Bucket: bucket, Key: key, Value: nonNil(kv.Value)})
	}
	c.Sort()
	return c, nil
}

// Import puts contents and the records of a journal in the place of everything that is there. It is not one step: who calls it marks the store
// as not complete before, and takes the mark away afterwards. Leases that are taken afterwards have newer epochs than both.
func (s *Store) Import(ctx context.Context, l state.Lease, c state.Contents, records iter.Seq2[state.Record, error]) error {
	own, ok := l.(*lease)
	if !ok || own.store != s {
		return errors.New("etcd: contents are put in under a lease of the same store")
	}
	ctx, cancel := own.bound(ctx)
	defer cancel()
	im := importer{s: s, l: own, ctx: ctx}
	for _, prefix := range []string{keyEntries, keyRecords, keyParts} {
		im.add(clientv3.OpDelete(s.key(prefix), clientv3.WithPrefix()), 0)
	}
	im.add(clientv3.OpDelete(s.key(keyHead)), 0)
	im.add(clientv3.OpDelete(s.key(keyCheckpoint)), 0)
	im.add(clientv3.OpPut(s.key(keyEpoch), strconv.FormatInt(max(c.Epoch, own.fence.Epoch), 10)), 0)
	im.flush()
	for _, e := range c.Entries {
		im.add(clientv3.OpPut(s.bucketKey(e.Bucket, e.Key), string(e.Value)), len(e.Value))
	}
	var pos position
	for r, err := range records {
		if im.err == nil {
			im.err = errors.Join(err, pos.follows(r))
		}
		if im.err != nil {
			break
		}
		im.record(r)
		pos = position{r.Seq, r.Hash}
	}
	im.flush()
	if pos.Seq > 0 {
		head, err := json.Marshal(pos)
		im.err = errors.Join(im.err, err)
		im.add(clientv3.OpPut(s.key(keyHead), string(head)), 0)
		im.flush()
	}
	return im.err
}

// importer writes many keys in as few transactions as possible.
type importer struct {
	s    *Store
	l    *lease
	ctx  context.Context //nolint:containedctx // it lives as long as one call of Import
	ops  []clientv3.Op
	size int
	err  error
}

func (im *importer) add(op clientv3.Op, size int) {
	if len(im.ops) >= 2*groupSize || im.size+size > maxBytes {
		im.flush()
	}
	im.ops, im.size = append(im.ops, op), im.size+size+len(op.KeyBytes())
}

// record writes a record as it was: one whose line cannot be made again byte for byte is refused.
func (im *importer) record(r state.Record) {
	hash := r.Hash
	line, err := journal.Encode(&r)
	if err == nil && r.Hash != hash {
		err = fmt.Errorf("journal record %d was written by another version of this program; use that one to move it", r.Seq)
	}
	im.err = errors.Join(im.err, err)
	im.add(clientv3.OpPut(im.s.recordKey(r.Seq), string(line[:max(0, len(line)-1)])), len(line))
}

func (im *importer) flush() {
	if im.err != nil || len(im.ops) == 0 {
		return
	}
	ops := im.ops
	im.err = im.s.call(im.ctx, "write the state", func(ctx context.Context) error {
		resp, err := im.s.client.Txn(ctx).If(im.l.here(im.s)).Then(ops...).Commit()
		if err == nil && !resp.Succeeded {
			return fenced(im.l.fence)
		}
		return err
	})
	im.ops, im.size = nil, 0
}

// Held is a lease that somebody has.
type Held struct {
	Scope  string
	Epoch  int64
	Holder state.Holder
}

// Leases lists the leases that are held now.
func (s *Store) Leases(ctx context.Context) ([]Held, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	t, err := s.table(ctx)
	var out []Held
	for _, l := range t.leases {
		out = append(out, Held{Scope: l.info.Scope, Epoch: l.info.Epoch, Holder: l.info.Holder})
	}
	return out, err
}

// Unlock ends the leases of a scope, and of every scope that overlaps it, at once, and returns what they were. What their holders write from then
// on is refused, by etcd, relays and hosts; what they do to management controllers is not.
func (s *Store) Unlock(ctx context.Context, scope string) ([]Held, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	t, err := s.table(ctx)
	if err != nil {
		return nil, err
	}
	var out []Held
	for _, l := range t.leases {
		if !state.Overlap(l.info.Scope, scope) {
			continue
		}
		if err := s.revoke(ctx, l.id); err != nil {
			return out, err
		}
		out = append(out, Held{Scope: l.info.Scope, Epoch: l.info.Epoch, Holder: l.info.Holder})
	}
	return out, nil
}
