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
	"time"
)

// Verb is what can be asked of a run.
type Verb string

// The verbs. Pause lets what runs finish and begins nothing; Resume goes on; Abort ends the run for good.
const (
	Pause  Verb = "pause"
	Resume Verb = "resume"
	Abort  Verb = "abort"
)

// ErrNobody says that no process answers at the socket.
var ErrNobody = errors.New("no run answers")

// Controller is what the holder lets others do. Both methods are called concurrently and must not wait for the run.
type Controller interface {
	// Status is what is going on, as a value that encoding/json can encode.
	Status() any
	// Do asks for a verb; an error is told to the one who asked.
	Do(v Verb) error
}

// answer is the body of a refusal.
type answer struct {
	Error string `json:"error"`
}

// Handler serves a controller: GET /v1/status, POST /v1/VERB.
func Handler(c Controller) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, c.Status()) })
	for _, v := range []Verb{Pause, Resume, Abort} {
		mux.HandleFunc("POST /v1/"+string(v), func(w http.ResponseWriter, _ *http.Request) {
			if err := c.Do(v); err != nil {
				reply(w, http.StatusConflict, answer{Error: err.Error()})
				return
			}
			reply(w, http.StatusOK, c.Status())
		})
	}
	return mux
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the other side went away: nobody to tell
}

// Serve answers at the socket until the context ends. The caller holds the lease, so a socket that is there already was left by a holder
// that is gone, and is replaced. The socket is removed at the end.
func Serve(ctx context.Context, path string, h http.Handler) error {
	l, err := listen(path)
	if err != nil {
		return fmt.Errorf("answer at %s: %w", path, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(fmt.Errorf("answer at %s: %w", path, err), srv.Close())
	}
	return nil
}

// Client speaks to the holder. Its zero value is of no use; see Dial.
type Client struct {
	path string
	http *http.Client
}

// Dial makes a client for a socket; nothing is connected yet. Each call is bounded by 3 seconds beside its context.
func Dial(path string) *Client {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, path)
	}}
	return &Client{path: path, http: &http.Client{Transport: t, Timeout: 3 * time.Second}}
}

// Status returns the holder's status as JSON; ErrNobody when nobody answers.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, "status")
}

// Do asks for a verb and returns the status after it.
func (c *Client) Do(ctx context.Context, v Verb) (json.RawMessage, error) {
	return c.call(ctx, http.MethodPost, string(v))
}

func (c *Client) call(ctx context.Context, method, name string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://holder/v1/"+name, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for %s at %s: %w (%w); it may be stopped or busy: see the lock file beside the socket for the process", name, c.path, ErrNobody, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("ask for %s at %s: %w", name, c.path, err)
	}
	if resp.StatusCode != http.StatusOK {
		var a answer
		_ = json.Unmarshal(body, &a)
		return nil, fmt.Errorf("the run refuses to %s: %s (%s)", name, a.Error, resp.Status)
	}
	return bytes.TrimSpace(body), nil
}
