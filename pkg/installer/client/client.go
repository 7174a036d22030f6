// Package client is the agent's side of the conversation with the relay: time, orders, reports, consent to the first write, manifests and
// chunks, over plain HTTP. Nothing that comes back is believed here; callers verify signatures and digests before they parse.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// maxAnswer bounds what is read of any answer that is not a chunk: a manifest lists some thousand packages and chunks.
const maxAnswer = 16 << 20

// attempt bounds one request with its answer, chunks excepted.
const attempt = time.Minute

// RefusedError is an answer that will not change by asking again (4xx).
type RefusedError struct {
	Status int
	Said   order.APIError
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Said.Error == "" {
		return fmt.Sprintf("the relay answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the relay answered %d: %s", e.Status, e.Said.Error)
}

// Client talks to one relay. Patience is how long a request is repeated while the relay does not answer; 0: 2 minutes.
type Client struct {
	Base     string // http://IP:PORT
	Patience time.Duration
	// Retrying, where set, is told about each failed attempt.
	Retrying func(err error, next time.Duration)

	http *http.Client
}

// New returns a client for the relay at base. The error says what is wrong with the address.
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("relay address %q: want http://ADDRESS:PORT", base)
	}
	transport := &http.Transport{
		Proxy:                 nil,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ResponseHeaderTimeout: 30 * time.Second,
		MaxIdleConnsPerHost:   2,
		DisableCompression:    true,
		ReadBufferSize:        64 << 10,
	}
	return &Client{Base: strings.TrimRight(base, "/"), http: &http.Client{Transport: transport}}, nil
}

// Time asks for the relay's clock (GET /v1/time).
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	var answer struct {
		Time time.Time `json:"time"`
	}
	if err := c.call(ctx, http.MethodGet, "/v1/time", nil, &answer); err != nil {
		return time.Time{}, fmt.Errorf("ask the relay for the time: %w", err)
	}
	if answer.Time.IsZero() {
		return time.Time{}, errors.New("ask the relay for the time: the answer has none")
	}
	return answer.Time, nil
}

// Order fetches a signed order. Open it with order.Open before looking inside.
func (c *Client) Order(ctx context.Context, id string) (order.Signed, error) {
	var s order.Signed
	if err := c.call(ctx, http.MethodGet, "/v1/orders/"+url.PathEscape(id), nil, &s); err != nil {
		return s, fmt.Errorf("fetch order %s: %w", id, err)
	}
	return s, nil
}

// Report posts one report.
func (c *Client) Report(ctx context.Context, r order.Report) error {
	if err := c.call(ctx, http.MethodPost, "/v1/orders/"+url.PathEscape(r.Order)+"/reports", r, nil); err != nil {
		return fmt.Errorf("report %s: %w", r.Kind, err)
	}
	return nil
}

// Consume asks whether the first disk may be written now. A refusal is a *RefusedError.
func (c *Client) Consume(ctx context.Context, id string, what order.Consume) (order.Consumed, error) {
	var granted order.Consumed
	if err := c.call(ctx, http.MethodPost, "/v1/orders/"+url.PathEscape(id)+"/consume", what, &granted); err != nil {
		return granted, fmt.Errorf("ask for the first write under order %s: %w", id, err)
	}
	return granted, nil
}

// Manifest fetches the signed manifest with this digest, unverified.
func (c *Client) Manifest(ctx context.Context, d model.Digest) ([]byte, error) {
	var body []byte
	err := c.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		answer, err := c.open(ctx, http.MethodGet, "/v1/images/"+d.Hex(), nil)
		if err != nil {
			return err
		}
		defer answer.Close()
		body, err = readAll(answer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch manifest %s: %w", d.Short(), err)
	}
	return body, nil
}

// Chunk opens one chunk, once: the stream has its own patience.
func (c *Client) Chunk(ctx context.Context, d model.Digest) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, "/v1/chunks/"+d.Hex(), nil)
}

// call sends in as JSON, where it is not nil, and reads the answer into out, where it is not nil; it asks again while nobody answers.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	return c.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		answer, err := c.open(ctx, method, path, body)
		if err != nil {
			return err
		}
		defer answer.Close()
		raw, err := readAll(answer)
		if err != nil || out == nil {
			return err
		}
		if err := json.Unmarshal(raw, out); err != nil {
			return fmt.Errorf("%s %s%s: the answer is not what was asked for: %w", method, c.Base, path, err)
		}
		return nil
	})
}

func (c *Client) retry(ctx context.Context, do func() error) error {
	patience := c.Patience
	if patience == 0 {
		patience = 2 * time.Minute
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 200*time.Millisecond, 10*time.Second
	options := []backoff.RetryOption{backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(patience)}
	if c.Retrying != nil {
		options = append(options, backoff.WithNotify(c.Retrying))
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := do()
		var refused *RefusedError
		if errors.As(err, &refused) && refused.Status < 500 {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, options...)
	return err
}

// open makes one request and returns the body of a 2xx answer.
func (c *Client) open(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 == 2 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	raw, err := readAll(answer.Body)
	if err != nil {
		return nil, err
	}
	refused := &RefusedError{Status: answer.StatusCode}
	if json.Unmarshal(raw, &refused.Said) != nil {
		refused.Said.Error = strings.TrimSpace(string(raw[:min(len(raw), 200)]))
	}
	return nil, fmt.Errorf("%s %s%s: %w", method, c.Base, path, refused)
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("read the answer: longer than %d bytes", maxAnswer)
	}
	return b, nil
}
