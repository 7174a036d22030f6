package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const (
	fileName = "state.db"
	// pageSize is fixed, so that the file and its copies are read the same way on every machine.
	pageSize = 4096
	// openWait bounds the wait for bbolt's own lock, which only a holder whose lock file was removed can have.
	openWait = 200 * time.Millisecond
)

// Store is the embedded driver. Use Open.
type Store struct {
	dir string

	mu     sync.RWMutex
	lock   *os.File // both nil unless a lease is held
	db     *bolt.DB
	leases map[*lease]struct{}
	holder state.Holder

	snap snapshots
}

var (
	_ state.Store = (*Store)(nil)
	_ state.Asks  = (*Store)(nil)
)

// Open prepares a handle on the store in dir, which is created when it is not there. It takes no lock and opens no file.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, state.IOError("create state directory", dir, err)
	}
	path := filepath.Join(dir, fileName)
	return &Store{dir: dir, leases: map[*lease]struct{}{}, snap: snapshots{path: path}}, nil
}

// Get implements state.Store.
func (s *Store) Get(ctx context.Context, bucket, key string) (state.Entry, error) {
	var e state.Entry
	err := s.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return state.ErrNotFound
		}
		var err error
		e, err = decode(key, b.Get([]byte(key)))
		return err
	})
	if err != nil {
		return state.Entry{}, fmt.Errorf("read %s/%s: %w", bucket, key, err)
	}
	return e, nil
}

// List implements state.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string) ([]state.Entry, error) {
	var out []state.Entry
	err := s.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		var err error
		out, err = scan(b, prefix)
		return err
	})
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, fmt.Errorf("list %s/%s: %w", bucket, prefix, err)
	}
	return out, nil
}

// Commit implements state.Store.
func (s *Store) Commit(ctx context.Context, f state.Fence, writes ...state.Write) error {
	return s.update(ctx, f, func(tx *bolt.Tx) error { return apply(tx, writes) })
}

// update makes a change under a fence.
func (s *Store) update(ctx context.Context, f state.Fence, change func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil || !s.holds(f) {
		return fmt.Errorf("write the state under lease %q, epoch %d: %w", f.Scope, f.Epoch, state.ErrFenced)
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		if newest, err := epochs(tx); err != nil || !f.Valid(newest) {
			return errors.Join(state.ErrFenced, err)
		}
		return change(tx)
	})
	return state.IOError("write", s.snap.path, err)
}

func (s *Store) holds(f state.Fence) bool {
	for l := range s.leases {
		if l.fence == f {
			return true
		}
	}
	return false
}

// view runs fn on the newest committed state, through the open file of the holder or through a copy.
func (s *Store) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db != nil {
		return s.db.View(fn)
	}
	return s.snap.view(ctx, fn)
}

// Close implements state.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.leases {
		s.drop(l)
	}
	return errors.Join(s.unlock(), s.snap.close())
}
