package journal

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Replace makes the journal in dir consist of records, which must be a whole chain. What was there before is kept beside it as DIR.before-EPOCH of
// the lease under which this is done. Whenever it ends, also by a crash, the journal in dir is a whole one: that from before, and once it has returned nil the new one.
func Replace(dir string, epoch int64, records iter.Seq2[state.Record, error]) error {
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return state.IOError("remove", fresh, err)
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return state.IOError("create", fresh, err)
	}
	if err := writeAll(filepath.Join(fresh, segmentName(1)), records); err != nil {
		return err
	}
	if err := syncDir(fresh); err != nil {
		return err
	}
	before := fmt.Sprintf("%s.before-%d", dir, epoch)
	if err := os.Rename(fresh, before); err != nil {
		return state.IOError("put the new journal beside the one from before as", before, err)
	}
	if err := exchange(before, dir); err != nil {
		return state.IOError("put the journal in place", dir, errors.Join(err, os.Rename(before, fresh)))
	}
	return syncDir(filepath.Dir(dir))
}

// exchange gives each of two directories the other's name, in one step: at no time is there no journal, which would be taken for an empty one. When there is no dir yet,
// fresh gets its name. Where the file system cannot do that (renameat2(2)), it takes several.
var exchange = func(fresh, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT):
		return os.Rename(fresh, dir)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP):
		return inSteps(fresh, dir)
	}
	return err
}

// inSteps is exchange by renames.
func inSteps(fresh, dir string) error {
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil {
		return errors.Join(err, os.Rename(aside, dir))
	}
	return os.Rename(aside, fresh)
}

func writeAll(path string, records iter.Seq2[state.Record, error]) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return state.IOError("create", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	var pos position
	for r, err := range records {
		if err != nil {
			return err
		}
		if err := pos.follows(r); err != nil {
			return err
		}
		hash := r.Hash
		line, err := Encode(&r)
		if err != nil {
			return err
		}
		if r.Hash != hash {
			return fmt.Errorf("journal record %d was written by another version of this program; use that one to move it", r.Seq)
		}
		pos.advance(r)
		if _, err := out.Write(line); err != nil {
			return state.IOError("write", path, err)
		}
	}
	if err := out.Flush(); err != nil {
		return state.IOError("write", path, err)
	}
	return state.IOError("sync", path, f.Sync())
}
