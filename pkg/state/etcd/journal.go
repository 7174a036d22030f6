package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/batch"
	"github.com/nuboctl/nuboctl/pkg/state/journal"
)

const (
	// checkpointEvery is the number of records between checkpoints.
	checkpointEvery = 1000
	// maxLine bounds one record, as in the journal's files.
	maxLine = 64 << 10
)

// position is the end of the chain.
type position struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// follows checks that r is the record right behind the position.
func (p position) follows(r state.Record) error {
	switch {
	case r.Seq != p.Seq+1:
		return fmt.Errorf("journal record %d where %d belongs: %w", r.Seq, p.Seq+1, state.ErrDamaged)
	case r.Prev != p.Hash:
		return fmt.Errorf("journal record %d does not continue record %d: %w", r.Seq, p.Seq, state.ErrDamaged)
	}
	return nil
}

// Journal is the journal in etcd, open for writing under a lease. Holders of other scopes write into the same chain. It is safe for
// concurrent use.
type Journal struct {
	store *Store
	lease *lease
	queue batch.Queue[*request]

	mu   sync.Mutex // guards fold
	fold journal.Fold

	// Only the caller that is writing uses what follows.
	pos     position
	headRev int64 // revision of the head's key
	saved   int64 // the number of the checkpoint's record
}

// request is one record that waits to be written.
type request struct {
	rec  state.Record
	line []byte
	err  error
}

// Journal opens the journal for writing under a lease of this handle.
func (s *Store) Journal(ctx context.Context, l state.Lease) (*Journal, error) {
	own, ok := l.(*lease)
	if !ok || own.store != s {
		return nil, errors.New("etcd: the journal is opened under a lease of the same store")
	}
	j := &Journal{store: s, lease: own}
	h, err := s.head(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.readCheckpoint(ctx, h)
	if err != nil {
		return nil, err
	}
	j.fold, j.pos, j.saved, j.headRev = c.Fold, c.Pos, c.Pos.Seq, h.keyRev
	_, err = j.catchUp(ctx, h, position{})
	return j, err
}

// catchUp folds what others have written, up to a head. It reports whether the chain goes through a position.
func (j *Journal) catchUp(ctx context.Context, h head, through position) (passed bool, err error) {
	err = j.store.records(ctx, j.pos, h, func(r state.Record) bool {
		j.mu.Lock()
		j.fold.Apply(r)
		j.mu.Unlock()
		j.pos = position{r.Seq, r.Hash}
		passed = passed || j.pos == through
		return true
	})
	if err != nil {
		return false, err
	}
	j.headRev = h.keyRev
	return passed, nil
}

// Append writes a record and returns it, complete, when a majority of etcd's members has it on disk. When etcd does not answer it waits for
// it until the lease ends: a record that was written without its answer coming back is recognised, so none is written twice.
func (j *Journal) Append(ctx context.Context, r state.Record) (state.Record, error) {
	if err := ctx.Err(); err != nil {
		return r, err
	}
	q := &request{rec: r}
	if err := j.queue.Do(q, j.write); err != nil {
		return r, fmt.Errorf("journal in etcd: %w", err)
	}
	return q.rec, q.err
}

// write makes one batch durable, in as many transactions as it takes.
func (j *Journal) write(list []*request) {
	for len(list) > 0 {
		n, err := j.some(list)
		if err != nil {
			for _, q := range list[:n] {
				q.err = err
			}
		}
		list = list[n:]
	}
	if j.pos.Seq-j.saved >= checkpointEvery {
		_ = j.checkpoint() // it only saves time
	}
}

// some writes the first records of a list in one transaction, and says how many it has dealt with.
func (j *Journal) some(list []*request) (n int, err error) {
	ctx, cancel := j.lease.bound(context.Background())
	defer cancel()
	for {
		pos, size := j.pos, 0
		n = 0
		for _, q := range list[:min(len(list), groupSize)] {
			if err := j.fill(q, pos); err != nil {
				if n == 0 {
					return 1, err
				}
				break // it is the first of the next transaction
			}
			if size += len(q.line); size > maxBytes {
				break
			}
			pos = position{q.rec.Seq, q.rec.Hash}
			n++
		}
		again, err := j.put(ctx, list[:n], pos)
		if !again {
			return n, err
		}
	}
}

// fill completes the record behind pos and encodes it.
func (j *Journal) fill(q *request, pos position) error {
	q.rec.FormatVersion, q.rec.Seq, q.rec.Ack = journal.FormatVersion, pos.Seq+1, j.pos.Seq
	q.rec.Epoch, q.rec.Prev = j.lease.fence.Epoch, pos.Hash
	var err error
	q.line, err = journal.Encode(&q.rec)
	if err == nil && len(q.line) > maxLine {
		err = fmt.Errorf("journal record of %d bytes, at most %d are possible", len(q.line), maxLine)
	}
	return err
}

// put writes records behind the head that is known. It is to be tried again when somebody else has written in between.
func (j *Journal) put(ctx context.Context, list []*request, pos position) (again bool, err error) {
	s := j.store
	end, err := json.Marshal(pos)
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	ops := []clientv3.Op{clientv3.OpPut(s.key(keyHead), string(end))}
	for _, q := range list {
		ops = append(ops, clientv3.OpPut(s.recordKey(q.rec.Seq), string(q.line[:len(q.line)-1])))
	}
	var resp *clientv3.TxnResponse
	err = s.call(ctx, "write the journal", func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).If(j.lease.here(s), clientv3.Compare(clientv3.ModRevision(s.key(keyHead)), "=", j.headRev)).Then(ops...).
			Else(clientv3.OpGet(s.key(keyLeases, j.lease.fence.Scope)), clientv3.OpGet(s.key(keyHead))).Commit()
		return err
	})
	if err != nil {
		return false, j.lease.explain(err)
	}
	rev := resp.Header.Revision
	if !resp.Succeeded {
		now, err := readHead(resp.Responses[1].GetResponseRange().Kvs, resp.Header.Revision)
		held := resp.Responses[0].GetResponseRange().Kvs
		switch {
		case err != nil:
			return false, err
		case now.pos == pos: // an earlier attempt was made, and its answer was lost
			rev = now.keyRev
		case len(held) == 0 || held[0].CreateRevision != j.lease.created:
			j.lease.lose()
			return false, fenced(j.lease.fence)
		default: // somebody else has written, perhaps behind an earlier attempt of ours that was made, and whose answer was lost
			made, err := j.catchUp(ctx, now, pos)
			return err == nil && !made, err
		}
	}
	j.pos, j.headRev = pos, rev
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, q := range list {
		j.fold.Apply(q.rec)
	}
	return false, nil
}

// Runs lists the runs that are neither finished nor closed, oldest first.
func (j *Journal) Runs() []state.RunState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fold.Open()
}

// Finished returns the record of the newest run that carried out a plan to its end, if one did.
func (j *Journal) Finished(p model.Digest) (state.Record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.fold.Finished[p]; r != nil {
		return *r, true
	}
	return state.Record{}, false
}

// Repaired is always 0: etcd leaves nothing torn.
func (j *Journal) Repaired() int64 { return 0 }

// Close waits for the records under way and writes a checkpoint. Nothing can be appended afterwards.
func (j *Journal) Close() error {
	if !j.queue.Close() {
		return nil
	}
	if j.lease.ctx.Err() != nil || j.pos.Seq == j.saved {
		return nil // it is not this holder's any more; the next one reads a few records more
	}
	return j.checkpoint()
}
