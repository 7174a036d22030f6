package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"
)

// Server is the relay of one layer-2 network: DHCP, TFTP and HTTP, and a word to iPXE that there is no IPv6 router, which
// saves it a wait of 16 seconds.
type Server struct {
	cfg       Config
	decider   Decider
	ready     chan struct{}
	httpQueue *queue
	stats     counters
	tftp      *tftpServer // set before ready is closed
}

// New checks cfg and makes a server that listens to nothing yet. All mistakes in cfg are reported at once.
func New(cfg Config, d Decider) (*Server, error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if d == nil {
		err = errors.Join(err, errors.New("no decider: somebody must know the machines"))
	}
	if err != nil {
		return nil, fmt.Errorf("relay configuration: %w", err)
	}
	return &Server{
		cfg: cfg, decider: d, ready: make(chan struct{}),
		httpQueue: newQueue(cfg.HTTPTransfers),
	}, nil
}

// BaseURL is where the HTTP server is reached by machines, without a final slash: "http://10.77.0.1:8080".
func (s *Server) BaseURL() string { return s.cfg.baseURL() }

// Ready is closed once all listeners are open. It stays open when Run fails before that.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Stats reads the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		DHCPRequests: c.dhcpRequests.Load(), DHCPReplies: c.dhcpReplies.Load(), DHCPIgnored: c.dhcpIgnored.Load(),
		TFTPTransfers: c.tftpDone.Load(), TFTPFailures: c.tftpFailed.Load(), TFTPBytes: c.tftpBytes.Load(),
		HTTPTransfers: c.httpDone.Load(), HTTPFailures: c.httpFailed.Load(), HTTPBytes: c.httpBytes.Load(),
		HTTPActive: c.httpActive.Load(), HTTPQueued: c.httpQueued.Load(), ScriptsServed: c.scripts.Load(),
	}
	select {
	case <-s.ready:
		out.TFTPActive, out.TFTPQueued = s.tftp.queue.active()
	default:
	}
	return out
}

// Run opens all listeners and serves until ctx ends (then it returns nil) or a listener fails (then it closes the
// others and returns why). It returns when nothing of it is running any more. It must be called once.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, l)
}

// listeners are the sockets of a server.
type listeners struct {
	dhcp []*net.UDPConn
	tftp *net.UDPConn
	http net.Listener
	mtu  int
}

func (l *listeners) close() error {
	var errs []error
	for _, c := range l.dhcp {
		errs = append(errs, c.Close())
	}
	if l.tftp != nil {
		errs = append(errs, l.tftp.Close())
	}
	if l.http != nil {
		errs = append(errs, l.http.Close())
	}
	return errors.Join(errs...)
}

func (s *Server) listen(ctx context.Context) (*listeners, error) {
	l := &listeners{}
	err := s.open(ctx, l)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (s *Server) open(ctx context.Context, l *listeners) (err error) {
	if l.mtu, err = checkInterface(s.cfg.Interface, s.cfg.Address); err != nil {
		return err
	}
	ports := []uint16{s.cfg.DHCPPort}
	if s.cfg.Mode == ModeProxy {
		ports = append(ports, s.cfg.ProxyPort)
	}
	for _, port := range ports {
		conn, err := listenDHCP(ctx, s.cfg.Interface, port)
		if err != nil {
			return err
		}
		l.dhcp = append(l.dhcp, conn)
	}
	if l.tftp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.cfg.Address, s.cfg.TFTPPort))); err != nil {
		return fmt.Errorf("listen for TFTP on %s port %d: %w", s.cfg.Address, s.cfg.TFTPPort, err)
	}
	roomy(l.tftp)
	var lc net.ListenConfig
	if l.http, err = lc.Listen(ctx, "tcp4", netip.AddrPortFrom(s.cfg.Address, s.cfg.HTTPPort).String()); err != nil {
		return fmt.Errorf("listen for HTTP on %s port %d: %w", s.cfg.Address, s.cfg.HTTPPort, err)
	}
	return nil
}

// serve runs all servers on l and closes it.
func (s *Server) serve(ctx context.Context, l *listeners) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, conn := range l.dhcp {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends serveDHCP
		defer stop()
		g.Go(func() error { return s.serveDHCP(ctx, conn) })
	}
	if s.cfg.Interface != "" {
		g.Go(func() error { s.serveRA(ctx); return nil })
	}
	s.tftp = s.newTFTP(ctx, l.tftp, l.mtu)
	g.Go(func() error { return s.tftp.serve(ctx) })
	g.Go(func() error { return s.serveHTTP(ctx, l.http) })
	close(s.ready)
	return g.Wait()
}

const defaultMTU = 1500

// checkInterface finds the MTU, and refuses an address that the kernel would not answer from: UEFI drops TFTP packets
// that come from another address than the one it asked.
func checkInterface(name string, addr netip.Addr) (mtu int, err error) {
	if name == "" {
		return defaultMTU, nil
	}
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("interface %q of the provisioning network: %w", name, err)
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return 0, fmt.Errorf("addresses of interface %q: %w", name, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Contains(addr) {
			continue
		}
		if p.Addr() == addr {
			return iface.MTU, nil
		}
		return 0, fmt.Errorf("address %s is not the first one of its network on %s: use %s", addr, name, p.Addr())
	}
	return 0, fmt.Errorf("interface %s does not have the address %s: set it, or name another interface", name, addr)
}
