package netboot

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

type mod = dhcpv4.Modifier

var (
	optPXE    = dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
	optHTTP   = dhcpv4.WithOption(dhcpv4.OptClassIdentifier("HTTPClient:Arch:00016:UNDI:003001"))
	optUUID   = dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	optIPXE   = dhcpv4.WithGeneric(dhcpv4.OptionEtherboot, []byte{19, 1, 1, 33, 1, 1, 24, 1, 1})
	optNoHTTP = dhcpv4.WithGeneric(dhcpv4.OptionEtherboot, []byte{18, 1, 1})
)

func arch(a iana.Arch) mod { return dhcpv4.WithOption(dhcpv4.OptClientArch(a)) }

func wants(ip string) mod {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
}

func serverID(ip string) mod {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(ip)))
}

func packet(t testing.TB, mac string, kind dhcpv4.MessageType, mods ...mod) []byte {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv4.New(append([]mod{
		dhcpv4.WithHwAddr(hw), dhcpv4.WithMessageType(kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
	}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.ToBytes()
}

func TestDHCPReplies(t *testing.T) {
	const (
		discover = dhcpv4.MessageTypeDiscover
		request  = dhcpv4.MessageTypeRequest
	)
	mods := func(m ...mod) []mod { return m }
	relayed := dhcpv4.WithRelay(net.IPv4(10, 77, 8, 1))
	agentInfo := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 3, 'p', '1', '7'})
	ciaddr := dhcpv4.WithClientIP(net.IPv4(10, 77, 0, 11))
	for _, tc := range []struct {
		name string
		mode Mode
		port uint16
		mac  string
		kind dhcpv4.MessageType
		mods []mod
	}{
		{name: "bios-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(0), optUUID)},
		{name: "uefi-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(7))},
		{name: "uefi-bc-request", mac: macInstall, kind: request, mods: mods(optPXE, arch(9), wants("10.77.0.11"), serverID("10.77.0.1"))},
		{name: "uefi-http-discover", mac: macInstall, kind: discover, mods: mods(optHTTP, arch(16), dhcpv4.WithBroadcast(true))},
		{name: "arm-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(11))},
		{name: "ipxe-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(7), optUUID, optIPXE)},
		{name: "ipxe-without-http-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(0), optNoHTTP)},
		{name: "os-discover", mac: macInstall, kind: discover},
		{name: "disk-bios-discover", mac: macDisk, kind: discover, mods: mods(optPXE, arch(0))},
		{name: "disk-http-discover", mac: macDisk, kind: discover, mods: mods(optHTTP, arch(16))},
		{name: "disk-ipxe-discover", mac: macDisk, kind: discover, mods: mods(optPXE, arch(0), optIPXE)},
		{name: "relayed-discover", mac: macInstall, kind: discover, mods: mods(optPXE, arch(0), relayed, agentInfo)},
		{name: "relayed-nak", mac: macInstall, kind: request, mods: mods(relayed, wants("192.168.1.5"))},
		{name: "request-ack", mac: macInstall, kind: request, mods: mods(wants("10.77.0.11"), serverID("10.77.0.1"))},
		{name: "request-renew", mac: macInstall, kind: request, mods: mods(ciaddr)},
		{name: "request-nak", mac: macInstall, kind: request, mods: mods(wants("10.77.0.99"))},
		{name: "request-other-server", mac: macInstall, kind: request, mods: mods(wants("10.77.0.99"), serverID("10.77.0.66"))},
		{name: "request-without-address", mac: macInstall, kind: request},
		{name: "inform", mac: macInstall, kind: dhcpv4.MessageTypeInform, mods: mods(ciaddr)},
		{name: "release", mac: macInstall, kind: dhcpv4.MessageTypeRelease, mods: mods(ciaddr)},
		{name: "decline", mac: macInstall, kind: dhcpv4.MessageTypeDecline, mods: mods(wants("10.77.0.11"))},
		{name: "stranger-discover", mac: macStranger, kind: discover, mods: mods(optPXE, arch(0))},
		{name: "stranger-request", mac: macStranger, kind: request, mods: mods(wants("192.168.1.5"))},
		{name: "stranger-inform", mac: macStranger, kind: dhcpv4.MessageTypeInform, mods: mods(ciaddr)},
		{name: "reply-as-request", mac: macInstall, kind: dhcpv4.MessageTypeOffer},
		{name: "proxy-bios-discover", mode: ModeProxy, mac: macInstall, kind: discover, mods: mods(optPXE, arch(0), optUUID)},
		{name: "proxy-ipxe-discover", mode: ModeProxy, mac: macInstall, kind: discover, mods: mods(optPXE, arch(7), optIPXE)},
		{name: "proxy-http-discover", mode: ModeProxy, mac: macInstall, kind: discover, mods: mods(optHTTP, arch(16))},
		{name: "proxy-4011-request", mode: ModeProxy, port: 4011, mac: macInstall, kind: request, mods: mods(optPXE, arch(7), ciaddr)},
		{name: "proxy-67-request", mode: ModeProxy, mac: macInstall, kind: request, mods: mods(optPXE, arch(7), ciaddr)},
		{name: "proxy-disk-discover", mode: ModeProxy, mac: macDisk, kind: discover, mods: mods(optPXE, arch(0))},
		{name: "proxy-os-discover", mode: ModeProxy, mac: macInstall, kind: discover},
		{name: "proxy-stranger-discover", mode: ModeProxy, mac: macStranger, kind: discover, mods: mods(optPXE, arch(0))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Mode = tc.mode
			s, err := New(cfg, testBook())
			if err != nil {
				t.Fatal(err)
			}
			port := tc.port
			if port == 0 {
				port = 67
			}
			peer := netip.MustParseAddrPort("0.0.0.0:68")
			if tc.port != 0 {
				peer = netip.MustParseAddrPort("10.77.0.11:4011")
			}
			golden(t, "dhcp/"+tc.name, exchange(s, packet(t, tc.mac, tc.kind, tc.mods...), peer, port))
		})
	}
}

// exchange is one request as text: the event, where the reply goes, and the reply.
func exchange(s *Server, request []byte, peer netip.AddrPort, port uint16) string {
	var ev Event
	reply, to := s.answerDHCP(context.Background(), request, peer, port, &ev)
	text := string(ev.Client.Stage) + " " + ev.Request + " -> " + ev.Reply + "\n"
	if reply == nil {
		return text
	}
	back, err := dhcpv4.FromBytes(reply.ToBytes())
	if err != nil {
		return err.Error()
	}
	return text + "to " + to.String() + "\n" + back.Summary()
}

func TestDHCPIgnoresWhatIsNoRequest(t *testing.T) {
	s, err := New(testConfig(), testBook())
	if err != nil {
		t.Fatal(err)
	}
	whole := packet(t, macInstall, dhcpv4.MessageTypeDiscover)
	for name, p := range map[string][]byte{
		"empty": nil, "short": whole[:100], "no cookie": whole[:236],
		"reply":     append([]byte{2}, whole[1:]...),
		"infinband": append([]byte{1, 32}, whole[2:]...),
		"multicast": append(append(append([]byte(nil), whole[:28]...), 0xff), whole[29:]...),
	} {
		var ev Event
		if reply, _ := s.answerDHCP(context.Background(), p, netip.AddrPort{}, 67, &ev); reply != nil || ev.Reply != ignoredMalformed {
			t.Errorf("%s: got %v, %q", name, reply, ev.Reply)
		}
	}
}

type brokenDecider struct{}

func (brokenDecider) Decide(context.Context, Client) (Answer, error) {
	return Answer{Known: true}, errors.New("order book: locked")
}

func TestDHCPIsSilentWithoutDecision(t *testing.T) {
	s, err := New(testConfig(), brokenDecider{})
	if err != nil {
		t.Fatal(err)
	}
	var ev Event
	reply, _ := s.answerDHCP(context.Background(), packet(t, macInstall, dhcpv4.MessageTypeDiscover), netip.AddrPort{}, 67, &ev)
	if reply != nil || ev.Err == nil {
		t.Errorf("got %v, %v; want silence and an error in the event", reply, ev.Err)
	}
}

func TestDHCPKnownWithoutLeaseGetsSilence(t *testing.T) {
	s, err := New(testConfig(), book{macInstall: {Known: true, Boot: testBoot()}})
	if err != nil {
		t.Fatal(err)
	}
	var ev Event
	if reply, _ := s.answerDHCP(context.Background(), packet(t, macInstall, dhcpv4.MessageTypeDiscover), netip.AddrPort{}, 67, &ev); reply != nil {
		t.Errorf("got %v", reply)
	}
}
