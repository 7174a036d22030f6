package netboot

import (
	"bytes"
	"context"
	"flag"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got; run with -update after reading it):\n%s", path, d)
	}
}

// book is a Decider from a map of MAC addresses.
type book map[string]Answer

func (b book) Decide(_ context.Context, c Client) (Answer, error) { return b[c.MAC.String()], nil }

const (
	macInstall  = "52:54:00:77:00:01"
	macDisk     = "52:54:00:77:00:02"
	macStranger = "52:54:00:99:99:99"
)

func testBook() book {
	lease := func(ip string) Lease {
		return Lease{
			Address: netip.MustParsePrefix(ip), Router: netip.MustParseAddr("10.77.0.254"),
			DNS: []netip.Addr{netip.MustParseAddr("10.77.0.53")}, NTP: []netip.Addr{netip.MustParseAddr("10.77.0.123")},
			Domain: "demo.nubo.test", Hostname: "blade", MTU: 1500, Time: 10 * time.Minute,
		}
	}
	return book{
		macInstall: {Known: true, Lease: lease("10.77.0.11/24"), Boot: testBoot()},
		macDisk:    {Known: true, Lease: lease("10.77.0.12/24")},
	}
}

func testBoot() *Boot {
	return &Boot{
		Title: "blade-01: install debian-13", Kernel: "/boot/vmlinuz", Initrd: "http://10.77.0.9/initrd.zst",
		Cmdline: "console=ttyS0 nubo.relay=http://10.77.0.1:8080 nubo.order=01J",
	}
}

func testFiles() fstest.MapFS {
	file := func(n int, b byte) *fstest.MapFile {
		data := make([]byte, n)
		for i := range data {
			data[i] = b + byte(i%251)
		}
		return &fstest.MapFile{Data: data, Mode: 0o644, ModTime: time.Unix(1700000000, 0)}
	}
	return fstest.MapFS{
		"undionly.kpxe": file(74213, 1), "snponly.efi": file(173792, 2), "ipxe.efi": file(512*300, 3),
		"vmlinuz": file(3<<20, 4), "dir/inner": file(10, 5),
	}
}

func testConfig() Config {
	return Config{Address: netip.MustParseAddr("10.77.0.1"), Files: testFiles()}
}

// recorder is an Observer that remembers.
type recorder struct {
	mu     sync.Mutex
	events []Event
	at     []time.Time // when each was told
}

func (r *recorder) Observe(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.at = append(r.events, e), append(r.at, time.Now())
}

func (r *recorder) find(match func(Event) bool) (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if match(e) {
			return e, true
		}
	}
	return Event{}, false
}

// eventually waits until ok is true, and fails the test after limit.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v still waiting: %s", limit, what)
		}
	}
}

// startOnLoopback runs a server on free ports of 127.0.0.1 until the test ends, and returns it with its listeners.
func startOnLoopback(t testing.TB, cfg Config, d Decider) (*Server, *listeners) {
	t.Helper()
	cfg.Address = netip.MustParseAddr("127.0.0.1")
	l := &listeners{mtu: defaultMTU}
	var err error
	if l.tftp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if l.http, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	dhcp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l.dhcp = []*net.UDPConn{dhcp}
	cfg.HTTPPort = l.http.Addr().(*net.TCPAddr).AddrPort().Port()
	cfg.TFTPPort, cfg.DHCPPort = portOf(l.tftp), portOf(dhcp)
	s, err := New(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	<-s.Ready()
	return s, l
}

// safeBuffer collects what a program prints, and can be read meanwhile.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *safeBuffer) contains(s string) bool { return strings.Contains(b.String(), s) }
