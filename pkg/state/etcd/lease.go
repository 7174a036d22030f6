package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// lease is a key in etcd that is kept alive.
type lease struct {
	store   *Store
	fence   state.Fence
	id      clientv3.LeaseID
	created int64 // the revision in which its key was made: nobody else's key of that name has it

	ctx  context.Context // ends when the lease can no longer be relied on
	end  context.CancelCauseFunc
	gone sync.WaitGroup // its goroutines
	once sync.Once

	mu    sync.Mutex
	until time.Duration // by boottime: from then on it cannot be relied on
	slots []slot        // those that no commit uses
	made  int           // slots ever made
}

// slot is a key that tells which commit was made last in it, so that an answer that was lost can be made up for. It ends with the lease.
type slot struct {
	key     string
	version *int64 // of the key: how often it was written
}

// leaseInfo is the value of a lease's key.
type leaseInfo struct {
	FormatVersion int           `json:"format_version"`
	Scope         string        `json:"scope"`
	Epoch         int64         `json:"epoch"`
	Holder        state.Holder  `json:"holder"`
	TTL           time.Duration `json:"ttl_ns"`
	// Process is which process of which machine holds it; see process.
	Process string `json:"process"`
}

func (l *lease) Fence() state.Fence    { return l.fence }
func (l *lease) Lost() <-chan struct{} { return l.ctx.Done() }

// here is the condition that the lease is held: its key is the one that was made when it was taken.
func (l *lease) here(s *Store) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(s.key(keyLeases, l.fence.Scope)), "=", l.created)
}

// bound is a context that ends with the lease.
func (l *lease) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

// explain makes an error that came because the lease ended say so.
func (l *lease) explain(err error) error {
	if l.ctx.Err() != nil && !errors.Is(err, state.ErrFenced) {
		return fmt.Errorf("%w: %w", fenced(l.fence), err)
	}
	return err
}

func (l *lease) takeSlot() slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.slots); n > 0 {
		s := l.slots[n-1]
		l.slots = l.slots[:n-1]
		return s
	}
	l.made++
	return slot{key: l.store.key(keyDone, fmt.Sprintf("%x/%d", int64(l.id), l.made)), version: new(int64)}
}

// giveSlot takes a slot back, unless nobody knows what its last commit came to.
func (l *lease) giveSlot(s slot, err error) {
	if err != nil && !errors.Is(err, state.ErrConflict) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots = append(l.slots, s)
}

// Acquire implements state.Store. A lease whose holder is a process of this machine that has ended is given up for it.
func (s *Store) Acquire(ctx context.Context, scope string, by state.Holder) (state.Lease, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		l, err := s.acquire(ctx, scope, by)
		if l != nil || err != nil {
			if err != nil {
				return nil, err
			}
			return l, nil
		}
	}
}

// acquire makes one attempt; neither a lease nor an error means that somebody else's came in between.
func (s *Store) acquire(ctx context.Context, scope string, by state.Holder) (*lease, error) {
	seen, err := s.table(ctx)
	if err != nil {
		return nil, err
	}
	for _, other := range seen.leases {
		if !state.Overlap(other.info.Scope, scope) {
			continue
		}
		if !ended(other.info.Process) {
			return nil, other.locked()
		}
		if err := s.revoke(ctx, other.id); err != nil {
			return nil, err
		}
		return nil, nil
	}
	l := &lease{store: s, fence: state.Fence{Scope: scope, Epoch: seen.epoch + 1}}
	sent := s.cfg.boottime()
	if err := s.grant(ctx, l); err != nil {
		return nil, err
	}
	l.until = sent + s.trusted()
	taken, err := s.take(ctx, l, seen, by)
	if err != nil || !taken {
		return nil, errors.Join(err, s.revoke(context.WithoutCancel(ctx), l.id))
	}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	s.mu.Lock()
	s.leases[l] = struct{}{}
	s.mu.Unlock()
	l.gone.Go(l.keepAlive)
	l.gone.Go(l.watch)
	return l, nil
}

// trusted is how long after a sign of life that etcd has confirmed a lease may be relied on: the rest is for acts to end in.
func (s *Store) trusted() time.Duration { return s.cfg.TTL * 2 / 3 }

func (s *Store) grant(ctx context.Context, l *lease) error {
	return s.call(ctx, "take the lease", func(ctx context.Context) error {
		resp, err := s.client.Grant(ctx, int64(s.cfg.TTL.Seconds()))
		if err == nil {
			l.id = resp.ID
		}
		return err
	})
}

// take writes the lease's key, provided that nobody has taken any lease since the table was read.
func (s *Store) take(ctx context.Context, l *lease, seen table, by state.Holder) (bool, error) {
	info, err := json.Marshal(leaseInfo{FormatVersion: formatVersion, Scope: l.fence.Scope, Epoch: l.fence.Epoch, Holder: by, TTL: s.cfg.TTL, Process: process()})
	if err != nil {
		return false, fmt.Errorf("take the lease: %w", err)
	}
	key := s.key(keyLeases, l.fence.Scope)
	var resp *clientv3.TxnResponse
	err = s.call(ctx, "take the lease", func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(s.key(keyEpoch)), "=", seen.epochRev)).Then(
			clientv3.OpPut(s.key(keyEpoch), strconv.FormatInt(l.fence.Epoch, 10)),
			clientv3.OpPut(s.key(keyVersion), strconv.Itoa(formatVersion)),
			clientv3.OpPut(key, string(info), clientv3.WithLease(l.id)),
		).Else(clientv3.OpGet(key)).Commit()
		return err
	})
	if err != nil {
		return false, err
	}
	l.created = resp.Header.Revision
	if resp.Succeeded {
		return true, nil
	}
	// An earlier attempt may have been made without its answer coming back.
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && clientv3.LeaseID(kvs[0].Lease) == l.id {
		l.created = kvs[0].CreateRevision
		return true, nil
	}
	return false, nil
}

// table is who holds what, at one revision.
type table struct {
	epoch, epochRev int64
	leases          []heldLease
}

type heldLease struct {
	info leaseInfo
	id   clientv3.LeaseID
}

// formatVersion is the version of what stands in etcd.
const formatVersion = 1

func (s *Store) table(ctx context.Context) (table, error) {
	var t table
	err := s.call(ctx, "look who holds the state", func(ctx context.Context) error {
		resp, err := s.client.Txn(ctx).Then(clientv3.OpGet(s.key(keyVersion)), clientv3.OpGet(s.key(keyEpoch)),
			clientv3.OpGet(s.key(keyLeases), clientv3.WithPrefix())).Commit()
		if err != nil {
			return err
		}
		t, err = readTable(resp)
		return err
	})
	return t, err
}

func readTable(resp *clientv3.TxnResponse) (table, error) {
	get := func(i int) []*mvccpb.KeyValue { return resp.Responses[i].GetResponseRange().Kvs }
	var t table
	if v := get(0); len(v) > 0 && string(v[0].Value) != strconv.Itoa(formatVersion) {
		return t, fmt.Errorf("the state has format %q, this program knows %d; use the nuboctl that wrote it", v[0].Value, formatVersion)
	}
	if v := get(1); len(v) > 0 {
		n, err := strconv.ParseInt(string(v[0].Value), 10, 64)
		if err != nil {
			return t, fmt.Errorf("newest epoch is %q: %w", v[0].Value, state.ErrDamaged)
		}
		t.epoch, t.epochRev = n, v[0].ModRevision
	}
	for _, kv := range get(2) {
		h := heldLease{id: clientv3.LeaseID(kv.Lease)}
		if err := json.Unmarshal(kv.Value, &h.info); err != nil {
			return t, fmt.Errorf("lease %s: %w: %w", kv.Key, state.ErrDamaged, err)
		}
		t.leases = append(t.leases, h)
	}
	return t, nil
}

func (h heldLease) locked() *state.LockedError {
	return &state.LockedError{Scope: h.info.Scope, Holder: h.info.Holder, Remedy: fmt.Sprintf(
		"wait for it, or ask it: nuboctl status, pause, abort, or drain --emergency; when that machine is gone, the lease ends by itself within %s, or at once by nuboctl state unlock", h.info.TTL)}
}

// revoke ends a lease in etcd at once. One that has ended is no error.
func (s *Store) revoke(ctx context.Context, id clientv3.LeaseID) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.call(ctx, "give the lease up", func(ctx context.Context) error {
		_, err := s.client.Revoke(ctx, id)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return err
	})
}

// keepAlive tells etcd, six times in the time to live, that the holder is there.
func (l *lease) keepAlive() {
	tick := time.NewTicker(l.store.cfg.TTL / 6)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		sent := l.store.cfg.boottime()
		err := l.store.call(l.ctx, "renew the lease", func(ctx context.Context) error {
			sent = l.store.cfg.boottime()
			_, err := l.store.client.KeepAliveOnce(ctx, l.id)
			return err
		})
		if err != nil && l.ctx.Err() == nil {
			l.lose() // etcd says that there is no such lease
			return
		}
		if err == nil {
			l.mu.Lock()
			l.until = max(l.until, sent+l.store.trusted())
			l.mu.Unlock()
		}
	}
}

// watch ends the lease for its holder when etcd has not confirmed it for too long. The time is looked at in short steps by a clock that does
// not stop with the machine, because timers do.
func (l *lease) watch() {
	tick := time.NewTicker(min(l.store.cfg.TTL/20, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		over := l.store.cfg.boottime() >= l.until
		l.mu.Unlock()
		if over {
			l.lose()
			return
		}
	}
}

// lose ends the lease for its holder.
func (l *lease) lose() { l.end(state.ErrFenced) }

// Release implements state.Lease.
func (l *lease) Release() error {
	var err error
	l.once.Do(func() {
		l.lose()
		l.gone.Wait()
		l.store.mu.Lock()
		delete(l.store.leases, l)
		l.store.mu.Unlock()
		if err = l.store.revoke(context.Background(), l.id); err != nil {
			err = fmt.Errorf("%w; it ends by itself within %s", err, l.store.cfg.TTL)
		}
	})
	return err
}
