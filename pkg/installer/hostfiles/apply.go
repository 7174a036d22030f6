package hostfiles

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// Applier applies configs below one root directory. Paths never leave it: a link inside that leads out is an error.
type Applier struct {
	Runner run.Runner
	path   string
	root   *os.Root
}

// Open returns an applier for the root directory. Close it.
func Open(root string, r run.Runner) (*Applier, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("host files: %w", err)
	}
	return &Applier{Runner: r, path: root, root: dir}, nil
}

// Close releases the root.
func (a *Applier) Close() error { return a.root.Close() }

// Apply makes the root as the config says: groups and users first, since files name them, then directories, files, links and units. All
// faults of files are reported, those of users end it.
func (a *Applier) Apply(ctx context.Context, c types.Config) error {
	if err := a.accounts(ctx, c.Passwd); err != nil {
		return err
	}
	owners, err := a.readOwners()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range c.Storage.Directories {
		errs = append(errs, at("directory", d.Path, a.directory(d, owners)))
	}
	for _, f := range c.Storage.Files {
		errs = append(errs, at("file", f.Path, a.file(f, owners)))
	}
	for _, l := range c.Storage.Links {
		errs = append(errs, at("link", l.Path, a.link(l, owners)))
	}
	for _, u := range c.Systemd.Units {
		errs = append(errs, at("unit", u.Name, a.unit(u)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.enable(ctx, c.Systemd.Units)
}

func at(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", kind, name, err)
}

// rel is a config's absolute path as os.Root wants it.
func rel(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return "."
	}
	return p
}

// errExists says that the image has something at a path that the config does not allow to be replaced.
var errExists = errors.New("exists in the image and is something else; set overwrite: true to replace it")

// clear makes room for a node: what is there goes when overwrite is set.
func (a *Applier) clear(p string, overwrite *bool) error {
	if _, err := a.root.Lstat(p); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if overwrite == nil || !*overwrite {
		return errExists
	}
	return a.root.RemoveAll(p)
}

func (a *Applier) directory(d types.Directory, o owners) error {
	p := rel(d.Path)
	if st, err := a.root.Lstat(p); err != nil || !st.IsDir() {
		if err := a.clear(p, d.Overwrite); err != nil {
			return err
		}
		if err := a.root.MkdirAll(p, 0o755); err != nil {
			return err
		}
	}
	return a.own(p, d.Node, d.Mode, 0o755, o)
}

func (a *Applier) file(f types.File, o owners) error {
	p := rel(f.Path)
	if err := a.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	body, err := contents(f.Contents)
	if err != nil {
		return err
	}
	if f.Contents.Source != nil || len(f.Append) == 0 {
		if err := a.replace(p, body, f.Overwrite, f.Contents.Source != nil); err != nil {
			return err
		}
	}
	for _, part := range f.Append {
		if err := a.append(p, part); err != nil {
			return err
		}
	}
	return a.own(p, f.Node, f.Mode, 0o644, o)
}

// replace writes the file; a regular file with the same contents, or any regular file when the config gives no contents, stays.
func (a *Applier) replace(p string, body []byte, overwrite *bool, given bool) error {
	if st, err := a.root.Lstat(p); err == nil && st.Mode().IsRegular() {
		have, err := a.root.ReadFile(p)
		if err != nil {
			return err
		}
		if string(have) == string(body) || !given {
			return nil
		}
	}
	if err := a.clear(p, overwrite); err != nil {
		return err
	}
	return a.root.WriteFile(p, body, 0o600)
}

// append adds to the end of a file, unless the file ends so already.
func (a *Applier) append(p string, part types.Resource) error {
	body, err := contents(part)
	if err != nil {
		return err
	}
	have, err := a.root.ReadFile(p)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if strings.HasSuffix(string(have), string(body)) {
		return nil
	}
	return a.root.WriteFile(p, append(have, body...), 0o600)
}

func (a *Applier) link(l types.Link, o owners) error {
	p := rel(l.Path)
	if l.Target == nil || *l.Target == "" {
		return errors.New("has no target")
	}
	if err := a.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	if l.Hard != nil && *l.Hard {
		if err := a.clear(p, l.Overwrite); err != nil {
			return err
		}
		return a.root.Link(rel(*l.Target), p)
	}
	if have, err := a.root.Readlink(p); err != nil || have != *l.Target {
		if err := a.clear(p, l.Overwrite); err != nil {
			return err
		}
		if err := a.root.Symlink(*l.Target, p); err != nil {
			return err
		}
	}
	uid, gid, err := o.of(l.Node)
	if err != nil {
		return err
	}
	return a.root.Lchown(p, uid, gid)
}

// own sets owner and mode; the owner first, since a change of owner clears set-uid bits.
func (a *Applier) own(p string, n types.Node, mode *int, usual os.FileMode, o owners) error {
	uid, gid, err := o.of(n)
	if err != nil {
		return err
	}
	if err := a.root.Chown(p, uid, gid); err != nil {
		return err
	}
	perm := usual
	if mode != nil {
		perm = fileMode(*mode)
	}
	return a.root.Chmod(p, perm)
}

// fileMode turns Unix permission bits into Go's.
func fileMode(unix int) os.FileMode {
	m := os.FileMode(unix & 0o777)
	for bit, flag := range map[int]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if unix&bit != 0 {
			m |= flag
		}
	}
	return m
}
