package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	decideTimeout  = 2 * time.Second
	dhcpAtOnce     = 64 // requests being decided; more wait in the socket's buffer
	dhcpClientPort = 68
)

// listenDHCP opens a UDP socket for all addresses of one interface: clients without an address send to broadcast.
func listenDHCP(ctx context.Context, iface string, port uint16) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if iface == "" {
			return nil
		}
		ctlErr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), iface) })
		return errors.Join(ctlErr, err)
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen for DHCP on port %d of interface %q: %w (root or CAP_NET_BIND_SERVICE is needed, and no other DHCP server on this interface)",
			port, iface, err)
	}
	return roomy(conn.(*net.UDPConn)), nil
}

// burst is how many bytes of packets a socket keeps that nobody has read yet: a few thousand machines that are switched on at once.
const burst = 8 << 20

// roomy gives a socket room for a burst of packets: beyond the system's limit when this process may, otherwise up to it. Less room costs clients a
// repetition of their question.
func roomy(conn *net.UDPConn) *net.UDPConn {
	if raw, err := conn.SyscallConn(); err == nil {
		if ctl := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, burst) }); ctl == nil && err == nil {
			return conn
		}
	}
	_ = conn.SetReadBuffer(burst)
	return conn
}

// serveDHCP answers on conn until it is closed.
func (s *Server) serveDHCP(ctx context.Context, conn *net.UDPConn) error {
	var workers errgroup.Group
	workers.SetLimit(dhcpAtOnce)
	defer func() { _ = workers.Wait() }()
	for {
		buf := make([]byte, 1500)
		n, peer, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.cfg.Observer.Observe(Event{Protocol: DHCP, Reply: "nothing", Err: fmt.Errorf("receive DHCP: %w", err)})
			continue
		}
		workers.Go(func() error {
			s.handleDHCP(ctx, conn, buf[:n], peer)
			return nil
		})
	}
}

// handleDHCP deals with one packet: parse, decide, reply, report.
func (s *Server) handleDHCP(ctx context.Context, conn *net.UDPConn, packet []byte, peer netip.AddrPort) {
	s.stats.dhcpRequests.Add(1)
	ev := Event{Protocol: DHCP, Peer: peer}
	reply, to := s.answerDHCP(ctx, packet, peer, portOf(conn), &ev)
	if reply == nil {
		s.stats.dhcpIgnored.Add(1)
	} else if _, err := conn.WriteToUDPAddrPort(reply.ToBytes(), to); err != nil {
		ev.Err = fmt.Errorf("send DHCP %s for %s to %s: %w", reply.MessageType(), ev.Client.MAC, to, err)
	} else {
		s.stats.dhcpReplies.Add(1)
	}
	s.cfg.Observer.Observe(ev)
}

// answerDHCP makes the reply to one packet and says where it goes; nil is silence. ev is filled in.
func (s *Server) answerDHCP(ctx context.Context, packet []byte, peer netip.AddrPort, port uint16, ev *Event) (*dhcpv4.DHCPv4, netip.AddrPort) {
	m, err := dhcpv4.FromBytes(packet)
	if err != nil {
		ev.Reply = ignoredMalformed
		return nil, netip.AddrPort{}
	}
	c, ok := clientOf(m)
	ev.Client, ev.Request = c, m.MessageType().String()
	if !ok {
		ev.Reply = ignoredMalformed
		return nil, netip.AddrPort{}
	}
	if s.cfg.Mode == ModeProxy && port != s.cfg.ProxyPort && m.MessageType() != dhcpv4.MessageTypeDiscover {
		ev.Reply = ignoredOther
		return nil, netip.AddrPort{}
	}
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	answer, err := s.decider.Decide(ctx, c)
	if err != nil {
		ev.Reply, ev.Err = "ignored: no decision", fmt.Errorf("decide for %s: %w", c.MAC, err)
		return nil, netip.AddrPort{}
	}
	reply, why := s.replyTo(m, c, answer)
	if reply == nil {
		ev.Reply = why
		return nil, netip.AddrPort{}
	}
	ev.Reply = describe(reply)
	serverPort := s.cfg.DHCPPort
	return reply, destination(m, reply, peer, dhcpClientPort, serverPort)
}

// describe is a reply in one line, for events.
func describe(reply *dhcpv4.DHCPv4) string {
	text := reply.MessageType().String()
	if ip, ok := addrOf(reply.YourIPAddr); ok {
		text += " " + ip.String()
	}
	if file := reply.BootFileNameOption(); file != "" {
		text += " boot " + file
	}
	return text
}

func portOf(conn net.PacketConn) uint16 {
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}
