package lldp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// group is the address to which LLDP is sent; bridges do not pass it on (802.1AB, table 7-1).
var group = [6]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}

// Listen tells of every data unit that is heard on a card, until the context ends, which is no error. It sets the card up when it is down, since a
// card that is down hears nothing. It needs CAP_NET_RAW and CAP_NET_ADMIN.
func Listen(ctx context.Context, card string, heard func(n order.Neighbour, gone bool)) error {
	fail := func(what string, err error) error { return fmt.Errorf("LLDP on %s: %s: %w", card, what, err) }
	ifi, err := net.InterfaceByName(card)
	if err != nil {
		return fail("find it", err)
	}
	etherType := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, EtherType))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // of no protocol: deaf until it is bound
	if err != nil {
		return fail("open a packet socket", err)
	}
	socket := os.NewFile(uintptr(fd), "lldp-"+card)
	defer socket.Close()
	if err := setUp(fd, card); err != nil {
		return fail("set it up", err)
	}
	member := unix.PacketMreq{Ifindex: int32(ifi.Index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
	copy(member.Address[:], group[:])
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member); err != nil {
		return fail("join "+net.HardwareAddr(group[:]).String(), err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: etherType, Ifindex: ifi.Index}); err != nil {
		return fail("bind", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	frame := make([]byte, 9216)
	for {
		n, err := socket.Read(frame)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.ENETDOWN) { // the card went down; it may come back
			continue
		}
		if err != nil {
			return fail("read", err)
		}
		if neighbour, gone, err := Parse(frame[:n]); err == nil {
			heard(neighbour, gone)
		}
	}
}

// setUp sets the card's flag IFF_UP (netdevice(7)).
func setUp(fd int, card string) error {
	ifr, err := unix.NewIfreq(card)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	if ifr.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
