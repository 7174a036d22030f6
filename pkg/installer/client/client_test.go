package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// serve starts a relay that answers by handler, and a client for it that gives up soon.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.Patience = time.Second
	return c
}

func TestTime(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/time" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"time":"2026-11-22T04:00:00Z"}`)
	})
	got, err := c.Time(t.Context())
	if err != nil || !got.Equal(time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, %v", got, err)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times; one refusal for now is asked again", asked.Load())
	}
}

func TestRefusalIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"error":"nonce was used before","remedy":"plan again"}`)
	})
	_, err := c.Consume(t.Context(), "o", order.Consume{})
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Said.Remedy != "plan again" || asked.Load() != 1 {
		t.Errorf("got %v after %d requests", err, asked.Load())
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		line := strings.Repeat("x", 1<<20)
		for range maxAnswer>>20 + 1 {
			io.WriteString(w, line)
		}
	})
	if _, err := c.Manifest(t.Context(), model.DigestBytes(nil)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestNonsense(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })
	if _, err := c.Order(t.Context(), "o"); err == nil || !strings.Contains(err.Error(), "not what was asked for") {
		t.Errorf("got %v", err)
	}
	for _, base := range []string{"", "https://x", "x:80", "http://"} {
		if _, err := New(base); err == nil {
			t.Errorf("relay %q accepted", base)
		}
	}
}
