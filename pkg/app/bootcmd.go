package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/provision"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// Boot runs the relay of a network in the foreground until ctx ends: it gives known machines their addresses, serves the orders that are
// armed, and tells of every request what was answered. It arms nothing itself. No apply may run beside it.
func Boot(ctx context.Context, e Env, network string) (err error) {
	requests := slog.Handler(newRequestLog(e.Out))
	if e.JSON {
		requests = slog.NewJSONHandler(e.Out, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	s, err := e.open(ctx)
	if err != nil {
		return err
	}
	s.env.Log = slog.New(requests)
	defer func() { err = errors.Join(err, s.Close()) }()
	n, err := s.servedNetwork(network)
	if err != nil {
		return err
	}
	lease, err := e.acquire(ctx, s.store, "", "boot "+network)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release()) }()
	return s.serveNetwork(ctx, n, lease)
}

// servedNetwork finds a network whose relay is to run in this process.
func (s *session) servedNetwork(name string) (model.Network, error) {
	n := networkOf(s.desired, name)
	var served []string
	for _, other := range s.desired.Networks {
		if other.DHCP != "" {
			served = append(served, other.Name)
		}
	}
	switch {
	case n.Name == "":
		return n, fmt.Errorf("network %q is not in the inventory; those with a dhcp block are: %s", name, strings.Join(served, ", "))
	case n.DHCP == "":
		return n, fmt.Errorf("network %s has no dhcp block, so nothing is booted on it; those that have: %s", name, strings.Join(served, ", "))
	case n.Relay != nil && n.Relay.Via != "":
		return n, fmt.Errorf("the relay of network %s is nubo-bootd on %s: apply starts it, and it goes on by itself; what it does is in /var/lib/nubo-bootd/%s/log there",
			name, n.Relay.Via, name)
	}
	return n, nil
}

// serveNetwork runs the relay until ctx ends, the relay fails or the lease is lost.
func (s *session) serveNetwork(ctx context.Context, n model.Network, lease state.Lease) (err error) {
	r := newRelays(ctx, s, true)
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Client(ctx, n.Name)
	if err != nil {
		return err
	}
	machines := provision.Machines(s.desired, n)
	if err := c.SetMachines(ctx, machines); err != nil {
		return err
	}
	orders, err := c.Status(ctx)
	if err != nil {
		return err
	}
	s.env.note("Serving network %s (%s). Known machines: %d, install orders: %d. Ctrl-C ends it.", n.Name, n.CIDR, len(machines), len(orders))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.running.Wait()
	}()
	select {
	case <-ctx.Done():
		s.env.note("Network %s is no longer served.", n.Name)
		return nil
	case <-lease.Lost():
		return errors.New("the lease was lost: somebody else may serve the network now")
	case <-ended:
		return nil // Close tells why
	}
}

// requestLog is a slog.Handler that writes a line for every request to a relay: when, by which protocol, who, what, and what was answered.
type requestLog struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs []slog.Attr
}

func newRequestLog(w io.Writer) *requestLog { return &requestLog{mu: new(sync.Mutex), w: w} }

// Enabled lets everything through.
func (h *requestLog) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs keeps attributes for later lines.
func (h *requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &requestLog{mu: h.mu, w: h.w, attrs: append(append([]slog.Attr(nil), h.attrs...), attrs...)}
}

// WithGroup does nothing: lines are flat.
func (h *requestLog) WithGroup(string) slog.Handler { return h }

// Handle writes one line.
func (h *requestLog) Handle(_ context.Context, r slog.Record) error {
	values := map[string]string{}
	var rest []string
	add := func(a slog.Attr) bool {
		text := a.Value.String()
		switch a.Key {
		case "protocol", "mac", "peer", "request", "reply", "error", "bytes":
			values[a.Key] = text
		default:
			rest = append(rest, a.Key+"="+text)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	line := strings.Join(append([]string{r.Message}, rest...), " ")
	if p := values["protocol"]; p != "" {
		line = requestLine(p, values)
	} else if values["error"] != "" {
		line += ": " + values["error"]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintf(h.w, "%s  %s\n", r.Time.Format("15:04:05.000"), line)
	return err
}

func requestLine(protocol string, v map[string]string) string {
	who := v["mac"]
	if who == "" {
		who = v["peer"]
	}
	line := fmt.Sprintf("%-4s  %-21s  %s → %s", protocol, who, v["request"], v["reply"])
	if b := v["bytes"]; b != "" && b != "0" {
		line += " (" + b + " bytes)"
	}
	if e := v["error"]; e != "" && e != "<nil>" {
		line += "  failed: " + e
	}
	return line
}
