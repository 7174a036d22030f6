package netboot

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// FuzzDHCP holds the promises that no packet may break: no crash, no word to a stranger, nothing but replies, no address
// but the machine's own, and a reply that can be read back.
func FuzzDHCP(f *testing.F) {
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		for _, mac := range []string{macInstall, macDisk, macStranger} {
			f.Add(packet(f, mac, kind, optPXE, arch(0), optUUID), false)
			f.Add(packet(f, mac, kind, optHTTP, arch(16), wants("10.77.0.11")), false)
			f.Add(packet(f, mac, kind, optPXE, arch(7), optIPXE), true)
		}
	}
	machines := testBook()
	cfg := Config{Address: netip.MustParseAddr("10.77.0.1"), Files: fstest.MapFS{}}
	servers := map[bool]*Server{}
	for _, proxy := range []bool{false, true} {
		if cfg.Mode = ModeAuthoritative; proxy {
			cfg.Mode = ModeProxy
		}
		s, err := New(cfg, machines)
		if err != nil {
			f.Fatal(err)
		}
		servers[proxy] = s
	}
	f.Fuzz(func(t *testing.T, p []byte, proxy bool) {
		s := servers[proxy]
		var ev Event
		reply, to := s.answerDHCP(t.Context(), p, netip.MustParseAddrPort("0.0.0.0:68"), 67, &ev)
		if reply == nil {
			return
		}
		back, err := dhcpv4.FromBytes(reply.ToBytes())
		if err != nil {
			t.Fatalf("our reply cannot be read: %v", err)
		}
		answer, known := machines[ev.Client.MAC.String()]
		yours, given := addrOf(back.YourIPAddr)
		switch {
		case !known:
			t.Fatalf("a stranger was answered: %s", back.Summary())
		case back.OpCode != dhcpv4.OpcodeBootReply || !to.IsValid():
			t.Fatalf("to %v: %s", to, back.Summary())
		case given && (proxy || yours != answer.Lease.Address.Addr()):
			t.Fatalf("gave %v", yours)
		case back.BootFileName != "" && answer.Boot == nil && !strings.HasSuffix(back.BootFileName, nothingPath):
			t.Fatalf("boots %q without an order", back.BootFileName)
		}
	})
}

// FuzzTFTPRequest holds that the ticket made from any request we admit is one we would admit, and that no name leads out
// of the jail.
func FuzzTFTPRequest(f *testing.F) {
	for _, name := range []string{"undionly.kpxe", "/snponly.efi", "../etc/passwd", `..\x`, "a/../../b", "vmlinuz", "./undionly.kpxe"} {
		f.Add([]byte("\x00\x01" + name + "\x00octet\x00"))
		f.Add([]byte("\x00\x01" + name + "\x00OCTET\x00BLKSIZE\x001468\x00tsize\x000\x00"))
	}
	s, err := New(testConfig(), testBook())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		file, rest, ok := parseRRQ(p)
		if !ok {
			return
		}
		ticket, rest2, ok := parseRRQ(ticketRRQ("7", rest))
		if !ok || ticket != "7" || !bytes.Equal(rest, rest2) {
			t.Fatalf("ticket of %q cannot be read", p)
		}
		srv := &tftpServer{s: s, ctx: t.Context()}
		var out sink
		if _, err := srv.send(file, &out); err == nil && !strings.HasPrefix(strings.TrimPrefix(file, "/"), "undionly.kpxe") &&
			!strings.HasSuffix(file, ".efi") {
			t.Fatalf("%q was sent", file)
		}
	})
}

type sink struct{}

func (*sink) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
