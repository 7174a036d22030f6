package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// iPXE asks for an IPv6 router beside its DHCP, and goes on only when both are answered: on a network without routers
// it waits 16 seconds, at every start. So a known machine is told that there is none: a router advertisement with lifetime 0, without prefixes, to it alone (RFC 4861, 4.2 and 6.2.3). It changes nothing on a
// machine, and takes no other router away.

const (
	icmpSolicitation   = 133
	icmpAdvertisement  = 134
	optSourceLinkLayer = 1
	ndHopLimit         = 255 // RFC 4861: anything less came through a router and is not believed
	solicitationHeader = 8
)

// advertisement is the whole message: no hop limit, no flags, lifetime 0, no timers. The kernel adds the checksum.
var advertisement = append([]byte{icmpAdvertisement}, make([]byte, 15)...)

// listenRA opens a socket for router solicitations on one interface.
func listenRA(ctx context.Context, name string) (*ipv6.PacketConn, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface for router solicitations: %w", err)
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) })
		return errors.Join(ctlErr, err)
	}}
	raw, err := lc.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("listen for router solicitations on %s: %w", name, err)
	}
	conn := ipv6.NewPacketConn(raw)
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	err = errors.Join(
		conn.SetICMPFilter(&only),
		conn.JoinGroup(iface, &net.IPAddr{IP: net.IPv6linklocalallrouters}),
		conn.SetHopLimit(ndHopLimit),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for router solicitations on %s: %w", name, err), conn.Close())
	}
	return conn, nil
}

// serveRA answers until ctx ends. It is a convenience: a network where it cannot work boots as well, only later, so
// failures are told to the observer and end nothing.
func (s *Server) serveRA(ctx context.Context) {
	conn, err := listenRA(ctx, s.cfg.Interface)
	if err != nil {
		s.cfg.Observer.Observe(Event{Protocol: RA, Reply: "not answered: machines wait 16 seconds for an IPv6 router", Err: err})
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buf := make([]byte, 1500)
	for {
		n, cm, from, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() == nil {
				s.cfg.Observer.Observe(Event{Protocol: RA, Err: errors.Join(fmt.Errorf("receive router solicitations: %w", err), conn.Close())})
			}
			return
		}
		mac, ok := solicitor(buf[:n])
		if !ok || cm == nil || cm.HopLimit != ndHopLimit {
			continue
		}
		if s.known(ctx, mac) {
			_, err := conn.WriteTo(advertisement, nil, from)
			s.cfg.Observer.Observe(Event{Protocol: RA, Peer: peer6(from), Client: Client{MAC: mac}, Request: "router?", Reply: "none here", Err: err})
		}
	}
}

func (s *Server) known(ctx context.Context, mac net.HardwareAddr) bool {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	a, err := s.decider.Decide(ctx, Client{MAC: mac, Stage: StageOS})
	return err == nil && a.Known
}

// solicitor reads the sender's hardware address out of a router solicitation (RFC 4861, 4.1 and 4.6.1).
func solicitor(p []byte) (net.HardwareAddr, bool) {
	if len(p) < solicitationHeader || p[0] != icmpSolicitation {
		return nil, false
	}
	for p = p[solicitationHeader:]; len(p) >= 8; {
		size := 8 * int(p[1]) // options are counted in units of eight bytes
		if size == 0 || size > len(p) {
			return nil, false
		}
		if p[0] == optSourceLinkLayer && size == 8 {
			return append(net.HardwareAddr(nil), p[2:8]...), true
		}
		p = p[size:]
	}
	return nil, false
}

func peer6(a net.Addr) netip.AddrPort {
	if ip, ok := a.(*net.IPAddr); ok {
		if addr, ok := netip.AddrFromSlice(ip.IP); ok {
			return netip.AddrPortFrom(addr.WithZone(ip.Zone), 0)
		}
	}
	return netip.AddrPort{}
}
