package netboot

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const defaultLease = time.Hour

// reasons for silence, as shown in events.
const (
	ignoredMalformed = "ignored: not a DHCP request of an Ethernet client"
	ignoredStranger  = "ignored: unknown machine"
	ignoredOther     = "ignored: meant for another DHCP server"
	ignoredNoLease   = "ignored: the machine has no IPv4 address of its own"
	ignoredNoBoot    = "ignored: nothing to boot, and another server gives addresses"
	ignoredKind      = "ignored: this relay does not answer such messages"
	notedRelease     = "noted: address released, it stays the machine's own"
	notedDecline     = "noted: the machine found its address in use by someone else; look for a duplicate address"
)

// replyTo is the whole policy: what, if anything, is said to m given the answer a. It has no side effects.
// The string says why when there is no reply.
func (s *Server) replyTo(m *dhcpv4.DHCPv4, c Client, a Answer) (*dhcpv4.DHCPv4, string) {
	if !a.Known {
		return nil, ignoredStranger
	}
	if s.cfg.Mode == ModeProxy {
		return s.replyProxy(m, c, a)
	}
	if !a.Lease.Address.IsValid() || !a.Lease.Address.Addr().Is4() {
		return nil, ignoredNoLease
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return s.leaseReply(m, c, a, dhcpv4.MessageTypeOffer), ""
	case dhcpv4.MessageTypeRequest:
		return s.replyRequest(m, c, a)
	case dhcpv4.MessageTypeInform:
		return s.informReply(m, c, a), ""
	case dhcpv4.MessageTypeRelease:
		return nil, notedRelease
	case dhcpv4.MessageTypeDecline:
		return nil, notedDecline
	default:
		return nil, ignoredKind
	}
}

// replyRequest tells the states of a REQUEST apart (RFC 2131, 4.3.2). A known machine that wants an address which is
// not its own is told so: this server is the authority on it.
func (s *Server) replyRequest(m *dhcpv4.DHCPv4, c Client, a Answer) (*dhcpv4.DHCPv4, string) {
	if id := m.ServerIdentifier(); id != nil && !id.Equal(s.cfg.Address.AsSlice()) {
		return nil, ignoredOther
	}
	wanted, ok := addrOf(m.RequestedIPAddress())
	if !ok {
		wanted, ok = addrOf(m.ClientIPAddr)
	}
	switch {
	case !ok:
		return nil, ignoredMalformed
	case wanted != a.Lease.Address.Addr():
		return s.nak(m), ""
	default:
		return s.leaseReply(m, c, a, dhcpv4.MessageTypeAck), ""
	}
}

// replyProxy answers beside another server: never an address, and nothing at all unless there is something to boot.
// A REQUEST is answered on the proxy port only; on the server port it is the other server's.
func (s *Server) replyProxy(m *dhcpv4.DHCPv4, c Client, a Answer) (*dhcpv4.DHCPv4, string) {
	file := s.bootFile(c)
	if a.Boot == nil || file == "" {
		return nil, ignoredNoBoot
	}
	var kind dhcpv4.MessageType
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	default:
		return nil, ignoredKind
	}
	reply := s.reply(m, kind)
	if c.UUID != "" {
		dhcpv4.WithOptionCopied(m, dhcpv4.OptionClientMachineIdentifier)(reply)
	}
	s.addBoot(reply, c, file)
	return reply, ""
}

// reply is the part common to all replies.
func (s *Server) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	reply := &dhcpv4.DHCPv4{
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero,
		GatewayIPAddr: m.GatewayIPAddr, Options: dhcpv4.Options{},
	}
	dhcpv4.WithReply(m)(reply)
	dhcpv4.WithOptionCopied(m, dhcpv4.OptionRelayAgentInformation)(reply) // RFC 3046, 2.2
	dhcpv4.WithOptionCopied(m, dhcpv4.OptionClientIdentifier)(reply)      // RFC 6842
	reply.UpdateOption(dhcpv4.OptMessageType(kind))
	reply.UpdateOption(dhcpv4.OptServerIdentifier(s.cfg.Address.AsSlice()))
	return reply
}

func (s *Server) nak(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	reply := s.reply(m, dhcpv4.MessageTypeNak)
	reply.SetBroadcast() // so that a relay agent also broadcasts it (RFC 2131, 4.3.2)
	reply.UpdateOption(dhcpv4.OptMessage("this machine has another address here"))
	return reply
}

// leaseReply is an OFFER or ACK with the machine's address.
func (s *Server) leaseReply(m *dhcpv4.DHCPv4, c Client, a Answer, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	reply := s.reply(m, kind)
	lease := a.Lease.Time
	if lease <= 0 {
		lease = defaultLease
	}
	reply.YourIPAddr = a.Lease.Address.Addr().AsSlice()
	if kind == dhcpv4.MessageTypeAck {
		reply.ClientIPAddr = m.ClientIPAddr
	}
	reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
	s.addNetwork(reply, a.Lease)
	s.addBootIfExpected(reply, c, a)
	return reply
}

// informReply tells a machine that has an address everything else (RFC 2131, 4.3.5: no address, no lease time).
func (s *Server) informReply(m *dhcpv4.DHCPv4, c Client, a Answer) *dhcpv4.DHCPv4 {
	reply := s.reply(m, dhcpv4.MessageTypeAck)
	reply.ClientIPAddr = m.ClientIPAddr
	s.addNetwork(reply, a.Lease)
	s.addBootIfExpected(reply, c, a)
	return reply
}

func (s *Server) addBootIfExpected(reply *dhcpv4.DHCPv4, c Client, a Answer) {
	if file := s.bootFile(c); a.Boot != nil && file != "" {
		s.addBoot(reply, c, file)
	} else {
		s.addLocalBoot(reply, c)
	}
}

func (s *Server) addNetwork(reply *dhcpv4.DHCPv4, l Lease) {
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(l.Address.Bits(), 32)))
	if l.Router.Is4() {
		reply.UpdateOption(dhcpv4.OptRouter(l.Router.AsSlice()))
	}
	dns := ips(l.DNS)
	if len(dns) == 0 {
		dns = ips([]netip.Addr{s.cfg.Address})
	}
	reply.UpdateOption(dhcpv4.OptDNS(dns...))
	if ntp := ips(l.NTP); len(ntp) > 0 {
		reply.UpdateOption(dhcpv4.OptNTPServers(ntp...))
	}
	if l.Domain != "" {
		reply.UpdateOption(dhcpv4.OptDomainName(l.Domain))
	}
	if l.Hostname != "" {
		reply.UpdateOption(dhcpv4.OptHostName(l.Hostname))
	}
	if l.MTU > 0 {
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{byte(l.MTU >> 8), byte(l.MTU)}))
	}
}

// ips converts the IPv4 addresses of a list.
func ips(addrs []netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range addrs {
		if a.Is4() {
			out = append(out, a.AsSlice())
		}
	}
	return out
}

// addrOf converts a packet's address; ok is false for none and for 0.0.0.0.
func addrOf(ip net.IP) (addr netip.Addr, ok bool) {
	addr, ok = netip.AddrFromSlice(ip.To4())
	return addr, ok && !addr.IsUnspecified()
}

// destination is where a reply goes (RFC 2131, 4.1). A client that has no address yet is always reached by broadcast:
// every client takes it, and no raw socket is needed. peer is the sender, for those who already have an address.
func destination(m, reply *dhcpv4.DHCPv4, peer netip.AddrPort, clientPort, serverPort uint16) netip.AddrPort {
	broadcast := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), clientPort)
	if gi, ok := addrOf(m.GatewayIPAddr); ok {
		return netip.AddrPortFrom(gi, serverPort)
	}
	if reply.MessageType() == dhcpv4.MessageTypeNak {
		return broadcast
	}
	if ci, ok := addrOf(m.ClientIPAddr); ok {
		port := clientPort
		if peer.Addr().Unmap() == ci && peer.Port() != 0 {
			port = peer.Port()
		}
		return netip.AddrPortFrom(ci, port)
	}
	return broadcast
}
