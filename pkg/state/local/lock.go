package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// lockName is the lock file's name within the directory.
const lockName = "lock"

// Info is the content of the lock file, for people and for `status`. It means something only while the lock is held.
type Info struct {
	FormatVersion int           `json:"format_version"`
	Holder        state.Holder  `json:"holder"`
	Leases        []state.Fence `json:"leases"`
}

// Held tells who holds the directory's lock now, without touching the lock. False means that nobody does.
func Held(dir string) (Info, bool, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Info{}, false, nil
	}
	if err != nil {
		return Info{}, false, state.IOError("read lock", path, err)
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk); err != nil {
		return Info{}, false, state.IOError("test lock", path, err)
	}
	if lk.Type == unix.F_UNLCK {
		return Info{}, false, nil
	}
	return readInfo(f), true, nil
}

// readInfo reads what the holder wrote. What cannot be read is a holder that has not written yet: nothing is known of it.
func readInfo(f *os.File) Info {
	var info Info
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil || json.Unmarshal(data, &info) != nil {
		return Info{}
	}
	return info
}

// takeLock takes the lock of a directory, without waiting. The lock lasts until the file is closed.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, state.IOError("open lock", path, err)
		}
		lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
				return nil, lockedBy(readInfo(f))
			}
			return nil, state.IOError("lock", path, err)
		}
		if sameFile(f, path) {
			return f, nil
		}
		f.Close() // somebody removed the file in between: lock the new one
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// lockedBy makes the error for a lock that somebody has.
func lockedBy(i Info) *state.LockedError {
	e := &state.LockedError{Holder: i.Holder, Remedy: "wait for it, or ask it: nuboctl status, pause, abort, or drain --emergency"}
	if len(i.Leases) > 0 {
		e.Scope = i.Leases[0].Scope
	}
	if i.Holder.PID != 0 {
		e.Remedy += fmt.Sprintf("; to take over, end process %d on %s, the lock is free at once and the next apply goes on", i.Holder.PID, i.Holder.Host)
	}
	return e
}

// writeInfo replaces the lock file's content.
func writeInfo(f *os.File, i Info) error {
	i.FormatVersion = 1
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	data = append(data, '\n')
	if _, err := f.WriteAt(data, 0); err != nil {
		return state.IOError("write lock", f.Name(), err)
	}
	return state.IOError("write lock", f.Name(), f.Truncate(int64(len(data))))
}
