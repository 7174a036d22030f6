// Package lldp hears what the neighbours of a network card say of themselves by the Link Layer Discovery Protocol (IEEE 802.1AB). It sends nothing.
package lldp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// EtherType is that of LLDP's frames.
const EtherType = 0x88cc

// ErrMalformed says that a frame is no LLDP data unit.
var ErrMalformed = errors.New("malformed LLDP data unit")

// The types of TLVs (802.1AB, table 8-1).
const (
	tlvEnd = iota
	tlvChassis
	tlvPort
	tlvTTL
	tlvPortText
	tlvName
	tlvSystem
)

// maxText is how much of a text is kept, in bytes: it comes from a network that is not trusted, and is for people.
const maxText = 128

// Parse reads a data unit, which is a frame without its Ethernet header. gone tells that the neighbour takes leave: its time to live is zero.
func Parse(unit []byte) (n order.Neighbour, gone bool, err error) {
	want := tlvChassis // the first three are there once, in this order (9.2.7.7.1)
	name := ""
	for want <= tlvTTL || len(unit) > 0 {
		kind, value, rest, err := next(unit)
		if err != nil {
			return n, false, err
		}
		if want <= tlvTTL && kind != want {
			return n, false, fmt.Errorf("%w: TLV %d where %d must be", ErrMalformed, kind, want)
		}
		unit = rest
		switch kind {
		case tlvEnd:
			unit = nil
		case tlvChassis:
			n.Chassis, err = identifier(value, 4, 5)
		case tlvPort:
			n.Port, err = identifier(value, 3, 4)
		case tlvTTL:
			if len(value) < 2 {
				err = fmt.Errorf("%w: a time to live of %d bytes", ErrMalformed, len(value))
				break
			}
			gone = binary.BigEndian.Uint16(value) == 0
		case tlvPortText:
			n.PortText = text(value)
		case tlvName:
			name = text(value)
		case tlvSystem:
			n.System = text(value)
		}
		if err != nil {
			return n, false, err
		}
		if kind == want {
			want++
		} else if kind >= tlvChassis && kind <= tlvTTL {
			return n, false, fmt.Errorf("%w: TLV %d twice", ErrMalformed, kind)
		}
	}
	if n.Switch = name; name == "" {
		n.Switch = n.Chassis
	}
	return n, gone, nil
}

// next takes a TLV off: seven bits of type, nine of length.
func next(unit []byte) (kind int, value, rest []byte, err error) {
	if len(unit) < 2 {
		return 0, nil, nil, fmt.Errorf("%w: it ends before it is complete", ErrMalformed)
	}
	head := binary.BigEndian.Uint16(unit)
	length := int(head & 0x1ff)
	if len(unit) < 2+length {
		return 0, nil, nil, fmt.Errorf("%w: a TLV of %d bytes where %d are left", ErrMalformed, length, len(unit)-2)
	}
	return int(head >> 9), unit[2 : 2+length], unit[2+length:], nil
}

// identifier reads a chassis or port ID: a byte of subtype, which says whether it is a MAC address, a network address, or text.
func identifier(value []byte, mac, address byte) (string, error) {
	if len(value) < 2 || len(value) > 256 {
		return "", fmt.Errorf("%w: an identifier of %d bytes", ErrMalformed, len(value))
	}
	id := value[1:]
	switch {
	case value[0] == mac && len(id) == 6:
		return net.HardwareAddr(id).String(), nil
	case value[0] == address: // a byte of address family comes first
		if a, ok := netip.AddrFromSlice(id[1:]); ok {
			return a.String(), nil
		}
	}
	if s := text(id); s != "" {
		return s, nil
	}
	return fmt.Sprintf("%x", id), nil
}

// text keeps what can be printed.
func text(value []byte) string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(value[:min(len(value), maxText)]), ""))
	return strings.Join(strings.Fields(s), " ")
}
