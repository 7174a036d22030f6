package slot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// disks are the file systems that a slot is written to, watched for writes that fail after nobody waits for them any more.
type disks []*os.File

// watch begins to watch the file systems of these directories.
func watch(dirs ...string) (disks, error) {
	var d disks
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("watch the disk under %s: %w", dir, err), d.close())
		}
		d = append(d, f)
	}
	return d, nil
}

// flush brings to the disks what is still in memory. The error is what a disk has answered to any write since watch, also to those of the kernel's own
// accord: syncfs(2) tells it since Linux 5.8, sync(2) does not.
func (d disks) flush() error {
	var errs []error
	for _, f := range d {
		if err := unix.Syncfs(int(f.Fd())); err != nil {
			errs = append(errs, fmt.Errorf("the disk under %s did not take all that was written to it: %w; it is failing, replace it", f.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// close ends the watch; nothing can be unmounted before.
func (d disks) close() error {
	var errs []error
	for _, f := range d {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
