package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// persist brings what the slot has under the persistent directories to the state partition. A directory that state does not have yet is
// copied whole. Otherwise only missing directories are made, with their owners: what the host has, or has deleted, stays so.
func (f Filler) persist(ctx context.Context, j Job) error {
	for _, dir := range Persistent {
		from, to := filepath.Join(j.Root, dir), filepath.Join(j.State, dir)
		_, err := os.Lstat(to)
		switch {
		case errors.Is(err, os.ErrNotExist):
			err = f.copyTree(ctx, from, to)
		case err == nil:
			err = missingDirs(from, to)
		}
		if err != nil {
			return fmt.Errorf("keep %s on the state partition: %w", dir, err)
		}
	}
	return nil
}

// copyTree copies to a name beside the target first, and gives it the target's when all of it is on the disk, so that a broken copy is never taken for a whole one:
// neither by the next try, nor after a power cut.
func (f Filler) copyTree(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	part := to + ".nubo-new"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if _, err := f.Runner.Run(ctx, run.New("cp", "-a", "--", from, part)); err != nil {
		return err
	}
	if err := onDisk(part); err != nil {
		return err
	}
	if err := os.Rename(part, to); err != nil {
		return err
	}
	return onDisk(filepath.Dir(to))
}

// onDisk brings all of the file system that a directory is in to its disk.
func onDisk(dir string) error {
	d, err := watch(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.flush(), d.close())
}

func missingDirs(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if st, err := os.Lstat(target); err == nil {
			if !st.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return sameDir(path, target)
	})
}

// sameDir makes a directory with the mode and owner of another.
func sameDir(like, path string) error {
	st, err := os.Lstat(like)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(path, int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, st.Mode())
}
