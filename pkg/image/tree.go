package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// tree is a root file system on disk, unpacked and not configured, that becomes an initramfs. Paths are absolute within it.
type tree struct {
	root   string
	kernel string // version
}

func (t tree) at(inside string) string { return filepath.Join(t.root, inside) }

// modulesDir is where this release keeps modules.
func modulesDir(root string) string {
	if _, err := os.Stat(filepath.Join(root, "usr/lib/modules")); err == nil {
		return "/usr/lib/modules"
	}
	return "/lib/modules"
}

// openTree finds the one kernel of an unpacked root.
func openTree(root string) (tree, error) {
	entries, err := os.ReadDir(filepath.Join(root, modulesDir(root)))
	if err != nil || len(entries) != 1 {
		return tree{}, fmt.Errorf("expected one kernel's modules in %s, found %d: %w", modulesDir(root), len(entries), errors.Join(err))
	}
	return tree{root: root, kernel: entries[0].Name()}, nil
}

// glob gives the existing paths that match, on disk.
func (t tree) glob(patterns []string) ([]string, error) {
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(t.at(p))
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", p, err)
		}
		out = append(out, found...)
	}
	return out, nil
}

func (t tree) remove(patterns []string) error {
	found, err := t.glob(patterns)
	for _, p := range found {
		err = errors.Join(err, os.RemoveAll(p))
	}
	return err
}

// keepOnly removes whatever is neither matched, nor below, nor above a match.
func (t tree) keepOnly(patterns []string) error {
	found, err := t.glob(patterns)
	if err != nil || len(patterns) == 0 {
		return err
	}
	kept, above := map[string]bool{}, map[string]bool{t.root: true}
	for _, p := range found {
		kept[p] = true
		for dir := filepath.Dir(p); dir != t.root && !above[dir]; dir = filepath.Dir(dir) {
			above[dir] = true
		}
	}
	return filepath.WalkDir(t.root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case above[p]:
			return nil
		case !kept[p]:
			if err := os.RemoveAll(p); err != nil {
				return err
			}
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

func (t tree) write(f OverlayFile) error {
	if err := os.MkdirAll(filepath.Dir(t.at(f.Path)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(t.at(f.Path), []byte(f.Content), 0o644); err != nil {
		return err
	}
	return os.Chmod(t.at(f.Path), fs.FileMode(f.Mode))
}

// applets links busybox's programs, those that no package brings.
func (t tree) applets(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/usr/bin/busybox", "--list")
	cmd.Env, cmd.Dir = buildEnv(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: t.root}
	var said bytes.Buffer
	cmd.Stderr = &said
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("busybox --list: %w: %s", err, said.String())
	}
	for _, name := range strings.Fields(string(list)) {
		if exists(t.at("/usr/bin/"+name)) || exists(t.at("/usr/sbin/"+name)) {
			continue
		}
		if err := os.Symlink("busybox", t.at("/usr/bin/"+name)); err != nil {
			return fmt.Errorf("link busybox's %s: %w", name, err)
		}
	}
	return nil
}

func exists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}

// ramdiskGroups are the groups that udev's rules name and base-passwd does not bring.
var ramdiskGroups = []string{"input", "kvm", "render", "sgx", "clock", "rdma"}

// settle makes by hand what packages' scripts would have made: accounts, directories, links.
func (t tree) settle() error {
	var errs []error
	for _, name := range []string{"passwd", "group"} {
		master, err := os.ReadFile(t.at("/usr/share/base-passwd/" + name + ".master"))
		if errors.Is(err, os.ErrNotExist) {
			master = []byte(map[string]string{"passwd": "root:*:0:0:root:/root:/bin/sh\n", "group": "root:*:0:\n"}[name])
		}
		text := string(master)
		for i, group := range ramdiskGroups {
			if name == "group" {
				text += fmt.Sprintf("%s:*:%d:\n", group, 980+i)
			}
		}
		errs = append(errs, t.write(OverlayFile{Path: "/etc/" + name, Mode: 0o644, Content: text}))
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/mnt", "/var/lib", "/var/tmp"} {
		errs = append(errs, os.MkdirAll(t.at(dir), 0o755))
	}
	links := map[string]string{"/var/run": "/run", "/var/lock": "/run/lock", "/etc/mtab": "/proc/self/mounts"}
	for from, to := range links {
		errs = append(errs, os.RemoveAll(t.at(from)), os.Symlink(to, t.at(from)))
	}
	return errors.Join(append(errs, t.remove([]string{"/dev/*", "/run/*", "/tmp/*"}))...)
}
