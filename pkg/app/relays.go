package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/relay"
	"github.com/nuboctl/nuboctl/pkg/relay/bootd"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// relays opens the relay of each network when it is first needed. With serve they also answer the network; without they only know their orders.
type relays struct {
	s     *session
	serve bool
	ctx   context.Context // ends the relays of this process
	stop  context.CancelFunc

	mu      sync.Mutex
	clients map[string]*relay.Client
	ends    []func()
	running sync.WaitGroup

	errsMu sync.Mutex
	errs   []error
}

func newRelays(ctx context.Context, s *session, serve bool) *relays {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	return &relays{s: s, serve: serve, ctx: ctx, stop: stop, clients: map[string]*relay.Client{}}
}

// Client is the relay of a network.
func (r *relays) Client(ctx context.Context, network string) (*relay.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.clients[network]; ok {
		return c, nil
	}
	n := networkOf(r.s.desired, network)
	if n.Name == "" {
		return nil, fmt.Errorf("network %s: %w", network, errNoNetwork)
	}
	open := r.local
	if n.Relay != nil && n.Relay.Via != "" {
		open = r.pushed
	}
	c, err := open(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("relay of network %s: %w", network, err)
	}
	r.clients[network] = c
	return c, nil
}

var errNoNetwork = errors.New("not in the inventory")

// Close stops the relays of this process; those on other hosts go on.
func (r *relays) Close() error {
	r.stop()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.ends {
		end()
	}
	return errors.Join(r.errs...)
}

// local runs the relay in this process.
func (r *relays) local(ctx context.Context, n model.Network) (*relay.Client, error) {
	cfg := relay.Config{
		Dir: filepath.Join(r.s.env.stateDir(), "relay", n.Name), Proxy: n.DHCP == model.DHCPProxy,
		Trust: []minisign.PublicKey{r.s.keys.Public}, Log: r.s.env.Log, Now: r.s.env.Now,
		Images: relay.StoreImages(r.s.images.Dir, []minisign.PublicKey{r.s.keys.Public}),
	}
	var err error
	if cfg.Interface, cfg.Address, err = place(n); err != nil && r.serve {
		return nil, err
	}
	if !cfg.Address.IsValid() {
		cfg.Address = n.CIDR.Addr() // not served on: the order book is only read
	}
	rel, err := relay.New(cfg)
	if err != nil {
		return nil, err
	}
	if r.serve {
		if err := r.run(ctx, rel); err != nil {
			return nil, err
		}
	}
	c, end := relay.Local(rel)
	r.ends = append(r.ends, end)
	return c, nil
}

// run starts a relay and waits until it serves.
func (r *relays) run(ctx context.Context, rel *relay.Relay) error {
	failed := make(chan error, 1)
	r.running.Go(func() {
		err := rel.Run(r.ctx)
		failed <- err
		r.errsMu.Lock()
		defer r.errsMu.Unlock()
		r.errs = append(r.errs, err)
	})
	select {
	case <-rel.Ready():
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// place finds the interface and the address of this machine on a network.
func place(n model.Network) (string, netip.Addr, error) {
	var want netip.Addr
	if n.Relay != nil {
		want = n.Relay.Address
		if n.Relay.Interface != "" && want.IsValid() {
			return n.Relay.Interface, want, nil
		}
	}
	name, have, err := relay.Place(want, n.CIDR)
	if err != nil || name != "" {
		return name, have, err
	}
	return "", netip.Addr{}, fmt.Errorf("this machine has no address on %s (%s); run nuboctl on a machine that has, or name a host that has: network %q { relay { via = \"user@host\" … } }",
		n.Name, n.CIDR, n.Name)
}

// pushed brings nubo-bootd to the host that stands on the network.
func (r *relays) pushed(ctx context.Context, n model.Network) (*relay.Client, error) {
	host, err := r.s.jump(n)
	if err != nil {
		return nil, err
	}
	site := bootd.Site{Host: host, Name: n.Relay.Via, Network: n.Name}
	if !r.serve {
		return site.Client(), nil
	}
	program, err := besideMe("nubo-bootd")
	if err != nil {
		return nil, err
	}
	return site.Deploy(ctx, program, bootd.Config{
		Interface: n.Relay.Interface, Address: n.Relay.Address, Proxy: n.DHCP == model.DHCPProxy, Trust: []string{r.s.keys.Public.String()},
	})
}

// jump is the connection to the host through which a network is reached, nil when it is reached directly.
func (s *session) jump(n model.Network) (*remote.Link, error) {
	if n.Relay == nil || n.Relay.Via == "" {
		return nil, nil //nolint:nilnil // reached directly: there is no jump
	}
	s.jumpsMu.Lock()
	defer s.jumpsMu.Unlock()
	if l, ok := s.jumps[n.Relay.Via]; ok {
		return l, nil
	}
	userName, address, ok := strings.Cut(n.Relay.Via, "@")
	if !ok {
		userName, address = "root", n.Relay.Via
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "22")
	}
	pub, err := remote.KnownHosts{n.Relay.Via: {n.Relay.HostKey}}.Keys(n.Relay.Via)
	if err != nil {
		return nil, fmt.Errorf("network %s: relay: host_key: %w", n.Name, err)
	}
	l := remote.NewLink(remote.To(remote.Target{Name: n.Relay.Via, Address: address, User: userName, HostKeys: pub,
		Login: remote.KeyLogin(s.keys.Login), Timeout: 15 * time.Second}))
	s.jumps[n.Relay.Via] = l
	return l, nil
}

// besideMe finds a program of this release: beside this one.
func besideMe(name string) (string, error) {
	me, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	file := filepath.Join(filepath.Dir(me), name)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("%s should stand beside nuboctl: %w; make build puts all programs into bin/", name, err)
	}
	return file, nil
}
