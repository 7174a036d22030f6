package netboot

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sync/errgroup"
)

// fetchTFTP reads one file with the library's client.
func fetchTFTP(addr, file string, blksize int) ([]byte, error) {
	c, err := tftp.NewClient(addr)
	if err != nil {
		return nil, err
	}
	c.SetTimeout(20 * time.Second) // nothing is lost on loopback, and what is asked for twice is counted twice
	c.SetBlockSize(blksize)
	c.RequestTSize(true)
	wt, err := c.Receive(file, "octet")
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	_, err = wt.WriteTo(&buf)
	return buf.Bytes(), err
}

func TestTFTPGivesTheFirstStageOnly(t *testing.T) {
	rec := &recorder{}
	cfg := testConfig()
	cfg.Observer = rec
	s, l := startOnLoopback(t, cfg, testBook())
	addr := l.tftp.LocalAddr().String()
	for _, name := range FirstStage() {
		for _, asked := range []string{name, "/" + name} {
			got, err := fetchTFTP(addr, asked, 1468)
			if want := testFiles()[name].Data; err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes of %d, %v", asked, len(got), len(want), err)
			}
		}
	}
	for _, name := range []string{"vmlinuz", "../etc/passwd", "/etc/passwd", "dir/../undionly.kpxe", `..\undionly.kpxe`, "dir", ".", "none", "//undionly.kpxe"} {
		if _, err := fetchTFTP(addr, name, 1468); err == nil {
			t.Errorf("%q was given", name)
		}
	}
	eventually(t, time.Minute, "all transfers are counted", func() bool { st := s.Stats(); return st.TFTPActive == 0 && st.TFTPTransfers+st.TFTPFailures >= 15 })
	if st := s.Stats(); st.TFTPTransfers != 6 || st.TFTPFailures != 9 || st.TFTPBytes != 2*(74213+173792+512*300) {
		t.Errorf("counted %+v", st)
	}
	if ev, ok := rec.find(func(e Event) bool { return e.Request == "undionly.kpxe" }); !ok || ev.Err != nil || ev.Bytes != 74213 {
		t.Errorf("event %+v, %v", ev, ok)
	}
}

func TestTFTPRefusesWrites(t *testing.T) {
	_, l := startOnLoopback(t, testConfig(), testBook())
	c, err := tftp.NewClient(l.tftp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send("undionly.kpxe", "octet"); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("a write was answered with %v", err)
	}
}

// TestTFTPQueue lets many clients in through two slots.
func TestTFTPQueue(t *testing.T) {
	const clients = 40
	cfg := testConfig()
	cfg.TFTPTransfers = 2
	s, l := startOnLoopback(t, cfg, testBook())
	var g errgroup.Group
	for range clients {
		g.Go(func() error {
			got, err := fetchTFTP(l.tftp.LocalAddr().String(), "undionly.kpxe", 1468)
			if err == nil && len(got) != 74213 {
				err = fmt.Errorf("got %d bytes", len(got))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, time.Minute, "all transfers are counted", func() bool { st := s.Stats(); return st.TFTPActive == 0 && st.TFTPTransfers+st.TFTPFailures >= clients })
	if st := s.Stats(); st.TFTPTransfers != clients || st.TFTPFailures != 0 || st.TFTPQueued != 0 {
		t.Errorf("counted %+v", st)
	}
}

// queueConn is a socket whose packets a test sends.
func queueConn(t *testing.T, slots int) *tftpQueue {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	q := newTFTPQueue(conn, slots)
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func rrqFrom(port uint16, file string, seen time.Time) *tftpRequest {
	peer := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)
	return &tftpRequest{peer: peer, file: file, rest: []byte("octet\x00"), seen: seen}
}

func TestTFTPQueueOrderAndRepetitions(t *testing.T) {
	q := queueConn(t, 3)
	now := time.Now()
	q.admit(rrqFrom(1, "a", now.Add(-tftpStale-time.Second))) // went away
	q.admit(rrqFrom(2, "b", now))
	q.admit(rrqFrom(3, "c", now))
	q.admit(rrqFrom(2, "b", now)) // repeats while waiting: keeps its place, once
	take := func() (string, *tftpRequest) {
		buf := make([]byte, 600)
		n, _, err := q.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		ticket, _, ok := parseRRQ(buf[:n])
		r := q.claim(ticket)
		if !ok || r == nil {
			t.Fatalf("%q is no ticket", buf[:n])
		}
		return r.file, r
	}
	file, b := take()
	if file != "b" {
		t.Errorf("first came %s", file)
	}
	if file, _ := take(); file != "c" {
		t.Errorf("second came %s", file)
	}
	q.admit(rrqFrom(2, "b", b.started.Add(tftpRestart/2))) // repeats at the start of its transfer: dropped
	if active, queued := q.active(); active != 2 || queued != 0 {
		t.Errorf("%d active, %d queued", active, queued)
	}
	q.admit(rrqFrom(2, "b2", b.started.Add(2*tftpRestart))) // began anew
	file, again := take()
	if file != "b2" {
		t.Errorf("third came %s", file)
	}
	q.release(b)
	if active, _ := q.active(); active != 2 {
		t.Errorf("%d active after the old transfer ended", active)
	}
	q.release(again)
	if q.turns.running != 1 {
		t.Errorf("%d transfers under way, want that of c", q.turns.running)
	}
}

func TestTFTPQueueTakesBackFailedTickets(t *testing.T) {
	q := queueConn(t, 1)
	q.admit(rrqFrom(1, "a", time.Now()))
	if _, _, err := q.ReadFrom(make([]byte, 600)); err != nil {
		t.Fatal(err)
	}
	q.failed()
	q.failed() // nothing handed out: must not block
	if q.turns.running != 0 || q.claim("1") != nil {
		t.Error("the slot was not given back")
	}
}

// TestTFTPClientOfDebian fetches with tftp-hpa's client.
func TestTFTPClientOfDebian(t *testing.T) {
	if _, err := exec.LookPath("tftp"); err != nil {
		t.Fatal("tftp-hpa is not installed: run e2e/host-packages")
	}
	_, l := startOnLoopback(t, testConfig(), testBook())
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("tftp", "-m", "binary", "127.0.0.1", fmt.Sprint(portOf(l.tftp)), "-c", "get", "snponly.efi", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, testFiles()["snponly.efi"].Data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
