package bmc

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// largest bounds an answer of a BMC; a whole BIOS registry is about 2 MiB.
const largest = 16 << 20

// httpClient makes the client for one BMC. No proxy is used, whatever the environment says: the
// management network is reached directly or not at all.
func httpClient(a Address, config *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 20 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{Transport: &guard{
		host: a.HostPort(), scheme: map[bool]string{false: "https", true: "http"}[a.Plain],
		next: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 20 * time.Second,
			MaxConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		},
	}}
}

// guard lets requests go to one BMC only, redirects included, since they carry the session's
// token; it keeps connections (gofish would close each) and bounds answers.
type guard struct {
	scheme, host string
	next         *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != g.scheme || r.URL.Host != g.host || r.URL.User != nil {
		return nil, fmt.Errorf("the BMC at %s sent us to %s: not followed", g.host, r.URL.Redacted())
	}
	r = r.Clone(r.Context())
	r.Close = false
	response, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = &bounded{Reader: io.LimitReader(response.Body, largest), Closer: response.Body}
	return response, nil
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (g *guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

type bounded struct {
	io.Reader
	io.Closer
}
