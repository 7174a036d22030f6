package bmc

import (
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// largest bounds an answer of a BMC; a whole BIOS registry is about 2 MiB.
const largest = 16 << 20

// newGuard makes the transport to one BMC. No proxy is used, whatever the environment says: the
// management network is reached directly or not at all.
func newGuard(a Address, config *tls.Config) *guard {
	dialer := &net.Dialer{Timeout: 20 * time.Second, KeepAlive: 15 * time.Second}
	return &guard{
		host: a.HostPort(), scheme: map[bool]string{false: "https", true: "http"}[a.Plain],
		next: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 20 * time.Second,
			MaxConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		},
	}
}

// guard lets requests go to one BMC only, redirects included, since they carry the session's
// token; it keeps connections (gofish would close each), bounds answers, and evens out what BMCs do differently with HTTP itself.
type guard struct {
	scheme, host string
	next         *http.Transport
	// pause is for how long the last answer asked to be left alone, in nanoseconds; gofish keeps no headers of a refusal.
	pause atomic.Int64
	// login goes with each request, where the BMC has no sessions; gofish would leave it out at the service root, which some BMCs lock as well.
	login atomic.Pointer[Credentials]
	// token is the last session's, which a BMC may repeat in what it says.
	token atomic.Pointer[string]
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != g.scheme || r.URL.Host != g.host || r.URL.User != nil {
		return nil, &astray{host: g.host, to: r.URL.Redacted()}
	}
	r = r.Clone(r.Context())
	r.Close = false
	r.Host = strings.TrimSuffix(g.host, map[string]string{"https": ":443", "http": ":80"}[g.scheme]) // as browsers write it: iDRAC compares
	r.Header.Set("OData-Version", "4.0")
	if r.Body == nil || r.Body == http.NoBody {
		r.Header.Del("Content-Type") // gofish names one always
	}
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		g.token.Store(&token)
	}
	if login := g.login.Load(); login != nil {
		r.SetBasicAuth(login.User, login.Password)
	}
	response, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	g.pause.Store(int64(retryAfter(response.Header.Get("Retry-After"))))
	g.keep(response)
	body := &bounded{Reader: io.LimitReader(response.Body, largest), Closer: response.Body}
	response.Body = body
	if strings.EqualFold(response.Header.Get("Content-Encoding"), "gzip") { // some iLO send it unasked
		body.Reader = &unzip{packed: body.Reader}
	}
	return response, nil
}

// keep makes a redirect one that can be followed: with the same method, since net/http would make a GET of a write and its answer would look as if the
// write had worked, and to this address, since BMCs write the name that they think they have. Another scheme is left for RoundTrip to refuse, and so is the
// same path elsewhere, which is no place of this BMC.
func (g *guard) keep(response *http.Response) {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return
	}
	response.StatusCode = http.StatusPermanentRedirect
	to, err := response.Location()
	if err == nil && to.Scheme == g.scheme && to.User == nil && strings.HasPrefix(to.Path, "/redfish") && to.RequestURI() != response.Request.URL.RequestURI() {
		response.Header.Set("Location", to.RequestURI())
	}
}

// astray is the error of a redirect that leads away from the BMC.
type astray struct{ host, to string }

func (e *astray) Error() string {
	return fmt.Sprintf("the BMC at %s sent us to %s: not followed", e.host, e.to)
}

// longestPause is the most that is waited because a BMC asks for it.
const longestPause = time.Minute

// retryAfter reads the header of that name: seconds; a date, which BMCs' clocks make worthless, and nonsense count as nothing.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, longestPause)
}

// unzip unpacks what was sent compressed, and bounds that as well. It begins with the first read, since an answer without a body has no header either.
type unzip struct{ packed, plain io.Reader }

func (u *unzip) Read(p []byte) (int, error) {
	if u.plain == nil {
		reader, err := gzip.NewReader(u.packed)
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, fmt.Errorf("the BMC says that its answer is compressed: %w", err)
		}
		u.plain = io.LimitReader(reader, largest)
	}
	return u.plain.Read(p)
}

// rootless answers gofish's question for the service root, which it asks whenever it connects: it reads all of the root, and fails on the first property that has
// another type than its own. What is used of the root is read once, when logging in.
type rootless struct {
	next  http.RoundTripper
	asked bool
}

// RoundTrip implements http.RoundTripper.
func (t *rootless) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.asked {
		return t.next.RoundTrip(r)
	}
	t.asked = true
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

type bounded struct {
	io.Reader
	io.Closer
}
