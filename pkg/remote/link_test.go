package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

var trueCommand = remote.Command{Argv: []string{"true"}}

func TestLinkReusesAndReconnects(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	var dials atomic.Int32
	link := remote.NewLink(func(ctx context.Context) (*remote.Client, error) {
		dials.Add(1)
		return remote.Connect(ctx, sshd.Target())
	})
	defer link.Close()
	for range 3 {
		if _, err := link.Run(t.Context(), trueCommand); err != nil {
			t.Fatal(err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections for three commands, want 1", n)
	}
	sshd.Cut()
	if _, err := link.Run(t.Context(), trueCommand); err != nil {
		t.Errorf("after the connection broke: %v", err)
	}
	fresh, err := link.Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = fresh.Close()
	link.Drop()
	if _, err := link.Run(t.Context(), trueCommand); err != nil {
		t.Errorf("after Drop: %v", err)
	}
	_ = link.Close()
	if _, err := link.Run(t.Context(), trueCommand); err == nil {
		t.Error("a closed link still runs commands")
	}
}

// TestLinkTalks: a program answers as long as the connection lives, and another one takes its place.
func TestLinkTalks(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	link := remote.NewLink(remote.To(sshd.Target()))
	defer link.Close()
	program := remote.Command{Argv: []string{"sh", "-c", `while read -r line; do echo "$$"; done`}}
	talk := func() string {
		t.Helper()
		pid, err := link.Talk(t.Context(), program, []byte("who are you"))
		if err != nil {
			t.Fatal(err)
		}
		return string(pid)
	}
	first := talk()
	if again := talk(); again != first {
		t.Errorf("process %s answers, and then %s", first, again)
	}
	link.Drop()
	second := talk()
	sshd.Cut()
	third := talk()
	if second == first || third == second {
		t.Errorf("processes %s, %s and %s: one outlived its connection", first, second, third)
	}
	_ = link.Close()
	if _, err := link.Talk(t.Context(), program, []byte("who are you")); err == nil {
		t.Error("a closed link still talks")
	}
}

// TestBrokenInTheMiddle: what was begun is never begun again by itself.
func TestBrokenInTheMiddle(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	link := remote.NewLink(remote.To(sshd.Target()))
	defer link.Close()
	stdin, keep := io.Pipe()
	defer keep.Close()
	starts := 0
	out := writerFunc(func(p []byte) (int, error) {
		starts++
		go sshd.Cut()
		return len(p), nil
	})
	_, err := link.Run(t.Context(), remote.Command{Script: "echo started; exec cat", Stdin: stdin, Stdout: out})
	if !errors.Is(err, remote.ErrUnreachable) || starts != 1 {
		t.Errorf("got %v after %d starts, want ErrUnreachable after 1", err, starts)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestJump(t *testing.T) {
	jump, inner := remotetest.StartSSHD(t), remotetest.StartSSHD(t)
	link := remote.NewLink(remote.To(jump.Target()))
	defer link.Close()
	target := inner.Target()
	target.Via = link
	client, err := remote.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Run(t.Context(), remote.Command{Argv: []string{"echo", "through"}})
	if err != nil || string(res.Stdout) != "through\n" {
		t.Errorf("got %q, %v", res.Stdout, err)
	}
	_ = link.Close() // the jump goes away, and with it the inner connection
	if _, err := client.Run(t.Context(), trueCommand); !errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

func TestWaitReachable(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	failures := 0
	connect := func(ctx context.Context) (*remote.Client, error) {
		target := sshd.Target()
		if failures < 2 {
			target.Address = "127.0.0.1:1" // tcpmux: nobody listens
		}
		return remote.Connect(ctx, target)
	}
	client, err := remote.WaitReachable(t.Context(), connect, func(error) { failures++ })
	if err != nil || failures != 2 {
		t.Fatalf("got %v after %d failures", err, failures)
	}
	_ = client.Close()

	calls := 0
	_, err = remote.WaitReachable(t.Context(), func(ctx context.Context) (*remote.Client, error) {
		calls++
		target := sshd.Target()
		target.HostKeys = nil
		return remote.Connect(ctx, target)
	}, nil)
	if !errors.Is(err, remote.ErrHostKey) || calls != 1 {
		t.Errorf("got %v after %d calls, want ErrHostKey after 1", err, calls)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	target, enough := sshd.Target(), errors.New("waited long enough")
	target.Address = "127.0.0.1:1"
	if _, err := remote.WaitReachable(ctx, remote.To(target), func(error) { cancel(enough) }); !errors.Is(err, enough) || !errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v, want why it was not waited for any longer, and why it was not reached", err)
	}
}

// TestKeepAlive: a host that is silent without closing anything is noticed. One that is only slow is not taken for it: it has some seconds for its answers.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartSSHD(t)
	target := sshd.Target()
	wire := &stallable{}
	target.Via, target.KeepAlive = wire, 2*time.Second
	client, err := remote.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Run(t.Context(), trueCommand); err != nil {
		t.Fatal(err)
	}
	wire.stalled.Store(true)
	if _, err := client.Run(t.Context(), trueCommand); !errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

// stallable is a tunnel that swallows what is sent once it is stalled.
type stallable struct{ stalled atomic.Bool }

func (s *stallable) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	return stallConn{conn, s}, err
}

type stallConn struct {
	net.Conn
	s *stallable
}

func (c stallConn) Write(p []byte) (int, error) {
	if c.s.stalled.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func TestNothingIsLeftBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	sshd := remotetest.StartSSHD(t)
	client, err := remote.Connect(t.Context(), sshd.Target())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stdin, keep := io.Pipe()
	_, err = client.Run(ctx, remote.Command{Script: "echo started; exec cat", Stdin: stdin, Stdout: writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_ = keep.Close()
	_ = client.Close()
	sshd.Stop()
	goleak.VerifyNone(t, ignore)
}
