package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// metaSize is the size of bbolt's two meta pages, which every commit changes.
const metaSize = 2 * pageSize

// snapshots reads the file by copies of it. A copy serves until the file's meta pages change.
type snapshots struct {
	path string

	mu   sync.Mutex
	meta []byte
	db   *bolt.DB
}

// view runs fn on the newest committed state. A store that was never written is empty.
func (s *snapshots) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return state.ErrNotFound
	}
	if err != nil {
		return state.IOError("read", s.path, err)
	}
	defer f.Close()
	if err := s.refresh(ctx, f); err != nil {
		return state.IOError("read", s.path, err)
	}
	return s.db.View(fn)
}

func (s *snapshots) refresh(ctx context.Context, f *os.File) error {
	for {
		before, err := readMeta(f)
		if err != nil {
			return err
		}
		if s.db != nil && bytes.Equal(before, s.meta) {
			return nil
		}
		fresh, err := copyFile(f, before)
		if err != nil {
			return err
		}
		after, err := readMeta(f)
		if err == nil && bytes.Equal(before, after) {
			return s.replace(fresh, before)
		}
		fresh.Close()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// replace opens the copy and puts it in the place of the one before.
func (s *snapshots) replace(copied *os.File, meta []byte) error {
	db, err := bolt.Open(copied.Name(), 0o600, &bolt.Options{ReadOnly: true, PageSize: pageSize,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return copied, nil }})
	if err != nil {
		return fmt.Errorf("%w: %w", state.ErrDamaged, err)
	}
	if s.db != nil {
		err = s.db.Close()
	}
	s.db, s.meta = db, meta
	return err
}

func (s *snapshots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db, s.meta = nil, nil
	return err
}

func readMeta(f *os.File) ([]byte, error) {
	b := make([]byte, metaSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", state.ErrDamaged, err)
	}
	return b, nil
}

// copyFile copies the file into memory that has no name, so that reading needs no room on a disk and leaves nothing behind.
func copyFile(f *os.File, meta []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("nubo-state", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for a copy: %w", err)
	}
	out := os.NewFile(uintptr(fd), "copy of "+f.Name())
	if _, err = out.Write(meta); err == nil {
		_, err = io.Copy(out, io.NewSectionReader(f, metaSize, 1<<62))
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}
