package bmc_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/bmc/bmctest"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

const (
	testUser     = "admin"
	testPassword = "s3cret-of-tests"
)

// peer is the lab's emulator on loopback, over TLS, with a record of what arrived.
type peer struct {
	server  *httptest.Server
	service *redfish.Server
	machine *switchCounter
	ca      []byte
	leaf    *x509.Certificate

	mu       sync.Mutex
	fault    func(*http.Request) redfish.Fault
	requests []string
}

// switchCounter counts how often the power button did something.
type switchCounter struct {
	*redfish.Memory
	mu sync.Mutex
	n  int
}

func (m *switchCounter) SetPower(ctx ctx, on bool) error {
	m.mu.Lock()
	m.n++
	m.mu.Unlock()
	return m.Memory.SetPower(ctx, on)
}

func (m *switchCounter) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func startPeer(t *testing.T, opt redfish.Options) *peer {
	t.Helper()
	p := &peer{machine: &switchCounter{Memory: redfish.NewMemory(redfish.Info{
		ID: "blade1", Serial: "SER-1", Manufacturer: "Nubo", Model: "Lab", UUID: "6F1E1A52-0000-4000-8000-000000000001",
	})}}
	opt.User, opt.Password = testUser, testPassword
	opt.Fault = p.misbehave
	service, err := redfish.New(p.machine, opt)
	if err != nil {
		t.Fatal(err)
	}
	p.service = service
	cert, ca, err := redfish.NewCertificate(time.Now(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p.ca, p.leaf = ca, cert.Leaf
	p.server = httptest.NewUnstartedServer(service)
	p.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	p.server.Config.ErrorLog = quiet()
	p.server.StartTLS()
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// misbehave records the request and asks the test for a fault.
func (p *peer) misbehave(r *http.Request) redfish.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry := r.Method + " " + r.URL.Path
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Auth-Token") != "" {
		entry += " authenticated"
	}
	p.requests = append(p.requests, entry)
	if p.fault == nil {
		return redfish.Fault{}
	}
	return p.fault(r)
}

func (p *peer) setFault(f func(*http.Request) redfish.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// seen lists the requests that contain a text.
func (p *peer) seen(text string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, entry := range p.requests {
		if strings.Contains(entry, text) {
			found = append(found, entry)
		}
	}
	return found
}

func (p *peer) address() string {
	return "redfish+https://" + p.server.Listener.Addr().String() + "/redfish/v1/Systems/blade1"
}

func (p *peer) target() bmc.Target {
	return bmc.Target{
		Address:     p.address(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{CA: p.ca},
		Settle:      500 * time.Millisecond,
	}
}

// write tells whether a request changes the machine.
func write(r *http.Request) bool {
	return r.Method == http.MethodPatch || strings.Contains(r.URL.Path, "/Actions/")
}

func (p *peer) harness(t *testing.T) bmctest.Harness {
	return bmctest.Harness{
		Target:      p.target(),
		Unreachable: "redfish://127.0.0.1:1",
		Identity: bmc.Identity{
			Serial: "SER-1", Manufacturer: "Nubo", Model: "Lab", UUID: "6f1e1a52-0000-4000-8000-000000000001",
		},
		Power: func() bmc.PowerState {
			if on, err := p.machine.Power(t.Context()); err != nil || !on {
				return bmc.Off
			}
			return bmc.On
		},
		Has: bmctest.Optional{Sensors: true, BIOS: true, Media: true},
		Faults: bmctest.Faults{
			Silence: func() { p.setFault(func(*http.Request) redfish.Fault { return redfish.Fault{Delay: time.Hour} }) },
			Revert:  func() { p.setFault(func(r *http.Request) redfish.Fault { return redfish.Fault{Revert: write(r)} }) },
			LoseReply: func() func() int {
				done := false
				p.setFault(func(r *http.Request) redfish.Fault {
					lose := !done && write(r)
					done = done || lose
					return redfish.Fault{LoseReply: lose}
				})
				return p.machine.count
			},
		},
	}
}

func TestRedfishConformance(t *testing.T) {
	bmctest.Run(t, func(t *testing.T) bmctest.Harness { return startPeer(t, redfish.Options{}).harness(t) })
}
