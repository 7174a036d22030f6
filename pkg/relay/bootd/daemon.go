// Package bootd is the relay as a daemon on a host that stands on the network it serves, for when the workstation does not. It is pushed there
// over SSH, driven through a Unix socket that only SSH leads to, and goes on when SSH is lost: orders and images are in its directory.
package bootd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/relay"
)

// The files in a daemon's directory.
const (
	configFile = "config.json"
	socketFile = "control.sock"
	pidFile    = "pid"
	lockFile   = "lock"
	logFile    = "log"
	binaryFile = "nubo-bootd"
)

// Config is what a daemon is told about its network.
type Config struct {
	FormatVersion int        `json:"format_version"`
	Interface     string     `json:"interface"`
	Address       netip.Addr `json:"address"`
	Proxy         bool       `json:"proxy,omitempty"`
	HTTPPort      uint16     `json:"http_port,omitempty"`
	Trust         []string   `json:"trust"` // minisign public keys
}

// Run serves a network from a directory with a Config in it, until ctx ends. images makes the image store below a directory.
func Run(ctx context.Context, dir string, images func(dir string, trust []minisign.PublicKey) relay.Images, log *slog.Logger) error {
	cfg, trust, err := readConfig(dir)
	if err != nil {
		return err
	}
	if cfg.Interface == "" {
		if cfg.Interface, _, err = relay.Place(cfg.Address, netip.Prefix{}); err != nil {
			return err
		}
		if cfg.Interface == "" {
			return fmt.Errorf("this host has no interface with the relay's address %s: correct network … { relay { address = … } }", cfg.Address)
		}
	}
	release, err := claim(dir)
	if err != nil {
		return err
	}
	defer release()
	r, err := relay.New(relay.Config{
		Dir: dir, Interface: cfg.Interface, Address: cfg.Address, Proxy: cfg.Proxy, HTTPPort: cfg.HTTPPort,
		Trust: trust, Images: images(filepath.Join(dir, "images"), trust), Log: log,
	})
	if err != nil {
		return err
	}
	l, err := listen(filepath.Join(dir, socketFile))
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: r.Control(), ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(ctx) })
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("control socket: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return g.Wait()
}

func readConfig(dir string) (Config, []minisign.PublicKey, error) {
	var cfg Config
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err == nil {
		err = json.Unmarshal(text, &cfg)
	}
	if err == nil && cfg.FormatVersion != 1 {
		err = fmt.Errorf("format_version %d, this program knows 1", cfg.FormatVersion)
	}
	if err != nil {
		return cfg, nil, fmt.Errorf("configuration: %w", err)
	}
	trust := make([]minisign.PublicKey, len(cfg.Trust))
	for i, s := range cfg.Trust {
		if err := trust[i].UnmarshalText([]byte(s)); err != nil {
			return cfg, nil, fmt.Errorf("configuration: trusted key %d: %w", i+1, err)
		}
	}
	return cfg, trust, nil
}

// claim makes this process the only one that serves from the directory, and writes its number where Deploy finds it.
func claim(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another nubo-bootd serves from %s: %w", dir, err), f.Close())
	}
	if err := os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("pid file: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil // the lock goes with the descriptor
}

// listen opens the control socket, for its owner only. The lock is held, so a socket that is there is a dead one.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}
