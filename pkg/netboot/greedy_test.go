package netboot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// greedy is how many files one machine asks for at once in these tests.
const greedy = 10_000

// stallSize is more than the sockets between a server and a client that reads nothing hold.
const stallSize = 16 << 20

// Two machines, by their addresses; the servers tell machines apart by these.
var (
	greedyMachine = net.IPv4(127, 0, 0, 2)
	otherMachine  = net.IPv4(127, 0, 0, 3)
)

// rrq is a request as the simplest client makes it: no options, so blocks of 512 bytes.
func rrq(file string) []byte { return append([]byte{0, opRRQ}, file+"\x00octet\x00"...) }

// udpClients are sockets of one machine. All of them are closed when the test ends.
func udpClients(t *testing.T, machine net.IP, n int) []*net.UDPConn {
	t.Helper()
	if openFiles(t, n+2000) < n+1000 {
		t.Fatalf("this test needs %d open files: raise the limit (ulimit -n)", n+2000)
	}
	conns := make([]*net.UDPConn, n)
	for i := range conns {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: machine})
		if err != nil {
			t.Fatalf("socket %d of %d: %v", i+1, n, err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns[i] = c
	}
	return conns
}

// otherFetches loads a file over TFTP from a machine that does nothing else, with the patience of firmware.
func otherFetches(t *testing.T, server net.Addr, file string) {
	t.Helper()
	c, err := tftp.NewClient(server.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetLocalAddr(otherMachine.String()); err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(2 * time.Second)
	c.SetRetries(20)
	from, err := c.Receive(file, "octet")
	if err != nil {
		t.Fatalf("another machine is not served: %v", err)
	}
	if n, err := from.WriteTo(io.Discard); err != nil || n != int64(len(testFiles()[file].Data)) {
		t.Fatalf("another machine got %d bytes: %v", n, err)
	}
}

// smallFirstStage has one that fits a packet.
func smallFirstStage() Config {
	cfg := testConfig()
	files := testFiles()
	files["ipxe.efi"] = &fstest.MapFile{Data: make([]byte, 300), Mode: 0o644}
	cfg.Files = files
	return cfg
}

// TestTFTPTenThousandAtOnce lets one machine ask for 10,000 files at once. It gets each of them.
func TestTFTPTenThousandAtOnce(t *testing.T) {
	t.Parallel()
	s, l := startOnLoopback(t, smallFirstStage(), testBook())
	roomy(l.tftp)
	conns := udpClients(t, greedyMachine, greedy)
	var g errgroup.Group
	for i, c := range conns {
		g.Go(func() error {
			if err := fetchOne(c, l.tftp.LocalAddr()); err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, 2*time.Minute, "no transfer is active", func() bool { return s.Stats().TFTPActive == 0 })
	// A transfer whose acknowledgement is lost on a busy machine has failed, though its client has the file.
	if st := s.Stats(); st.TFTPTransfers+st.TFTPFailures < greedy || st.TFTPQueued != 0 {
		t.Errorf("counted %+v", st)
	}
}

// fetchOne asks for the small file until its one block comes, and acknowledges it. As firmware does, it asks again when nothing comes, and when
// the server has given it up because it was too slow (error 0, RFC 1350 5).
func fetchOne(c *net.UDPConn, server net.Addr) error {
	buf := make([]byte, 600)
	for range 60 {
		if _, err := c.WriteTo(rrq("ipxe.efi"), server); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		n, from, err := c.ReadFrom(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			continue
		}
		if err != nil {
			return err
		}
		if n > 4 && buf[1] == opError && buf[2] == 0 && buf[3] == 0 {
			continue
		}
		if n != 4+300 || buf[1] != 3 || buf[3] != 1 { // DATA, block 1
			return fmt.Errorf("it was answered % x (%d bytes)", buf[:min(n, 40)], n)
		}
		_, err = c.WriteTo([]byte{0, 4, 0, 1}, from)
		return err
	}
	return errors.New("nothing came, asked 60 times")
}

// TestTFTPStalledMachine asks for thousands of files from one machine that takes none of them. Another machine is served meanwhile.
func TestTFTPStalledMachine(t *testing.T) {
	t.Parallel()
	const stalled = 4000
	cfg := testConfig()
	cfg.TFTPTransfers = 128
	s, l := startOnLoopback(t, cfg, testBook())
	roomy(l.tftp)
	conns := udpClients(t, greedyMachine, stalled)
	ask := func() (errs error) {
		for _, c := range conns {
			_, err := c.WriteTo(rrq("undionly.kpxe"), l.tftp.LocalAddr())
			errs = errors.Join(errs, err)
		}
		return errs
	}
	eventually(t, 2*time.Minute, "most of the requests wait", func() bool {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		return s.Stats().TFTPQueued > stalled/2
	})
	defer repeated(t, tftpStale/4, ask)() // who does not ask again is taken for gone, and does not wait any more
	otherFetches(t, l.tftp.LocalAddr(), "snponly.efi")
	eventually(t, 2*time.Minute, "only the machine's share is under way", func() bool { return s.Stats().TFTPActive <= int64(share(128)) })
	if st := s.Stats(); st.TFTPQueued == 0 {
		t.Error("nothing waits: the machine that stalls was not what the other one was served beside")
	}
}

// repeated does something now and then until the returned function is called.
func repeated(t *testing.T, every time.Duration, do func() error) (stop func()) {
	tick, end, ended := time.NewTicker(every), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	return func() { tick.Stop(); close(end); <-ended }
}

// TestTFTPVanishedClients fills every place with clients that take one block and are gone. They are given up, and who waits is served.
func TestTFTPVanishedClients(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.TFTPTransfers = 4
	s, l := startOnLoopback(t, cfg, testBook())
	for _, c := range udpClients(t, greedyMachine, 4) {
		if _, err := c.WriteTo(rrq("undionly.kpxe"), l.tftp.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadFrom(make([]byte, 600)); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); st.TFTPActive != 4 {
		t.Fatalf("%d transfers are active", st.TFTPActive)
	}
	otherFetches(t, l.tftp.LocalAddr(), "snponly.efi")
	eventually(t, 2*time.Minute, "the vanished are given up", func() bool {
		st := s.Stats()
		return st.TFTPActive == 0 && st.TFTPQueued == 0 && st.TFTPFailures >= 4 && st.TFTPTransfers >= 1 // more, where a client asked again on a slow machine
	})
}

// openFiles makes room for that many open files in this process, for good, or says how many there is room for.
func openFiles(t *testing.T, want int) int {
	t.Helper()
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		t.Fatal(err)
	}
	if have.Cur >= uint64(want) {
		return want
	}
	more := unix.Rlimit{Cur: uint64(want), Max: max(have.Max, uint64(want))}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &more); err != nil {
		t.Logf("no more than %d open files: %v", have.Cur, err)
		return int(have.Cur)
	}
	return want
}

// stall asks for the large file over a new connection of the greedy machine, and reads nothing.
func stall(t *testing.T, server net.Addr) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: greedyMachine}}
	c, err := dialer.DialContext(t.Context(), "tcp4", server.String())
	if err == nil {
		_, err = io.WriteString(c, "GET /boot/vmlinuz HTTP/1.1\r\nHost: relay\r\n\r\n")
	}
	return c, err
}

// stalledHTTP stalls that many connections. The first ones are in the queue in their order.
func stalledHTTP(t *testing.T, s *Server, server net.Addr, n, ordered int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	var g errgroup.Group
	g.SetLimit(64)
	for i := range conns {
		if i >= ordered {
			g.Go(func() (err error) {
				conns[i], err = stall(t, server)
				return err
			})
			continue
		}
		var err error
		if conns[i], err = stall(t, server); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Minute, "the request is in the queue", func() bool {
			st := s.Stats()
			return st.HTTPActive+st.HTTPQueued == int64(i+1)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return conns
}

// TestHTTPStalledMachine asks for 10,000 files from one machine that takes none of them. Another machine is served meanwhile; those that wait get their
// files when they read after all, and nothing is left of those that vanish.
func TestHTTPStalledMachine(t *testing.T) {
	files := testFiles()
	files["vmlinuz"] = &fstest.MapFile{Data: make([]byte, stallSize), Mode: 0o644}
	cfg := testConfig()
	cfg.Files = files
	cfg.stall = time.Hour // those that stall are there until the end, however slow the machine is
	s, l := startOnLoopback(t, cfg, testBook())
	n := min(greedy, openFiles(t, 2*greedy+2000)/2-1000)
	held := int64(share(64))
	conns := stalledHTTP(t, s, l.http.Addr(), n, int(2*held))
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
		eventually(t, 2*time.Minute, "nothing is left of the machine that has vanished", func() bool {
			st := s.Stats()
			return st.HTTPQueued == 0 && st.HTTPActive == 0
		})
	}()
	waiting := int64(n) - held
	eventually(t, 2*time.Minute, "all requests wait but the machine's share", func() bool {
		st := s.Stats()
		return st.HTTPActive == held && st.HTTPQueued == waiting
	})
	for range 3 {
		fetchAs(t, otherMachine, s.BaseURL()+"/boot/vmlinuz", stallSize)
	}
	eventually(t, 2*time.Minute, "the other machine has been served, and nothing else has changed", func() bool {
		st := s.Stats()
		return st.HTTPActive == held && st.HTTPQueued == waiting && st.HTTPTransfers == 3 && st.HTTPFailures == 0
	})
	for i, c := range conns[:2*held] { // those that hold a place, then those whose turn comes
		if err := readsAnswer(c); err != nil {
			t.Fatalf("request %d, read after all: %v", i+1, err)
		}
	}
}

// readsAnswer reads a whole answer.
func readsAnswer(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != stallSize) {
		err = fmt.Errorf("%s, %d bytes", resp.Status, n)
	}
	return err
}

// fetchAs loads a file from a machine's address.
func fetchAs(t *testing.T, machine net.IP, url string, size int64) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: machine}}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("another machine is not served: %v", err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
		t.Fatalf("another machine got %d bytes of %d: %v", n, size, err)
	}
}
