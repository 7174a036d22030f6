package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const (
	// maxLine bounds one record.
	maxLine = 64 << 10
	// outcomeRoom is kept for records of outcomes when the disk is full.
	outcomeRoom = 1 << 20
	// chunk is how much room is asked for at a time.
	chunk = 4 << 20
)

// file is a segment being written.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
	// reserve makes sure of room behind an offset as far as it can, and returns where it ends; -1 when that cannot be known.
	reserve(from int64) int64
}

// diskFile asks for room ahead, so that a record that has begun to be written finds it, and syncing need not allocate.
type diskFile struct {
	*os.File
	room int64
}

// openFile opens a segment for appending behind size, creating it when it is not there.
func openFile(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, state.IOError("open journal", path, err)
	}
	if _, err := f.Seek(size, 0); err != nil {
		return nil, errors.Join(state.IOError("open journal", path, err), f.Close())
	}
	return &diskFile{File: f, room: size}, nil
}

// Sync makes the content durable, and of the file's attributes what is needed to read it (fdatasync(2)).
func (f *diskFile) Sync() error { return unix.Fdatasync(int(f.Fd())) }

// Truncate cuts the file, and gives back the room asked for ahead; writing goes on there.
func (f *diskFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.room = size
	_, err := f.Seek(size, 0)
	return err
}

func (f *diskFile) reserve(from int64) int64 {
	if f.room < 0 || f.room-from >= outcomeRoom+chunk/2 {
		return f.room
	}
	start := min(from, f.room)
	for _, n := range []int64{outcomeRoom + chunk, outcomeRoom + 2*maxLine} {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, start, from+n-start)
		if err == nil {
			f.room = max(f.room, from+n)
			return f.room
		}
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
			f.room = -1 // this file system cannot
			return f.room
		}
	}
	return f.room
}
