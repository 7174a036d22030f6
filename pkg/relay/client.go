package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// Client drives a relay through its control interface.
type Client struct {
	http *http.Client
	name string // for messages
}

// Dial opens a connection to a relay's control socket.
type Dial func(ctx context.Context) (net.Conn, error)

// answerWithin is how long a relay that has taken a question in may take to answer it: one that is stopped or hangs, behind a connection that works, would
// keep whoever asks for ever.
const answerWithin = maxWait + time.Minute

// NewClient makes a client; name says in messages which relay it is.
func NewClient(name string, dial Dial) *Client {
	return &Client{name: name, http: &http.Client{Transport: &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		ResponseHeaderTimeout: answerWithin,
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status lists the relay's orders.
func (c *Client) Status(ctx context.Context) ([]order.Status, error) {
	var out []order.Status
	return out, c.call(ctx, "GET", "/v1/status", nil, &out)
}

// URL is the relay's base address on its network: where agents fetch images.
func (c *Client) URL(ctx context.Context) (string, error) {
	var out string
	return out, c.call(ctx, "GET", "/v1/url", nil, &out)
}

// SetMachines replaces the list of machines that the relay gives addresses to.
func (c *Client) SetMachines(ctx context.Context, list []Machine) error {
	return c.call(ctx, "PUT", "/v1/machines", list, nil)
}

// Arm hands an order over. The same order may be handed over again.
func (c *Client) Arm(ctx context.Context, id string, a Arm) error {
	return c.call(ctx, "PUT", "/v1/orders/"+url.PathEscape(id), a, nil)
}

// Disarm withdraws an order; one that is not there is no error.
func (c *Client) Disarm(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/orders/"+url.PathEscape(id), nil, nil)
}

// Order returns news of an order that are newer than version after, waiting for them for a while. The error wraps ErrNoOrder when there is none.
func (c *Client) Order(ctx context.Context, id string, after int) (News, error) {
	var out News
	path := "/v1/orders/" + url.PathEscape(id) + "?after=" + strconv.Itoa(after) + "&wait=" + strconv.Itoa(int(maxWait.Seconds()))
	return out, c.call(ctx, "GET", path, nil, &out)
}

// Missing says which boot files (name → SHA-256) and image blobs have to be put.
func (c *Client) Missing(ctx context.Context, files map[string]string, blobs []string) (missingFiles map[string]string, missingBlobs []string, err error) {
	var out missing
	err = c.call(ctx, "POST", "/v1/missing", missing{Files: files, Blobs: blobs}, &out)
	return out.Files, out.Blobs, err
}

// PutFile puts a boot file with this SHA-256 (hexadecimal).
func (c *Client) PutFile(ctx context.Context, name, sha256 string, body io.Reader) error {
	return c.send(ctx, "PUT", "/v1/files/"+url.PathEscape(name)+"?sha256="+sha256, body, nil)
}

// PutBlob puts an image's manifest (kind "images") or a chunk (kind "chunks").
func (c *Client) PutBlob(ctx context.Context, kind, digest string, body io.Reader) error {
	return c.send(ctx, "PUT", "/v1/blobs/"+kind+"/"+digest, body, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("relay %s: %w", c.name, err)
		}
		body = bytes.NewReader(text)
	}
	return c.send(ctx, method, path, body, out)
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://relay"+path, body)
	if err != nil {
		return fmt.Errorf("relay %s: %w", c.name, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("relay %s: %w", c.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return c.refused(resp, method, path)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("relay %s: %s %s: answer: %w", c.name, method, path, err)
	}
	return nil
}

func (c *Client) refused(resp *http.Response, method, path string) error {
	var e order.APIError
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		e.Error = resp.Status + " " + strings.TrimSpace(string(text))
	}
	err := fmt.Errorf("relay %s: %s %s: %s", c.name, method, path, e.Error)
	if e.Remedy != "" {
		err = fmt.Errorf("%w; %s", err, e.Remedy)
	}
	if resp.StatusCode == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", ErrNoOrder, err)
	}
	return err
}
