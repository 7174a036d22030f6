package lldp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// tlv makes one TLV.
func tlv(kind int, value string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(kind<<9|len(value)))) + value
}

// unit is what a switch sends.
func unit(ttl byte) string {
	return tlv(1, "\x04\x02\x00\x00\x00\x00\x01") + tlv(2, "\x05Ethernet12") + tlv(3, "\x00"+string(rune(ttl))) +
		tlv(4, "to\x00 blade-01\n") + tlv(5, "sw-a1") + tlv(6, strings.Repeat("Switch OS ", 20)) + tlv(127, "\x00\x80\xc2x") + tlv(0, "")
}

func TestParse(t *testing.T) {
	got, gone, err := Parse([]byte(unit(120) + strings.Repeat("\x00", 20))) // short frames are padded
	want := order.Neighbour{Switch: "sw-a1", Port: "Ethernet12", Chassis: "02:00:00:00:00:01", PortText: "to blade-01",
		System: strings.TrimSpace(strings.Repeat("Switch OS ", 12) + "Switch O")}
	if diff := cmp.Diff(want, got); diff != "" || gone || err != nil {
		t.Errorf("%v, gone %v\n%s", err, gone, diff)
	}
	if _, gone, err := Parse([]byte(unit(0))); err != nil || !gone {
		t.Errorf("a leave: gone %v, %v", gone, err)
	}
	// The least there may be: addresses as names, and no text.
	least := tlv(1, "\x05\x01\x0a\x4d\x00\x01") + tlv(2, "\x03\x02\x00\x00\x00\x00\x02") + tlv(3, "\x00\x78")
	got, _, err = Parse([]byte(least))
	if err != nil || got.Switch != "10.77.0.1" || got.Port != "02:00:00:00:00:02" {
		t.Errorf("the least: %+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := unit(120)
	for name, text := range map[string]string{
		"nothing": "", "half a TLV": whole[:5], "no port": tlv(1, "\x07a") + tlv(3, "\x00\x78"), "port first": tlv(2, "\x07a"), "a second chassis": whole[:len(whole)-2] + tlv(1, "\x07b"),
		"an empty ID": tlv(1, "\x07"), "no time to live": tlv(1, "\x07a") + tlv(2, "\x07b") + tlv(3, "x"), "an end too early": tlv(1, "\x07a") + tlv(0, ""),
	} {
		if n, _, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(unit(120)))
	f.Add([]byte(tlv(1, "\x05\x01\x0a\x4d\x00\x01") + tlv(2, "\x07\xff\xfe") + tlv(3, "\x00\x00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _, err := Parse(b)
		if err != nil {
			return
		}
		if n.Switch == "" || n.Port == "" {
			t.Errorf("%+v has no name", n)
		}
		for _, s := range []string{n.Switch, n.Port, n.Chassis, n.PortText, n.System} {
			if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || len(s) > 2*255 {
				t.Errorf("%q cannot be shown", s)
			}
		}
	})
}

// TestListen sends a frame over a pair of virtual cards, of which the listening one was down.
func TestListen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("makes network cards: needs root")
	}
	here, there := fmt.Sprintf("lldpa%d", os.Getpid()%100000), fmt.Sprintf("lldpb%d", os.Getpid()%100000)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("link", "add", here, "type", "veth", "peer", "name", there)
	t.Cleanup(func() { ip("link", "del", here) })
	ip("link", "set", there, "up")

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	got := make(chan order.Neighbour, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Listen(ctx, here, func(n order.Neighbour, _ bool) {
			select {
			case got <- n:
			default:
			}
		})
	}()
	ifi, err := net.InterfaceByName(there)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	frame := append(append(append([]byte{}, group[:]...), ifi.HardwareAddr...), 0x88, 0xcc)
	frame = append(frame, unit(120)...)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for heard := false; !heard; {
		_ = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}) // until the other end is up
		select {
		case n := <-got:
			if n.Switch != "sw-a1" || n.Port != "Ethernet12" {
				t.Errorf("heard %+v", n)
			}
			heard = true
		case err := <-ended:
			t.Fatalf("it ended with %v", err)
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("nothing was heard")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if err := Listen(t.Context(), "none", nil); err == nil || !strings.Contains(err.Error(), "LLDP on none") {
		t.Errorf("a card that is not there: %v", err)
	}
}
