package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// powerState is how power travels on the control socket.
type powerState struct {
	On bool `json:"on"`
}

// controlHandler serves the daemon's socket: the rack's buttons, for the command line and for ipmi_sim's script.
// It answers pings once the rack is ready.
func controlHandler(machines map[string]*machine, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, do func(*machine, *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			m, ok := machines[r.PathValue("blade")]
			if !ok {
				http.Error(w, fmt.Sprintf("the rack has no blade %q", r.PathValue("blade")), http.StatusNotFound)
				return
			}
			answer, err := do(m, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	mux.HandleFunc("GET /v1/ping", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "the rack is being started", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	on("GET /v1/blades/{blade}/power", func(m *machine, _ *http.Request) (any, error) { return powerState{m.power()}, nil })
	on("PUT /v1/blades/{blade}/power", func(m *machine, r *http.Request) (any, error) {
		var want powerState
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			return nil, err
		}
		// The change goes on when the client has gone: a half-started blade helps nobody.
		err := m.setPower(context.WithoutCancel(r.Context()), want.On)
		return powerState{m.power()}, err
	})
	on("GET /v1/blades/{blade}/boot", func(m *machine, _ *http.Request) (any, error) { return m.boot() })
	on("PUT /v1/blades/{blade}/boot", func(m *machine, r *http.Request) (any, error) {
		var want Boot
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			return nil, err
		}
		return want, m.setBoot(want)
	})
	on("POST /v1/blades/{blade}/reset", func(m *machine, r *http.Request) (any, error) {
		return struct{}{}, m.reset(context.WithoutCancel(r.Context()))
	})
	on("POST /v1/blades/{blade}/shutdown", func(m *machine, r *http.Request) (any, error) {
		return struct{}{}, m.shutdown(r.Context())
	})
	return mux
}

// Client speaks to a rack's daemon. Safe for concurrent use.
type Client struct{ http *http.Client }

// NewClient makes a client for the daemon of a rack that is up.
func NewClient(d Dirs) *Client { return clientAt(d.control()) }

func clientAt(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Ping tells whether the daemon answers, by a nil error.
func (c *Client) Ping(ctx context.Context) error { return c.call(ctx, "GET", "ping", nil, nil) }

// Power tells whether a blade is switched on.
func (c *Client) Power(ctx context.Context, blade string) (bool, error) {
	var state powerState
	err := c.call(ctx, "GET", "blades/"+blade+"/power", nil, &state)
	return state.On, err
}

// SetPower switches a blade on, or off at once; it returns when that is so.
func (c *Client) SetPower(ctx context.Context, blade string, on bool) error {
	return c.call(ctx, "PUT", "blades/"+blade+"/power", powerState{on}, nil)
}

// Boot reads a blade's boot override.
func (c *Client) Boot(ctx context.Context, blade string) (Boot, error) {
	var boot Boot
	err := c.call(ctx, "GET", "blades/"+blade+"/boot", nil, &boot)
	return boot, err
}

// SetBoot replaces a blade's boot override, for its next start.
func (c *Client) SetBoot(ctx context.Context, blade string, boot Boot) error {
	return c.call(ctx, "PUT", "blades/"+blade+"/boot", boot, nil)
}

// Reset restarts a blade that is on, as its reset button would.
func (c *Client) Reset(ctx context.Context, blade string) error {
	return c.call(ctx, "POST", "blades/"+blade+"/reset", nil, nil)
}

// Shutdown presses a blade's power button and does not wait for what its system does.
func (c *Client) Shutdown(ctx context.Context, blade string) error {
	return c.call(ctx, "POST", "blades/"+blade+"/shutdown", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	fail := func(err error) error { return fmt.Errorf("ask the rack's daemon (%s %s): %w", method, path, err) }
	data, err := json.Marshal(body)
	if err != nil {
		return fail(err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://rackd/v1/"+path, bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(fmt.Errorf("%w (is the rack up?)", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fail(fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text))))
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fail(err)
	}
	return nil
}
