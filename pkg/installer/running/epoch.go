package running

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/installer/slot"
)

// Claim takes this host's slots for one verb: nobody else changes them until the returned function is called. An epoch older than one
// seen before is refused; a newer one is kept. Epoch 0 is none: it neither checks nor keeps.
func (h Host) Claim(epoch int64) (release func(), err error) {
	dir := filepath.Join(h.Root, slot.NuboDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("claim the slots: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "slot.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the slots: %w", err)
	}
	release = func() { f.Close() }
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		release()
		return nil, refuse("another slot command is at work on this host (%v)", err)
	}
	if err := checkEpoch(filepath.Join(dir, "epoch"), epoch); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func checkEpoch(path string, epoch int64) error {
	if epoch == 0 {
		return nil
	}
	// Commands over SSH keep their epoch in the same file, under the same lock (package remote).
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	defer lock.Close()
	// What runs under a lease already shares the lock and has written its epoch, so only a newer one needs it alone.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	if done, err := epochSeen(path, epoch); done || err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("keep the epoch: %w", err)
	}
	if done, err := epochSeen(path, epoch); done || err != nil {
		return err
	}
	if err := keepEpoch(path, epoch); err != nil {
		return fmt.Errorf("keep the epoch: %w", err)
	}
	return nil
}

// keepEpoch replaces the file so that it is whole after a power cut: one that is empty would refuse every command there is.
func keepEpoch(path string, epoch int64) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatInt(epoch, 10) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// epochSeen compares an epoch with the one that is kept: true when it is that one, an error when it is older.
func epochSeen(path string, epoch int64) (bool, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("read the epoch: %w", err)
	}
	if err != nil {
		return false, nil
	}
	seen, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return false, fmt.Errorf("read the epoch in %s: %w", path, err)
	}
	if epoch < seen {
		return false, refuse("epoch %d is older than %d, which this host has obeyed: somebody else took over", epoch, seen)
	}
	return epoch == seen, nil
}
