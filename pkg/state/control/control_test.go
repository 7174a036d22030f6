package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nuboctl/nuboctl/pkg/state/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type run struct {
	mu    sync.Mutex
	verbs []control.Verb
}

func (r *run) Status() any { return map[string]string{"stage": "2 of 3"} }

func (r *run) Do(v control.Verb) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v == control.Abort {
		return errors.New("too late")
	}
	r.verbs = append(r.verbs, v)
	return nil
}

// serve answers at path until the test ends.
func serve(t *testing.T, path string, c control.Controller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, path, control.Handler(c)) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// status asks until somebody answers.
func status(t *testing.T, c *control.Client) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := c.Status(t.Context())
		if err == nil {
			return string(b)
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
			path := filepath.Join(dir, "ctl.sock")
			if err := os.WriteFile(path, nil, 0o600); err != nil { // left by one that was killed
				t.Fatal(err)
			}
			r := &run{}
			stop := serve(t, path, r)
			defer stop()
			c := control.Dial(path)
			if s := status(t, c); s != `{"stage":"2 of 3"}` {
				t.Fatal(s)
			}
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", st.Mode(), err)
			}
			for _, v := range []control.Verb{control.Pause, control.Resume} {
				if _, err := c.Do(t.Context(), v); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Do(t.Context(), control.Abort); err == nil || !strings.Contains(err.Error(), "too late") {
				t.Fatal(err)
			}
			stop()
			if len(r.verbs) != 2 {
				t.Fatal(r.verbs)
			}
			if _, err := c.Status(t.Context()); !errors.Is(err, control.ErrNobody) {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		})
	}
}
