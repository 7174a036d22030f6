//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// thief stands where a BMC should be, with a certificate that it made for itself, and keeps every byte that it is told.
type thief struct {
	pin string

	mu    sync.Mutex
	heard []byte
	conns int
}

func (s *thief) got() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.heard)
}

func (s *thief) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// listenAs puts a thief at an address of a station.
func listenAs(t *testing.T, r *rack.Rack, station, address string) *thief {
	t.Helper()
	cert := selfSigned(t)
	l, err := listenIn(filepath.Join("/run/netns", "nubo-"+r.Name+"-"+station), address)
	if err != nil {
		t.Fatalf("listen at %s of %s: %v", address, station, err)
	}
	s := &thief{pin: bmc.PinOf(cert.Certificate[0])}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() { s.serve(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return s
}

func (s *thief) serve(conn *tls.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	buf := make([]byte, 4096)
	n, err := conn.Read(buf) // does the handshake; whoever does not trust us ends it
	if err != nil {
		return
	}
	s.mu.Lock()
	s.heard = append(s.heard, buf[:n]...)
	s.mu.Unlock()
	_, _ = conn.Write([]byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

// listenIn opens a socket in another network namespace; the socket stays there.
func listenIn(netns, address string) (l net.Listener, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(netns)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	l, err = net.Listen("tcp4", address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return l, err
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "10.77.9.2"}, IPAddresses: []net.IP{net.ParseIP("10.77.9.2")},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
