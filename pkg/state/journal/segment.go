package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const segmentSuffix = ".jsonl"

// segmentName is the file name of the segment whose first record is seq; names sort as the segments do.
func segmentName(seq int64) string { return fmt.Sprintf("%016d%s", seq, segmentSuffix) }

// segments lists the segment files of a directory, oldest first.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, state.IOError("read journal", dir, err)
	}
	var out []string
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if _, err := strconv.ParseInt(digits, 10, 64); ok && err == nil {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// syncDir makes the creation, renaming and removal of files in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return state.IOError("open", dir, err)
	}
	return errors.Join(state.IOError("sync", dir, d.Sync()), d.Close())
}

// writeFile puts a file in place at once: a reader sees the old content or the new.
func writeFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return state.IOError("create", filepath.Join(dir, name), err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(state.IOError("write", filepath.Join(dir, name), err), os.Remove(f.Name()))
	}
	return syncDir(dir)
}
