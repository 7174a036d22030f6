package local

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// lease is held by the process: the kernel gives it up when the process ends, so it needs no renewal.
type lease struct {
	store *Store
	fence state.Fence
	lost  chan struct{}
	once  sync.Once
}

func (l *lease) Fence() state.Fence    { return l.fence }
func (l *lease) Lost() <-chan struct{} { return l.lost }

func (l *lease) Release() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.drop(l)
	if len(l.store.leases) > 0 {
		return l.store.writeInfo()
	}
	return l.store.unlock()
}

// Acquire implements state.Store. The first lease of a handle takes the directory's lock, so two processes never both have leases.
func (s *Store) Acquire(ctx context.Context, scope string, by state.Holder) (state.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.leases {
		if state.Overlap(l.fence.Scope, scope) {
			e := lockedBy(Info{Holder: s.holder, Leases: []state.Fence{l.fence}})
			return nil, e
		}
	}
	if err := s.openForWriting(by); err != nil {
		return nil, err
	}
	l, err := s.grant(scope)
	if err != nil && len(s.leases) == 0 {
		return nil, errors.Join(err, s.unlock())
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (s *Store) grant(scope string) (*lease, error) {
	l := &lease{store: s, fence: state.Fence{Scope: scope}, lost: make(chan struct{})}
	err := s.db.Update(func(tx *bolt.Tx) error {
		var err error
		l.fence.Epoch, err = nextEpoch(tx, scope)
		return err
	})
	if err != nil {
		return nil, state.IOError("record the lease in", s.snap.path, err)
	}
	s.leases[l] = struct{}{}
	if err := s.writeInfo(); err != nil {
		s.drop(l)
		return nil, err
	}
	return l, nil
}

// openForWriting takes the lock and opens the file, unless this handle has done so.
func (s *Store) openForWriting(by state.Holder) error {
	if s.db != nil {
		return nil
	}
	f, err := takeLock(s.dir)
	if err != nil {
		return err
	}
	if err := writeInfo(f, Info{Holder: by}); err != nil {
		return errors.Join(err, f.Close())
	}
	db, err := openDB(s.snap.path)
	if errors.Is(err, berrors.ErrTimeout) {
		return errors.Join(&state.LockedError{Remedy: "its lock file was removed while it ran: find the process that has " + s.snap.path + " open and end it"}, f.Close())
	}
	if err != nil {
		return errors.Join(state.IOError("open", s.snap.path, err), f.Close())
	}
	s.lock, s.db, s.holder = f, db, by
	return nil
}

// openDB opens the file for writing. A new file gets its name when it is complete, so that a reader never sees half of one.
func openDB(path string) (*bolt.DB, error) {
	opt := &bolt.Options{Timeout: openWait, PageSize: pageSize}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		fresh := path + ".new"
		if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		db, err := bolt.Open(fresh, 0o600, opt)
		if err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
		if err := os.Rename(fresh, path); err != nil {
			return nil, err
		}
	}
	return bolt.Open(path, 0o600, opt)
}

func (s *Store) writeInfo() error {
	info := Info{Holder: s.holder}
	for l := range s.leases {
		info.Leases = append(info.Leases, l.fence)
	}
	slices.SortFunc(info.Leases, func(a, b state.Fence) int { return int(a.Epoch - b.Epoch) })
	return writeInfo(s.lock, info)
}

// drop forgets a lease; s.mu is held.
func (s *Store) drop(l *lease) {
	l.once.Do(func() { close(l.lost) })
	delete(s.leases, l)
}

// unlock closes the file, then gives up the lock; s.mu is held.
func (s *Store) unlock() error {
	if s.db == nil {
		return nil
	}
	err := errors.Join(s.db.Close(), s.lock.Truncate(0), s.lock.Close())
	s.db, s.lock = nil, nil
	return err
}
