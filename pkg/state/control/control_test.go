package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nuboctl/nuboctl/pkg/state"
	"github.com/nuboctl/nuboctl/pkg/state/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lease is held until it is released.
type lease struct {
	lost chan struct{}
	once sync.Once
}

func newLease() *lease { return &lease{lost: make(chan struct{})} }

func (l *lease) Fence() state.Fence    { return state.Fence{Scope: "lab", Epoch: 7} }
func (l *lease) Lost() <-chan struct{} { return l.lost }
func (l *lease) Release() error        { l.once.Do(func() { close(l.lost) }); return nil }

type run struct {
	mu    sync.Mutex
	verbs []state.Verb
}

func (r *run) do(a state.Ask) state.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Verb == state.AskAbort {
		return state.Answer{Refused: "too late"}
	}
	if a.Verb != state.AskStatus {
		r.verbs = append(r.verbs, a.Verb)
	}
	return state.Answer{Status: json.RawMessage(`{"stage":"2 of 3"}`)}
}

// serve answers at path until stop is called, or the lease ends.
func serve(t *testing.T, path string, l state.Lease, r *run) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Answer(ctx, path, l, r.do) }()
	return sync.OnceFunc(func() {
		select {
		case <-l.Lost():
		default:
			cancel()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
	})
}

// status asks until somebody answers.
func status(t *testing.T, c *control.Client) string {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := c.Ask(t.Context(), state.Ask{Verb: state.AskStatus})
		if err == nil {
			return string(a.Status)
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func TestControl(t *testing.T) {
	for name, dir := range map[string]string{"short": t.TempDir(), "long": filepath.Join(t.TempDir(), strings.Repeat("long-name/", 20))} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, control.FileName)
			if err := os.WriteFile(path, nil, 0o600); err != nil { // left by one that was killed
				t.Fatal(err)
			}
			r, l := &run{}, newLease()
			stop := serve(t, path, l, r)
			defer stop()
			c := control.Dial(path)
			if s := status(t, c); s != `{"stage":"2 of 3"}` {
				t.Fatal(s)
			}
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", st.Mode(), err)
			}
			for _, a := range []state.Ask{{Verb: state.AskPause}, {Verb: state.AskResume, Fence: l.Fence()}} {
				if _, err := c.Ask(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			}
			if a, err := c.Ask(t.Context(), state.Ask{Verb: state.AskAbort}); err != nil || a.Refused != "too late" {
				t.Fatalf("%+v %v", a, err)
			}
			if _, err := c.Ask(t.Context(), state.Ask{Verb: state.AskPause, Fence: state.Fence{Scope: "lab", Epoch: 6}}); !errors.Is(err, state.ErrNobody) || !strings.Contains(err.Error(), "epoch 7") {
				t.Fatalf("asked of another lease: %v", err)
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
			stop()
			if len(r.verbs) != 2 {
				t.Fatal(r.verbs)
			}
			if _, err := c.Ask(t.Context(), state.Ask{Verb: state.AskStatus}); !errors.Is(err, state.ErrNobody) {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		})
	}
}

// TestTwoHolders: the socket stays with the one who has it, while he listens and when the other one ends.
func TestTwoHolders(t *testing.T) {
	path := filepath.Join(t.TempDir(), control.FileName)
	first, second := &run{}, &run{}
	stop := serve(t, path, newLease(), first)
	defer stop()
	c := control.Dial(path)
	status(t, c)
	if err := control.Answer(t.Context(), path, newLease(), second.do); !errors.Is(err, control.ErrTaken) {
		t.Fatal(err)
	}
	if _, err := c.Ask(t.Context(), state.Ask{Verb: state.AskPause}); err != nil || len(first.verbs) != 1 || len(second.verbs) != 0 {
		t.Fatal(first.verbs, second.verbs, err)
	}
}

// TestStoppedHolder: to a holder that was stopped an asker can connect, and is not heard. It gives up, and the ask was never sent: a holder that goes on finds
// nothing to act on.
func TestStoppedHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), control.FileName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := control.Dial(path).Ask(ctx, state.Ask{Verb: state.AskAbort})
		asked <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := make([]byte, 1)
	if _, err := c.Read(head); err != nil { // it has begun to ask
		t.Fatal(err)
	}
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) || errors.Is(err, state.ErrUnanswered) {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(head) + string(rest); !strings.Contains(text, "100-continue") || strings.Contains(text, "abort") {
		t.Fatalf("was sent: %q", text)
	}
}

// TestHolderEndsBeforeItAnswers: what was taken and not answered is not called untaken.
func TestHolderEndsBeforeItAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), control.FileName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan error, 1)
	go func() {
		_, err := control.Dial(path).Ask(t.Context(), state.Ask{Verb: state.AskAbort})
		asked <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, "\r\n\r\n")
	if _, err := c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	hear(t, c, `"abort"`)
	_ = c.Close()
	if err := <-asked; !errors.Is(err, state.ErrUnanswered) || errors.Is(err, state.ErrNobody) {
		t.Fatal(err)
	}
}

// hear reads until something was said.
func hear(t *testing.T, c net.Conn, what string) {
	t.Helper()
	text, b := "", make([]byte, 4096)
	for !strings.Contains(text, what) {
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b[:n])
	}
}
