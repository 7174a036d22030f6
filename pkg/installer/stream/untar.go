package stream

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// xattrKey introduces an extended attribute in a PAX record (star, GNU tar, bsdtar).
const xattrKey = "SCHILY.xattr."

// Unpack unpacks the tar in r into the directory root, with numeric owners, modes, times, hard links, devices and extended attributes,
// and reads r to its end, so that the last byte is proven too. It returns how many entries it made. The root must be empty but for
// lost+found, and private to the caller. After an error a read of r may still be under way: close r.
func Unpack(r io.Reader, root string) (int, error) {
	a := newAhead(r)
	defer a.close()
	u := unpacker{root: root, buf: make([]byte, 1<<20)}
	n, err := u.all(tar.NewReader(a))
	if err != nil {
		return n, err
	}
	if _, err := io.Copy(io.Discard, a); err != nil {
		return n, fmt.Errorf("after the archive's end: %w", err)
	}
	return n, nil
}

type unpacker struct {
	root string
	buf  []byte
	dirs []dirTime
}

type dirTime struct {
	path string
	when time.Time
}

func (u *unpacker) all(t *tar.Reader) (int, error) {
	n := 0
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return n, u.directoryTimes()
		}
		if err != nil {
			return n, fmt.Errorf("image archive after %d entries: %w", n, err)
		}
		if err := u.entry(h, t); err != nil {
			return n, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		n++
	}
}

// inside maps an archive's name to a path under the root; names that leave it are refused.
func (u *unpacker) inside(name string) (string, error) {
	rel := filepath.Clean(strings.TrimPrefix(name, "/"))
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("the name %q leads out of the archive", name)
	}
	return filepath.Join(u.root, rel), nil
}

func (u *unpacker) entry(h *tar.Header, body io.Reader) error {
	path, err := u.inside(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		err = u.file(path, body)
	case tar.TypeDir:
		if err = os.Mkdir(path, 0o700); errors.Is(err, os.ErrExist) {
			err = nil
		}
		u.dirs = append(u.dirs, dirTime{path, h.ModTime})
	case tar.TypeSymlink:
		err = os.Symlink(h.Linkname, path)
	case tar.TypeLink:
		target, bad := u.inside(h.Linkname)
		if bad != nil {
			return bad
		}
		return os.Link(target, path) // owner, mode and times are the target's
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		err = special(path, h)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("an entry of type %q is not expected in an image", h.Typeflag)
	}
	if err != nil {
		return err
	}
	return attributes(path, h)
}

func (u *unpacker) file(path string, body io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{f}, onlyReader{body}, u.buf)
	return errors.Join(err, f.Close())
}

// onlyWriter and onlyReader hide ReadFrom and WriteTo, so that the one buffer is used and nothing is allocated per file.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

func special(path string, h *tar.Header) error {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	return nil
}

// attributes sets owner, mode, extended attributes and times, in this order: a change of owner clears set-uid bits and capabilities.
func attributes(path string, h *tar.Header) error {
	if err := os.Lchown(path, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(path, uint32(h.Mode&0o7777)); err != nil {
			return fmt.Errorf("mode %o: %w", h.Mode, err)
		}
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrKey)
		if !ok {
			continue
		}
		if err := unix.Lsetxattr(path, name, []byte(value), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	return lutimes(path, h.ModTime)
}

func lutimes(path string, when time.Time) error {
	ts := unix.NsecToTimespec(when.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return nil
}

// directoryTimes are set last: every file made in a directory changes its time.
func (u *unpacker) directoryTimes() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		if err := lutimes(u.dirs[i].path, u.dirs[i].when); err != nil {
			return err
		}
	}
	return nil
}
