package bmc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// lossy is a wire to a BMC that loses one datagram in five, in both directions, by a seed.
type lossy struct {
	conn   *net.UDPConn
	to     *net.UDPAddr
	lost   atomic.Int64
	mended atomic.Bool // loses nothing any more

	mu   sync.Mutex
	rnd  *rand.Rand
	ways map[netip.AddrPort]*net.UDPConn // client → its socket towards the BMC
}

func newLossy(t *testing.T, port int) *lossy {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{conn: conn, to: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, rnd: rand.New(rand.NewPCG(20, 20)), ways: map[netip.AddrPort]*net.UDPConn{}}
	var running sync.WaitGroup
	running.Go(func() { l.forward(&running) })
	t.Cleanup(func() {
		_ = conn.Close()
		l.mu.Lock()
		for _, way := range l.ways {
			_ = way.Close()
		}
		l.mu.Unlock()
		running.Wait()
	})
	return l
}

func (l *lossy) port() int { return l.conn.LocalAddr().(*net.UDPAddr).Port }

// loses decides over one datagram.
func (l *lossy) loses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mended.Load() || l.rnd.IntN(5) > 0 {
		return false
	}
	l.lost.Add(1)
	return true
}

func (l *lossy) forward(running *sync.WaitGroup) {
	buf := make([]byte, 2048)
	for {
		n, client, err := l.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		way, err := l.way(client, running)
		if err != nil {
			return
		}
		if !l.loses() {
			_, _ = way.Write(buf[:n])
		}
	}
}

// way is a client's socket towards the BMC, whose answers go back to it.
func (l *lossy) way(client netip.AddrPort, running *sync.WaitGroup) (*net.UDPConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if way := l.ways[client]; way != nil {
		return way, nil
	}
	way, err := net.DialUDP("udp4", nil, l.to)
	if err != nil {
		return nil, err
	}
	l.ways[client] = way
	running.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := way.Read(buf)
			if err != nil {
				return
			}
			if !l.loses() {
				_, _ = l.conn.WriteToUDPAddrPort(buf[:n], client)
			}
		}
	})
	return way, nil
}

// TestIPMILossyNetwork switches a machine on while one datagram in five is lost. IPMI's session set-up cannot repeat an answer, so it may not come about in a given
// time; but whatever is called done is so, what is not is called unreachable, and when the network is mended the same client goes on.
func TestIPMILossyNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for lost datagrams; left out by -short")
	}
	t.Parallel()
	s := startSim(t, fruData("Nubo", "Lab", "SER-1"))
	wire := newLossy(t, s.port)
	wire.mended.Store(true)
	target := s.target()
	target.Address = fmt.Sprintf("ipmi://127.0.0.1:%d?ciphersuite=3", wire.port())
	target.Expect.Serial = "SER-1"
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	wire.mended.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = client.SetPower(ctx, bmc.On)
	switch got := s.power(t); {
	case err == nil && got != bmc.On:
		t.Errorf("the machine was called switched on, and is %s", got)
	case err != nil && !isKind(err, bmc.ErrUnreachable):
		t.Errorf("with datagrams lost: %v, want %v", err, bmc.ErrUnreachable)
	}
	t.Logf("with %d datagrams lost: %v", wire.lost.Load(), err)
	wire.mended.Store(true)
	for _, want := range []bmc.PowerState{bmc.On, bmc.Off} {
		if err := client.SetPower(t.Context(), want); err != nil {
			t.Fatalf("the network is mended; switch %s: %v", want, err)
		}
		if got := s.power(t); got != want {
			t.Errorf("the machine was called switched %s, and is %s", want, got)
		}
	}
	if wire.lost.Load() == 0 {
		t.Error("nothing was lost")
	}
}
