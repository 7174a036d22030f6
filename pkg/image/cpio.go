package image

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// writeCPIO writes a directory as an initramfs archive (newc; Documentation/driver-api/early-userspace/buffer-format.rst of Linux): sorted,
// everything owned by root, no time stamps, inode numbers counted. The same tree gives the same bytes.
func writeCPIO(to io.Writer, root string) error {
	var paths []string
	err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		paths = append(paths, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	slices.Sort(paths)
	w := cpio.NewWriter(to)
	for i, p := range paths[1:] {
		if err := writeEntry(w, root, p, int64(i+1)); err != nil {
			return fmt.Errorf("initramfs: %s: %w", strings.TrimPrefix(p, root), err)
		}
	}
	return w.Close()
}

func writeEntry(w *cpio.Writer, root, p string, inode int64) error {
	info, err := os.Lstat(p)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(root, p)
	if err != nil {
		return err
	}
	h := &cpio.Header{Name: name, Inode: inode, Links: 1, Mode: cpio.FileMode(info.Mode().Perm())}
	if info.Mode()&fs.ModeSticky != 0 {
		h.Mode |= cpio.ModeSticky
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		h.Mode |= cpio.TypeDir
		return w.WriteHeader(h)
	case fs.ModeSymlink:
		target, err := os.Readlink(p)
		if err != nil {
			return err
		}
		h.Mode |= cpio.TypeSymlink
		return writeFile(w, h, []byte(target))
	case 0:
		content, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		h.Mode |= cpio.TypeReg
		return writeFile(w, h, content)
	}
	return fmt.Errorf("neither file, directory nor link: %s", info.Mode())
}

func writeFile(w *cpio.Writer, h *cpio.Header, content []byte) error {
	h.Size = int64(len(content))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
