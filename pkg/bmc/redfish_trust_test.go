package bmc_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

func TestNothingLeavesForAnUntrustedBMC(t *testing.T) {
	_, other, err := redfish.NewCertificate(time.Now(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for name, trust := range map[string]bmc.Trust{
		"another authority": {CA: other},
		"another pin":       {Pin: "sha256:" + strings.Repeat("ab", 32)},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t, redfish.Options{})
			target := p.target()
			target.Trust = trust
			_, err := bmc.Open(t.Context(), target)
			if !isKind(err, bmc.ErrUntrusted) {
				t.Errorf("Open: %v, want %v", err, bmc.ErrUntrusted)
			}
			if shown := bmc.PinOf(p.leaf.Raw); !strings.Contains(fmt.Sprint(err), shown) {
				t.Errorf("the error does not tell the pin that was shown, %s: %v", shown, err)
			}
			if got := p.seen(""); len(got) != 0 {
				t.Errorf("the BMC received %v, want nothing at all", got)
			}
		})
	}
}

func TestTheHostNameIsVerified(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	target := p.target()
	target.Address = strings.Replace(target.Address, "127.0.0.1", "localhost", 1)
	if _, err := bmc.Open(t.Context(), target); !isKind(err, bmc.ErrUntrusted) {
		t.Errorf("a certificate for 127.0.0.1 under the name localhost: %v", err)
	}
	// With a pin the name does not matter.
	target.Trust = bmc.Trust{Pin: bmc.PinOf(p.leaf.Raw)}
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPinIsReadAsOpensslPrintsIt(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	raw := strings.TrimPrefix(bmc.PinOf(p.leaf.Raw), "sha256:")
	digest, err := hex.DecodeString(raw)
	if err != nil {
		t.Fatal(err)
	}
	target := p.target()
	target.Trust = bmc.Trust{Pin: "SHA256:" + strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", digest), " ", ":"))}
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTargetsThatAreRefusedBeforeAnythingIsSent(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	pin := "sha256:" + strings.Repeat("ab", 32)
	for name, change := range map[string]func(*bmc.Target){
		"no trust":            func(c *bmc.Target) { c.Trust = bmc.Trust{} },
		"pin and ca":          func(c *bmc.Target) { c.Trust.Pin = pin },
		"bad pin":             func(c *bmc.Target) { c.Trust = bmc.Trust{Pin: "sha256:12"} },
		"bad ca":              func(c *bmc.Target) { c.Trust = bmc.Trust{CA: []byte("x")} },
		"plain HTTP":          func(c *bmc.Target) { c.Address = strings.Replace(c.Address, "+https", "+http", 1) },
		"no password":         func(c *bmc.Target) { c.Credentials.Password = "" },
		"password in address": func(c *bmc.Target) { c.Address = "redfish://admin:hunter2@127.0.0.1/redfish/v1/Systems/1" },
		"ipmi with pin":       func(c *bmc.Target) { c.Address, c.Trust = "ipmi://127.0.0.1", bmc.Trust{Pin: pin} },
		"firmware":            func(c *bmc.Target) { c.Firmware = "coreboot" },
		"no such scheme":      func(c *bmc.Target) { c.Address = "ibmc://127.0.0.1/redfish/v1/Systems/1" },
	} {
		t.Run(name, func(t *testing.T) {
			target := p.target()
			change(&target)
			_, err := bmc.Open(t.Context(), target)
			if !isKind(err, bmc.ErrInvalid) || strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("Open: %v, want %v", err, bmc.ErrInvalid)
			}
		})
	}
	if got := p.seen(""); len(got) != 0 {
		t.Errorf("the BMC received %v", got)
	}
}

func TestPlainHTTPOnPurpose(t *testing.T) {
	service, err := redfish.New(redfish.NewMemory(redfish.Info{}), redfish.Options{User: testUser, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service)
	defer server.Close()
	client, err := bmc.Open(t.Context(), bmc.Target{
		Address:     "redfish+" + server.URL,
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{AllowPlainHTTP: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTheTokenFollowsNoRedirect: a trusted BMC that sends us elsewhere is not followed.
func TestTheTokenFollowsNoRedirect(t *testing.T) {
	var stolen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer elsewhere.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	server.StartTLS()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := bmc.Open(ctx, bmc.Target{
		Address:     "redfish://" + server.Listener.Addr().String(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: bmc.PinOf(server.Certificate().Raw)},
	})
	if !isKind(err, bmc.ErrUnreachable) || stolen.Load() != 0 {
		t.Errorf("%v, and the other host got %d requests, want none", err, stolen.Load())
	}
}

// TestABMCWithoutTLSGetsNoPassword records every byte that arrives.
func TestABMCWithoutTLSGetsNoPassword(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan []byte, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(received)
				return
			}
			first := make([]byte, 4096)
			n, _ := conn.Read(first)
			received <- first[:n]
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			_ = conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = bmc.Open(ctx, bmc.Target{
		Address:     "redfish://" + listener.Addr().String(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: "sha256:" + strings.Repeat("ab", 32)},
	})
	if !isKind(err, bmc.ErrUntrusted) {
		t.Errorf("Open: %v, want %v", err, bmc.ErrUntrusted)
	}
	_ = listener.Close()
	for chunk := range received {
		if strings.Contains(string(chunk), testPassword) || strings.Contains(string(chunk), testUser) {
			t.Errorf("credentials arrived: %q", chunk)
		}
	}
}

func TestDebuggingOfBmclibIsSwitchedOff(t *testing.T) {
	t.Setenv("DEBUG_BMCLIB", "true")
	p := startPeer(t, redfish.Options{})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if _, set := os.LookupEnv("DEBUG_BMCLIB"); set {
		t.Error("DEBUG_BMCLIB is still set: bmclib prints login bodies")
	}
}
