package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Store is the shared driver. Use Open.
type Store struct {
	cfg    Config
	client *clientv3.Client

	mu     sync.Mutex
	leases map[*lease]struct{}
}

var (
	_ state.Store = (*Store)(nil)
	_ state.Asks  = (*Store)(nil)
)

// The keys, each behind the prefix.
const (
	keyVersion    = "format"             // the version of all that follows
	keyEpoch      = "epoch"              // the newest epoch, in decimal
	keyCommit     = "commit"             // written with every commit
	keyLeases     = "leases/"            // + scope: a leaseInfo
	keyEntries    = "state/"             // + bucket "/" key: the value as it is
	keyDone       = "done/"              // + lease "/" slot: the newest commit of that slot
	keyAsks       = "asks/"              // + epoch "/" id: an askInfo
	keyRecords    = "journal/"           // + number: one line of the journal
	keyHead       = "journal-head"       // a position
	keyCheckpoint = "journal-checkpoint" // where reading may begin
	keyParts      = "journal-parts/"     // + number "/" part: what the checkpoint holds
)

// pageSize is how many keys are asked for at a time.
const pageSize = 1000

func (s *Store) key(parts ...string) string { return s.cfg.Prefix + strings.Join(parts, "") }

// bucketKey keeps a bucket's name from reaching into another's keys.
func (s *Store) bucketKey(bucket, key string) string {
	return s.key(keyEntries, url.PathEscape(bucket), "/", key)
}

// Get implements state.Store.
func (s *Store) Get(ctx context.Context, bucket, key string) (state.Entry, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var kv *mvccpb.KeyValue
	what := fmt.Sprintf("read %s/%s", bucket, key)
	err := s.call(ctx, what, func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.bucketKey(bucket, key))
		if err == nil && len(resp.Kvs) > 0 {
			kv = resp.Kvs[0]
		}
		return err
	})
	switch {
	case err != nil:
		return state.Entry{}, err
	case kv == nil:
		return state.Entry{}, fmt.Errorf("%s: %w", what, state.ErrNotFound)
	}
	return state.Entry{Key: key, Value: nonNil(kv.Value), Rev: kv.ModRevision}, nil
}

// nonNil keeps an empty value apart from none.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// List implements state.Store. All pages are of the same revision.
func (s *Store) List(ctx context.Context, bucket, prefix string) ([]state.Entry, error) {
	base := s.bucketKey(bucket, "")
	kvs, err := s.scan(ctx, fmt.Sprintf("list %s/%s", bucket, prefix), base+prefix, clientv3.GetPrefixRangeEnd(base+prefix), 0)
	if err != nil {
		return nil, err
	}
	out := make([]state.Entry, len(kvs))
	for i, kv := range kvs {
		out[i] = state.Entry{Key: strings.TrimPrefix(string(kv.Key), base), Value: nonNil(kv.Value), Rev: kv.ModRevision}
	}
	return out, nil
}

// scan reads the keys from one on up to another, in order, as they were at a revision; 0 is now.
func (s *Store) scan(ctx context.Context, what, from, to string, rev int64) ([]*mvccpb.KeyValue, error) {
	var out []*mvccpb.KeyValue
	return out, s.pages(ctx, what, from, to, rev, func(kv *mvccpb.KeyValue) bool {
		out = append(out, kv)
		return true
	})
}

// pages is scan without keeping what was read: fn gets one key after the other until it has enough.
func (s *Store) pages(ctx context.Context, what, from, to string, rev int64, fn func(*mvccpb.KeyValue) bool) error {
	for {
		var resp *clientv3.GetResponse
		asking, cancel := bounded(ctx)
		err := s.call(asking, what, func(ctx context.Context) (err error) {
			resp, err = s.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(pageSize), clientv3.WithRev(rev))
			return err
		})
		cancel()
		if err != nil {
			return err
		}
		for _, kv := range resp.Kvs {
			if from = string(kv.Key) + "\x00"; !fn(kv) {
				return nil
			}
		}
		if !resp.More {
			return nil
		}
		rev = resp.Header.Revision
	}
}

// held finds the lease of a fence among this handle's.
func (s *Store) held(f state.Fence) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.leases {
		if l.fence == f {
			return l
		}
	}
	return nil
}

// Close implements state.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	all := make([]*lease, 0, len(s.leases))
	for l := range s.leases {
		all = append(all, l)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *lease) int { return int(a.fence.Epoch - b.fence.Epoch) })
	var errs []error
	for _, l := range all {
		errs = append(errs, l.Release())
	}
	if err := s.client.Close(); !errors.Is(err, context.Canceled) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
