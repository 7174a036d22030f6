package etcd

import (
	"context"
	"crypto/rand"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const (
	// groupSize and maxWrites follow from the number of operations that a server takes in a transaction (128, --max-txn-ops): larger commits are
	// groups of transactions within one, of which each may be as large as the rest of that number.
	groupSize = 60
	maxWrites = groupSize * groupSize
	// maxBytes is below what a server takes as one request (1.5 MiB, --max-request-bytes).
	maxBytes = 1 << 20
)

// Commit implements state.Store. When etcd does not answer, it is tried until the lease ends: a commit that was made without its answer
// coming back is recognised, so it is never made twice.
func (s *Store) Commit(ctx context.Context, f state.Fence, writes ...state.Write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := s.held(f)
	if l == nil {
		return fenced(f)
	}
	c, err := s.compose(writes)
	if err != nil {
		return err
	}
	ctx, cancel := l.bound(ctx)
	defer cancel()
	slot := l.takeSlot()
	id := rand.Text()
	for {
		again, err := s.commit(ctx, l, c, slot, id)
		if again {
			continue
		}
		l.giveSlot(slot, err)
		return err
	}
}

func fenced(f state.Fence) error {
	return fmt.Errorf("write the state under lease %q, epoch %d: %w", f.Scope, f.Epoch, state.ErrFenced)
}

// commit makes one attempt. It is to be made again when somebody else's commit came in between a look at the conditions and the write.
func (s *Store) commit(ctx context.Context, l *lease, c commit, done slot, id string) (again bool, err error) {
	conditions := c.conditions
	guarded := len(conditions) > groupSize
	if guarded {
		seen, err := s.look(ctx, c)
		if err != nil {
			return false, err
		}
		conditions = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key(keyCommit)), "=", seen)}
	}
	ops := append([]clientv3.Op{clientv3.OpPut(s.key(keyCommit), ""), clientv3.OpPut(done.key, id, clientv3.WithLease(l.id))}, c.ops...)
	conditions = append([]clientv3.Cmp{l.here(s), clientv3.Compare(clientv3.Version(done.key), "=", *done.version)}, conditions...)
	var resp *clientv3.TxnResponse
	err = s.call(ctx, "write the state", func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).If(conditions...).Then(ops...).Else(clientv3.OpGet(s.key(keyLeases, l.fence.Scope)), clientv3.OpGet(done.key)).Commit()
		return err
	})
	if err != nil {
		return false, l.explain(err)
	}
	if resp.Succeeded {
		*done.version++
		return false, nil
	}
	lease, last := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	switch {
	case len(last) > 0 && string(last[0].Value) == id:
		*done.version++
		return false, nil // an earlier attempt was made, and its answer was lost
	case len(lease) == 0 || lease[0].CreateRevision != l.created:
		l.lose()
		return false, fenced(l.fence)
	case guarded:
		return true, nil
	}
	return false, fmt.Errorf("write %s: %w", c.guards, state.ErrConflict)
}

// commit is what a transaction is made of.
type commit struct {
	ops        []clientv3.Op
	conditions []clientv3.Cmp
	writes     []state.Write // those with conditions
	guards     string        // the keys with conditions, for people
}

// compose turns writes into operations. A key that is written twice gets its last value, since etcd takes each once.
func (s *Store) compose(writes []state.Write) (commit, error) {
	var c commit
	size, at := 0, map[string]int{}
	var flat []clientv3.Op
	for _, w := range writes {
		key := s.bucketKey(w.Bucket, w.Key)
		size += len(key) + len(w.Value)
		op := clientv3.OpPut(key, string(w.Value))
		if w.Value == nil {
			op = clientv3.OpDelete(key)
		}
		i, twice := at[key]
		if w.If != (state.Condition{}) {
			if twice {
				return c, fmt.Errorf("write %s/%s: it is written twice in one commit, the second time under a condition", w.Bucket, w.Key)
			}
			c.conditions, c.writes = append(c.conditions, condition(key, w.If)), append(c.writes, w)
			c.guards = fmt.Sprintf("%s/%s", w.Bucket, w.Key)
		}
		if twice {
			flat[i] = op
			continue
		}
		at[key] = len(flat)
		flat = append(flat, op)
	}
	if size > maxBytes || len(flat) > maxWrites {
		return c, fmt.Errorf("write the state: %d entries of %d bytes together are more than etcd takes at once (%d entries, %d bytes)", len(flat), size, maxWrites, maxBytes)
	}
	if len(c.writes) > 1 {
		c.guards = fmt.Sprintf("%d keys under conditions, the last %s", len(c.writes), c.guards)
	}
	c.ops = grouped(flat)
	return c, nil
}

// grouped packs many operations into transactions within the transaction.
func grouped(flat []clientv3.Op) []clientv3.Op {
	if len(flat) <= groupSize {
		return flat
	}
	var out []clientv3.Op
	for len(flat) > 0 {
		n := min(groupSize, len(flat))
		out = append(out, clientv3.OpTxn(nil, flat[:n], nil))
		flat = flat[n:]
	}
	return out
}

func condition(key string, c state.Condition) clientv3.Cmp {
	if c.Absent {
		return clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	}
	return clientv3.Compare(clientv3.ModRevision(key), "=", c.Rev)
}

// look checks more conditions than a transaction takes. They hold as long as the revision of the newest commit, which it returns, stays.
func (s *Store) look(ctx context.Context, c commit) (seen int64, err error) {
	revs := map[string]map[string]int64{}
	var at int64
	err = s.call(ctx, "look at the state", func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.key(keyCommit))
		if err != nil {
			return err
		}
		at, seen = resp.Header.Revision, 0
		if len(resp.Kvs) > 0 {
			seen = resp.Kvs[0].ModRevision
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, w := range c.writes {
		have, ok := revs[w.Bucket]
		if !ok {
			base := s.bucketKey(w.Bucket, "")
			kvs, err := s.scan(ctx, "look at "+w.Bucket, base, clientv3.GetPrefixRangeEnd(base), at)
			if err != nil {
				return 0, err
			}
			have = map[string]int64{}
			for _, kv := range kvs {
				have[string(kv.Key)[len(base):]] = kv.ModRevision
			}
			revs[w.Bucket] = have
		}
		if rev := have[w.Key]; (w.If.Absent && rev != 0) || (w.If.Rev != 0 && rev != w.If.Rev) {
			return 0, fmt.Errorf("write %s/%s: %w", w.Bucket, w.Key, state.ErrConflict)
		}
	}
	return seen, nil
}
