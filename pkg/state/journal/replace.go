package journal

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Replace makes the journal in dir consist of records, which must be a whole chain. What was there before is kept beside it as DIR.before-EPOCH of
// the lease under which this is done. Until it returns nil, the journal in dir is the one from before.
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
	if err := os.Rename(dir, before); err != nil && !errors.Is(err, os.ErrNotExist) {
		return state.IOError("keep the journal from before as", before, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return state.IOError("put the journal in place", dir, err)
	}
	return syncDir(filepath.Dir(dir))
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
