package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

// head is the end of the journal as it was at a revision of the store.
type head struct {
	pos    position
	keyRev int64 // of the head's key; 0 when there is none
	rev    int64 // of the store
}

func (s *Store) recordKey(seq int64) string { return s.key(keyRecords, fmt.Sprintf("%016d", seq)) }

func (s *Store) head(ctx context.Context) (h head, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = s.call(ctx, "read the journal", func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.key(keyHead))
		if err != nil {
			return err
		}
		h, err = readHead(resp.Kvs, resp.Header.Revision)
		return err
	})
	return h, err
}

func readHead(kvs []*mvccpb.KeyValue, rev int64) (head, error) {
	h := head{rev: rev}
	if len(kvs) == 0 {
		return h, nil
	}
	h.keyRev = kvs[0].ModRevision
	if err := json.Unmarshal(kvs[0].Value, &h.pos); err != nil {
		return h, fmt.Errorf("journal in etcd: its head: %w: %w", state.ErrDamaged, err)
	}
	return h, nil
}

// records yields what stands behind a position, each record checked against the chain, up to a head that it must reach.
func (s *Store) records(ctx context.Context, pos position, h head, fn func(state.Record) bool) error {
	if pos == h.pos {
		return nil
	}
	var bad error
	stopped := false
	err := s.pages(ctx, "read the journal", s.recordKey(pos.Seq+1), s.recordKey(h.pos.Seq+1), h.rev, func(kv *mvccpb.KeyValue) bool {
		var r state.Record
		if r, bad = journal.Decode(kv.Value); bad == nil {
			bad = pos.follows(r)
		}
		if bad != nil {
			bad = fmt.Errorf("journal in etcd, behind record %d: %w", pos.Seq, bad)
			return false
		}
		pos = position{r.Seq, r.Hash}
		stopped = !fn(r)
		return !stopped
	})
	if err == nil && bad == nil && !stopped && pos != h.pos {
		bad = fmt.Errorf("journal in etcd: it ends with record %d, and its head names record %d: %w", pos.Seq, h.pos.Seq, state.ErrDamaged)
	}
	return errors.Join(err, bad)
}

// Records yields every record, oldest first, each checked against the chain, as they are when it begins. It needs no lease.
func (s *Store) Records(ctx context.Context) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		h, err := s.head(ctx)
		on := true
		if err == nil {
			err = s.records(ctx, position{}, h, func(r state.Record) bool {
				on = yield(r, nil)
				return on
			})
		}
		if err != nil && on {
			yield(state.Record{}, err)
		}
	}
}

// Verify reads the whole journal and checks every record, the chain, that it reaches its head, and that nothing stands behind that.
func (s *Store) Verify(ctx context.Context) (journal.Report, error) {
	var rep journal.Report
	h, err := s.head(ctx)
	if err != nil {
		return rep, err
	}
	c, err := s.readCheckpoint(ctx, h)
	if err != nil {
		return rep, err
	}
	err = s.records(ctx, position{}, h, func(r state.Record) bool {
		rep = journal.Report{Records: r.Seq, Hash: r.Hash}
		if r.Seq == c.Pos.Seq && r.Hash != c.Pos.Hash {
			err = fmt.Errorf("journal in etcd: record %d is not the one the checkpoint knows: %w", r.Seq, state.ErrDamaged)
		}
		return err == nil
	})
	if err != nil {
		return rep, err
	}
	behind := s.recordKey(h.pos.Seq + 1)
	more, err := s.scan(ctx, "read the journal", behind, clientv3.GetPrefixRangeEnd(s.key(keyRecords)), h.rev)
	if err == nil && len(more) > 0 {
		err = fmt.Errorf("journal in etcd: %d records stand behind its end, record %d: %w", len(more), h.pos.Seq, state.ErrDamaged)
	}
	return rep, err
}

// Runs folds the journal as opening it would, but changes nothing and needs no lease.
func (s *Store) Runs(ctx context.Context) ([]state.RunState, error) {
	h, err := s.head(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.readCheckpoint(ctx, h)
	if err != nil {
		return nil, err
	}
	err = s.records(ctx, c.Pos, h, func(r state.Record) bool {
		c.Fold.Apply(r)
		return true
	})
	if err != nil {
		return nil, err
	}
	return c.Fold.Open(), nil
}
