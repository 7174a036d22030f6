package bmc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

const (
	oddSystem = "/redfish/v1/Systems/blade1"
	oddReset  = oddSystem + "/Actions/ComputerSystem.Reset"
	oddBody   = "application/json"
)

type object = map[string]any

// twist puts something before the emulator that changes what it takes and says, as one maker's BMCs do.
type twist func(next http.Handler) http.Handler

// odd is one BMC that differs from the emulator.
type odd struct {
	t       *testing.T
	server  *httptest.Server
	service *redfish.Server
	machine *switchCounter

	mu       sync.Mutex
	requests []string
}

func startOdd(t *testing.T, listen string, twists ...twist) *odd {
	t.Helper()
	o := &odd{t: t, machine: &switchCounter{Memory: redfish.NewMemory(redfish.Info{ID: "blade1", Serial: "SER-1", Manufacturer: "Nubo", Model: "Lab"})}}
	service, err := redfish.New(o.machine, redfish.Options{User: testUser, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	o.service = service
	var handler http.Handler = service
	for _, twist := range twists {
		handler = twist(handler)
	}
	o.server = httptest.NewUnstartedServer(o.record(handler))
	if listen != "" {
		l, err := net.Listen("tcp", listen)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Skipf("IPv6 is switched off on this machine: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.server.Listener.Close()
		o.server.Listener = l
	}
	o.server.Config.ErrorLog = quiet()
	o.server.StartTLS()
	t.Cleanup(o.server.Close)
	return o
}

func (o *odd) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests = append(o.requests, r.Method+" "+r.URL.Path)
		o.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// seen counts the requests that begin with a text.
func (o *odd) seen(text string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, entry := range o.requests {
		if strings.HasPrefix(entry, text) {
			n++
		}
	}
	return n
}

// target names no system: the BMC is asked for it.
func (o *odd) target() bmc.Target {
	return bmc.Target{
		Address:     "redfish://" + o.server.Listener.Addr().String(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: bmc.PinOf(o.server.Certificate().Raw)},
		Settle:      300 * time.Millisecond,
		Repeat:      time.Nanosecond,
	}
}

// served is what the handlers behind answer.
func served(next http.Handler, r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	return answer
}

// reply sends an answer on, with another body where one is given.
func reply(w http.ResponseWriter, answer *httptest.ResponseRecorder, body []byte) {
	for name, values := range answer.Header() {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

// show changes what GET of the paths with this prefix tells.
func show(prefix string, change func(object)) twist {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := served(next, r)
			body := answer.Body.Bytes()
			var told object
			if r.Method == http.MethodGet && answer.Code == http.StatusOK && strings.HasPrefix(r.URL.Path, prefix) && json.Unmarshal(body, &told) == nil {
				change(told)
				body, _ = json.Marshal(told)
			}
			reply(w, answer, body)
		})
	}
}

// on answers one method of one path itself; false lets the emulator do it.
func on(method, path string, do func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) twist {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method || r.URL.Path != path || !do(w, r, next) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// says is a refusal in the words of a message registry.
func says(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", oddBody)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object{"error": object{"@Message.ExtendedInfo": []object{{"MessageId": message, "Message": "said the BMC"}}}})
}

// tell is an answer that is none of the emulator's.
func tell(w http.ResponseWriter, body object) bool {
	w.Header().Set("Content-Type", oddBody)
	_ = json.NewEncoder(w).Encode(body)
	return true
}

// taken reads a request's body and leaves it to be read again.
func taken(r *http.Request) object {
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var body object
	_ = json.Unmarshal(raw, &body)
	return body
}

// send puts another body into a request.
func send(r *http.Request, body object) {
	raw, _ := json.Marshal(body)
	r.Body, r.ContentLength = readCloser(raw), int64(len(raw))
}

func at(body object, path ...string) object {
	for _, name := range path {
		body, _ = body[name].(object)
	}
	return body
}

func readCloser(raw []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(raw)) }
