// Package relay is boot service for one layer-2 network: DHCP, TFTP and HTTP (package netboot), the interface that agents talk to, the book
// of install orders with their nonces, and a cache of images. It decides nothing about what is installed: it answers a machine when an
// approved, signed, unexpired order expects its boot, and otherwise lets it start from its disk.
//
// The same relay runs inside nuboctl, when the workstation is on the network, and as nubo-bootd on a host that is. Both are driven through
// one control interface (Control, Client); nubo-bootd offers it on a socket that is reached through SSH, so that no further port is open.
// A relay goes on without whoever drives it: everything it needs is in its directory.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/netboot"
)

// Config describes one relay.
type Config struct {
	Dir       string     // everything the relay keeps
	Interface string     // the network's interface on this host
	Address   netip.Addr // this host's address on it
	Proxy     bool       // beside somebody else's DHCP server
	HTTPPort  uint16     // 0: the default of package netboot
	// Trust are the keys of those whose orders are taken.
	Trust []minisign.PublicKey
	// Images is where chunks and manifests are read from, and put to by Client.
	Images Images
	Log    *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Images is a content-addressed store of image manifests and chunks. Digests are bare hexadecimal SHA-256.
type Images interface {
	http.Handler // GET /v1/images/DIGEST and /v1/chunks/DIGEST
	// Missing returns which of the blobs are not there.
	Missing(digests []string) []string
	// Put keeps a blob and refuses bytes that do not have the digest; kind is "images" or "chunks".
	Put(kind, digest string, blob []byte) error
}

// Relay is boot service for one network.
type Relay struct {
	cfg    Config
	book   *book
	server *netboot.Server
	files  *os.Root
	sums   sums
}

// New opens the relay's directory, which is made when it is not there, and takes up the orders in it.
func New(cfg Config) (*Relay, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Trust) == 0 || cfg.Images == nil {
		return nil, errors.New("relay: it needs the public keys of those whose orders it takes, and an image store")
	}
	boot := filepath.Join(cfg.Dir, "boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		return nil, fmt.Errorf("relay: make its directory: %w", err)
	}
	files, err := os.OpenRoot(boot)
	if err != nil {
		return nil, fmt.Errorf("relay: open its boot files: %w", err)
	}
	b, err := openBook(filepath.Join(cfg.Dir, "orders"), cfg.Now)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	r := &Relay{cfg: cfg, book: b, files: files}
	mode := netboot.ModeAuthoritative
	if cfg.Proxy {
		mode = netboot.ModeProxy
	}
	r.server, err = netboot.New(netboot.Config{
		Interface: cfg.Interface, Address: cfg.Address, Mode: mode, HTTPPort: cfg.HTTPPort,
		Files: files.FS(), Next: r.agentHandler(), Observer: netboot.ObserverFunc(r.observe),
	}, r)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return r, nil
}

// Run serves the network until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	r.cfg.Log.Info("relay serves", "interface", r.cfg.Interface, "url", r.server.BaseURL())
	err := r.server.Run(ctx)
	r.book.wake()
	return errors.Join(err, r.files.Close())
}

// Ready is closed when the network is being served.
func (r *Relay) Ready() <-chan struct{} { return r.server.Ready() }

// observe logs, and takes a boot script that was fetched as the proof that the machine boots from the network.
func (r *Relay) observe(e netboot.Event) {
	if e.Protocol == netboot.HTTP && len(e.Client.MAC) > 0 && e.Err == nil {
		if rec, ok := r.book.expected(strings.ToLower(e.Client.MAC.String())); ok {
			e.Err = r.book.booted(rec.Record.Order.ID)
		}
	}
	level := slog.LevelDebug
	if e.Err != nil {
		level = slog.LevelWarn
	}
	r.cfg.Log.Log(context.Background(), level, "relay", "protocol", string(e.Protocol), "mac", e.Client.MAC.String(), "peer", e.Peer.String(),
		"request", e.Request, "reply", e.Reply, "bytes", e.Bytes, "error", e.Err)
}
