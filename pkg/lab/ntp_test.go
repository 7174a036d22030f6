package lab

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

func TestNTPReply(t *testing.T) {
	request := make([]byte, ntpSize)
	request[0] = 0x23 // version 4, client
	copy(request[40:], "12345678")
	received := time.Date(2026, 11, 22, 10, 0, 0, 500_000_000, time.UTC)
	reply := ntpReply(request, received, received.Add(time.Second))
	if len(reply) != ntpSize || reply[0] != 0x24 || reply[1] != 1 {
		t.Fatalf("it begins with % x", reply[:4])
	}
	if !bytes.Equal(reply[24:32], []byte("12345678")) {
		t.Errorf("the client's time stamp comes back as %q", reply[24:32])
	}
	// 1900-01-01 to 2026-11-22T10:00:00Z: 46,346 days and 10 hours.
	want := uint64(46346*86400+36000)<<32 | 1<<31
	if got := binary.BigEndian.Uint64(reply[32:]); got != want {
		t.Errorf("received at %x, want %x", got, want)
	}
	if got := binary.BigEndian.Uint64(reply[40:]); got != want+1<<32 {
		t.Errorf("sent at %x, want %x", got, want+1<<32)
	}
}

func TestNTPReplyIsForClientsOnly(t *testing.T) {
	server := make([]byte, ntpSize)
	server[0] = 0x24
	for name, packet := range map[string][]byte{"short": make([]byte, ntpSize-1), "a server's reply": server} {
		if ntpReply(packet, time.Now(), time.Now()) != nil {
			t.Errorf("%s is answered", name)
		}
	}
}
