package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Down ends every process of the rack and removes its namespaces and sockets, whatever a crash has left of them. Disks,
// keys and logs stay, unless they are to be purged.
func (l *Lab) Down(ctx context.Context, purge bool) error {
	if err := checkHost(); err != nil {
		return err
	}
	if err := os.MkdirAll(l.Dirs.Runtime, 0o700); err != nil {
		return err
	}
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	// A step that fails does not keep the others from cleaning.
	err = errors.Join(l.endRecorded(ctx), l.endStrays(ctx), removeNamespaces(ctx, l.Rack), os.RemoveAll(l.Dirs.Sockets))
	if err == nil {
		err = remove(filepath.Join(l.Dirs.Runtime, "network"))
	}
	if err == nil && purge {
		err = os.RemoveAll(l.Dirs.Runtime)
	}
	if err != nil {
		return fmt.Errorf("take rack %s down: %w", l.Rack.Name, err)
	}
	l.say("rack %s is down", l.Rack.Name)
	return nil
}

// endRecorded ends the processes on record, the daemon first, as it would start others again.
func (l *Lab) endRecorded(ctx context.Context) error {
	all, err := l.procs().list()
	if err != nil {
		return err
	}
	errs := []error{l.procs().end(ctx, rackdName, powerOffGrace)}
	for _, p := range all {
		if p.Alive() {
			l.say("end %s (pid %d)", p.Name, p.PID)
		}
		errs = append(errs, l.procs().end(ctx, p.Name, powerOffGrace))
	}
	return errors.Join(errs...)
}

// endStrays ends what else runs in the rack's namespaces, where only the rack's users put processes.
func (l *Lab) endStrays(ctx context.Context) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		pids, err := namespacePIDs(ctx, l.Rack)
		if err != nil || len(pids) == 0 {
			return err
		}
		l.say("end processes left in the namespaces: %v", pids)
		for _, pid := range pids {
			if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end pid %d: %w", pid, err)
			}
		}
		_ = waitFor(ctx, "empty namespaces", step.wait, func() (bool, error) {
			left, err := namespacePIDs(ctx, l.Rack)
			return len(left) == 0, err
		})
	}
	if left, err := namespacePIDs(ctx, l.Rack); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("processes %v do not end", left))
	}
	return nil
}

// remove deletes a file that may be gone already.
func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
