package provision_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"
)

// program is what asks for an address on a blade.
type program int

const (
	firmware program = iota // UEFI's PXE
	ipxe
	ramdisk
)

// lan is the port of all blades' DHCP clients: one socket on 68, whose answers are told apart by their transaction.
type lan struct {
	conn     *net.UDPConn
	repeated atomic.Int64

	mu      sync.Mutex
	waiting map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4
}

func newLAN(t *testing.T, iface string) *lan {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctl := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.BindToDevice(int(fd), iface), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
		})
		return errors.Join(ctl, err)
	}}
	conn, err := lc.ListenPacket(t.Context(), "udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	l := &lan{conn: conn.(*net.UDPConn), waiting: map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.receive()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return l
}

func (l *lan) receive() {
	buf := make([]byte, 1500)
	for {
		n, _, err := l.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m, err := dhcpv4.FromBytes(append([]byte(nil), buf[:n]...))
		if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
			continue
		}
		l.mu.Lock()
		if answer := l.waiting[m.TransactionID]; answer != nil {
			select {
			case answer <- m:
			default: // it was answered before
			}
		}
		l.mu.Unlock()
	}
}

// repeats are the pauses after which a client asks again (RFC 2131, 4.1, and PXE 2.1, 2.2.3: 4, 8, 16 and 32 seconds); the last is waited for only.
var repeats = []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}

// ask sends a message until it is answered by one of the kind.
func (l *lan) ask(ctx context.Context, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	answer := make(chan *dhcpv4.DHCPv4, 1)
	l.mu.Lock()
	l.waiting[m.TransactionID] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, m.TransactionID)
		l.mu.Unlock()
	}()
	for i, pause := range repeats {
		if i > 0 {
			l.repeated.Add(1)
		}
		if _, err := l.conn.WriteToUDP(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
			return nil, fmt.Errorf("send DHCP %s: %w", m.MessageType(), err)
		}
		select {
		case got := <-answer:
			if got.MessageType() != want {
				return nil, fmt.Errorf("DHCP %s was answered with %s", m.MessageType(), got.MessageType())
			}
			return got, nil
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("nobody answered DHCP %s, asked %d times", m.MessageType(), len(repeats))
}

// options are what a program says of itself beside its address: RFC 4578 for firmware, ipxe.org/dhcpopts for iPXE.
func (p program) options(n int) []dhcpv4.Modifier {
	pxe := []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClientArch(iana.EFI_X86_64)),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append(make([]byte, 11), fleetMAC(n)...))),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 16})),
	}
	switch p {
	case firmware:
		return append(pxe, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003016")))
	case ipxe:
		return append(pxe, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003010")), dhcpv4.WithUserClass("iPXE", false),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionEtherboot, []byte{19, 1, 1, 23, 1, 1})))
	default:
		return nil
	}
}

// lease goes through DISCOVER, OFFER, REQUEST and ACK, and gives the boot file that the program is told. The address must be the blade's own.
func (l *lan) lease(ctx context.Context, n int, p program) (string, error) {
	mods := append(p.options(n), dhcpv4.WithBroadcast(true))
	discover, err := dhcpv4.NewDiscovery(fleetMAC(n), mods...)
	if err != nil {
		return "", err
	}
	offer, err := l.ask(ctx, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return "", err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, mods...)
	if err != nil {
		return "", err
	}
	if request.TransactionID, err = dhcpv4.GenerateTransactionID(); err != nil {
		return "", err
	}
	ack, err := l.ask(ctx, request, dhcpv4.MessageTypeAck)
	if err != nil {
		return "", err
	}
	if want := fleetAddress(n); !ack.YourIPAddr.Equal(want.AsSlice()) || !offer.YourIPAddr.Equal(want.AsSlice()) {
		return "", fmt.Errorf("it was given %s and %s, its address is %s", offer.YourIPAddr, ack.YourIPAddr, want)
	}
	file := ack.BootFileNameOption()
	if file == "" && p != ramdisk {
		return "", errors.New("DHCP names no boot file")
	}
	return file, nil
}
