package installer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts remembers what was mounted, to undo it backwards.
type mounts struct{ targets []string }

// mount makes the target directory and mounts a file system there.
func (m *mounts) mount(source, target, fstype string, flags uintptr) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", source, err)
	}
	if err := unix.Mount(source, target, fstype, flags, ""); err != nil {
		return fmt.Errorf("mount %s (%s) on %s: %w", source, fstype, target, err)
	}
	m.targets = append(m.targets, target)
	return nil
}

// bind shows a directory of the ramdisk inside the slot.
func (m *mounts) bind(source, target string) error {
	return m.mount(source, target, "", unix.MS_BIND)
}

// unmount undoes all, the last first, and reports every failure.
func (m *mounts) unmount() error {
	var errs []error
	for i := len(m.targets) - 1; i >= 0; i-- {
		if err := unix.Unmount(m.targets[i], 0); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.targets[i], err))
		}
	}
	m.targets = nil
	return errors.Join(errs...)
}
