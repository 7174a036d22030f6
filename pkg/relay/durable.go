package relay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeDurably replaces a file so that after a crash either the old or the new bytes are there, and the new ones once it has returned.
func writeDurably(name string, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("relay: write %s: %w", name, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
