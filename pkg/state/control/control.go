package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nuboctl/nuboctl/pkg/state"
)

const (
	// FileName is the socket's name in a state directory.
	FileName = "ctl.sock"
	// patience bounds the wait for a holder: one that is there answers at once.
	patience = 3 * time.Second
	askPath  = "/v1/ask"
)

// handler gives what is asked of the lease of a fence to do: POST /v1/ask. An ask without a fence is for whoever answers here; one for another lease is
// 410 Gone.
func handler(f state.Fence, do func(state.Ask) state.Answer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+askPath, func(w http.ResponseWriter, r *http.Request) {
		// The asker sends the body when it is told to go on, which is now. One that has given up meanwhile sends none, and nothing is done.
		body, err := io.ReadAll(r.Body)
		var a state.Ask
		if err == nil {
			err = json.Unmarshal(body, &a)
		}
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case a.Fence != (state.Fence{}) && a.Fence != f:
			http.Error(w, fmt.Sprintf("the lease here is epoch %d of %q", f.Epoch, f.Scope), http.StatusGone)
		default:
			a.Fence = f
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(do(a)) // the other side went away: nobody to tell
		}
	})
	return mux
}

// ErrTaken says that another process listens at the socket: with a shared store, one that holds another place.
var ErrTaken = errors.New("another process listens there")

// Answer has do answer what is asked at the socket, until ctx or the lease ends. A socket at which nobody listens was left by a holder that is gone, and is
// replaced; one at which somebody does is ErrTaken. The socket is removed at the end.
func Answer(ctx context.Context, path string, l state.Lease, do func(state.Ask) state.Answer) error {
	if c, err := dial(ctx, path); err == nil {
		return errors.Join(fmt.Errorf("answer at %s: %w", path, ErrTaken), c.Close())
	}
	at, err := listen(path)
	if err != nil {
		return fmt.Errorf("answer at %s: %w", path, err)
	}
	srv := &http.Server{Handler: handler(l.Fence(), do), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(at) }()
	select {
	case <-ctx.Done():
	case <-l.Lost():
	case err := <-served:
		return errors.Join(fmt.Errorf("answer at %s: %w", path, err), srv.Close())
	}
	// What was begun is answered; nobody can keep the holder for longer.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if srv.Shutdown(end) != nil {
		_ = srv.Close()
	}
	<-served
	return nil
}

// Client speaks to the holder. Its zero value is of no use; see Dial.
type Client struct {
	path string
	http *http.Client
}

// Dial makes a client for a socket; nothing is connected yet.
func Dial(path string) *Client {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, path)
	}, ExpectContinueTimeout: time.Hour} // longer than patience: to a holder that does not listen the ask is never sent
	return &Client{path: path, http: &http.Client{Transport: t}}
}

// errSilent ends a call that nobody has taken.
var errSilent = fmt.Errorf("it was not taken within %s", patience)

// letter is the body of a call: it is read when the holder says that it listens, which is when the ask is taken. After that it cannot be withdrawn, and
// before it can.
type letter struct {
	io.Reader
	still func() bool // reports whether nobody has given up yet
	taken atomic.Bool
}

func (l *letter) Read(b []byte) (int, error) {
	if !l.taken.Load() && !l.still() {
		return 0, errSilent
	}
	l.taken.Store(true)
	return l.Reader.Read(b)
}

// Ask asks the process that answers at the socket, whatever lease it holds when a.Fence is empty; state.ErrNobody when none takes it within 3 seconds.
func (c *Client) Ask(ctx context.Context, a state.Ask) (state.Answer, error) {
	var out state.Answer
	text, err := json.Marshal(a)
	if err != nil {
		return out, fmt.Errorf("ask to %s: %w", a.Verb, err)
	}
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	bound := time.AfterFunc(patience, func() { giveUp(errSilent) })
	defer bound.Stop()
	body := &letter{Reader: bytes.NewReader(text), still: func() bool { return bound.Stop() && ctx.Err() == nil }}
	req, err := http.NewRequestWithContext(waiting, http.MethodPost, "http://holder"+askPath, body)
	if err != nil {
		return out, fmt.Errorf("ask to %s: %w", a.Verb, err)
	}
	req.ContentLength = int64(len(text))
	req.Header.Set("Expect", "100-continue")
	resp, err := c.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		err = read(resp, &out)
	}
	switch {
	case err == nil:
		return out, nil
	case body.taken.Load() && resp == nil:
		err = fmt.Errorf("%w: %w", state.ErrUnanswered, err)
	case resp == nil && ctx.Err() != nil:
		err = ctx.Err()
	case resp == nil:
		err = fmt.Errorf("%w (%w); it may be stopped or busy: see the lock file beside the socket for the process", state.ErrNobody, err)
	}
	return out, fmt.Errorf("ask to %s at %s: %w", a.Verb, c.path, err)
}

// read takes an answer out of what came back.
func read(resp *http.Response, out *state.Answer) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", state.ErrUnanswered, err)
	case resp.StatusCode == http.StatusGone:
		return fmt.Errorf("%w: %s", state.ErrNobody, bytes.TrimSpace(body))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return json.Unmarshal(body, out)
}
