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
	passed atomic.Int64
	lost   atomic.Int64

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
	if l.rnd.IntN(5) == 0 {
		l.lost.Add(1)
		return true
	}
	l.passed.Add(1)
	return false
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

// TestIPMILossyNetwork switches a machine on, sets its next boot and switches it off, with one datagram in five lost. Whatever is called done is so.
func TestIPMILossyNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for lost datagrams; left out by -short")
	}
	t.Parallel()
	s := startSim(t, fruData("Nubo", "Lab", "SER-1"))
	wire := newLossy(t, s.port)
	target := s.target()
	target.Address = fmt.Sprintf("ipmi://127.0.0.1:%d?ciphersuite=3", wire.port())
	target.Expect.Serial = "SER-1"
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	began := time.Now()
	client, err := bmc.Open(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(ctx)
	for _, want := range []bmc.PowerState{bmc.On, bmc.Off} {
		if err := client.SetPower(ctx, want); err != nil {
			t.Fatalf("switch %s: %v", want, err)
		}
		if got := s.power(t); got != want {
			t.Errorf("the machine was called switched %s, and is %s", want, got)
		}
	}
	if wire.lost.Load() == 0 {
		t.Error("nothing was lost")
	}
	t.Logf("%d datagrams passed, %d were lost, %.0f s", wire.passed.Load(), wire.lost.Load(), time.Since(began).Seconds())
}
