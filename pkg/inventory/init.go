package inventory

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed starter
var starter embed.FS

// Init writes a commented inventory to start from, with a .gitignore that keeps nuboctl's state out of version control. It creates the
// directory, never overwrites a file, and returns what it wrote. A directory that already has an inventory is refused.
func Init(dir string) ([]string, error) {
	if there, _ := filepath.Glob(filepath.Join(dir, "*.hcl")); len(there) > 0 {
		return nil, fmt.Errorf("init %s: there is an inventory already (%s); choose an empty directory", dir, filepath.Base(there[0]))
	}
	var written []string
	err := fs.WalkDir(starter, "starter", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := starter.ReadFile(name)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, "starter/")
		written = append(written, rel)
		return writeNew(filepath.Join(dir, filepath.FromSlash(rel)), b)
	})
	if err != nil {
		return written, fmt.Errorf("init %s: %w", dir, err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if err := writeNew(ignore, []byte("/.nubo/\n/secrets.json\n")); err == nil {
		written = append(written, ".gitignore")
	} else if !errors.Is(err, fs.ErrExist) {
		return written, fmt.Errorf("init %s: %w", dir, err)
	}
	return written, nil
}

// writeNew writes a file that must not exist yet.
func writeNew(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
