package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// A socket's address has room for 107 bytes (unix(7)), a path may be longer. So the directory is opened, and the socket addressed through
// its file descriptor.
func short(path string) (string, *os.File, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), dir, nil
}

// listener removes the socket by its real path.
type listener struct {
	net.Listener
	path string
	dir  *os.File
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	if gone := os.Remove(l.path); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return errors.Join(err, l.dir.Close())
}

// listen binds a socket that only its owner may use. It is bound under another name and gets its own when its mode is set.
func listen(path string) (net.Listener, error) {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	addr, dir, err := short(fresh)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: addr})
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, l.Close(), dir.Close())
	}
	return &listener{Listener: l, path: path, dir: dir}, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	addr, dir, err := short(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", addr)
}
