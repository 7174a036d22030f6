package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// ntpSize is the length of an NTP packet without extensions (RFC 5905, section 7.3), in bytes.
const ntpSize = 48

// ntpReply answers a client's request with this machine's clock, as a server of the first stratum does; nil for what is no such request.
// A daemon from a package would be in the place of the machine's own, so this is the one service of a rack that is not a real one.
func ntpReply(request []byte, received, sent time.Time) []byte {
	const client, server = 3, 4
	if len(request) < ntpSize || request[0]&7 != client {
		return nil
	}
	out := make([]byte, ntpSize)
	out[0] = request[0]&0x38 | server // the client's version, no leap second
	out[1] = 1                        // stratum
	out[2] = request[2]               // poll
	out[3] = 0xec                     // precision: 2^-20 s
	copy(out[12:], "LOCL")
	binary.BigEndian.PutUint64(out[16:], ntpTime(received))
	copy(out[24:32], request[40:48]) // origin: when the client sent
	binary.BigEndian.PutUint64(out[32:], ntpTime(received))
	binary.BigEndian.PutUint64(out[40:], ntpTime(sent))
	return out
}

// ntpTime is seconds since 1900 in the upper half, and their binary fraction in the lower (RFC 5905, section 6).
func ntpTime(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// ntp gives the time at an address of a network until the context ends.
func (s *server) ntp(ctx context.Context, address string) error {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "123"))
	if err != nil {
		return fmt.Errorf("time server at %s: %w", address, err)
	}
	s.group.Go(func() error {
		<-ctx.Done()
		return conn.Close()
	})
	s.group.Go(func() error {
		buf := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buf)
			received := time.Now()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("time server at %s: %w", address, err)
			}
			if reply := ntpReply(buf[:n], received, time.Now()); reply != nil {
				_, _ = conn.WriteTo(reply, from) // who gets none asks again
			}
		}
	})
	return nil
}
