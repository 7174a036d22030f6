package bmc_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

const sessions = "/redfish/v1/SessionService/Sessions"

func TestSessionsAreClosed(t *testing.T) {
	p := startPeer(t, redfish.Options{MaxSessions: 1})
	for range 5 {
		client, err := bmc.Open(t.Context(), p.target())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.SetPower(t.Context(), bmc.On); err != nil {
			t.Error(err)
		}
		if n := p.service.Sessions(); n != 1 {
			t.Errorf("%d sessions are open, want one", n)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wrong := p.target()
	wrong.Expect.Serial = "ANOTHER"
	if _, err := bmc.Open(t.Context(), wrong); !isKind(err, bmc.ErrIdentity) {
		t.Error(err)
	}
	if n := p.service.Sessions(); n != 0 {
		t.Errorf("%d sessions are left, want none", n)
	}
	if logins := p.seen("POST " + sessions); len(logins) != 6 {
		t.Errorf("%d logins, want 6", len(logins))
	}
}

func TestNoSessionLeftIsBusy(t *testing.T) {
	p := startPeer(t, redfish.Options{MaxSessions: 1})
	first, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bmc.Open(t.Context(), p.target()); !isKind(err, bmc.ErrBusy) {
		t.Errorf("second session: %v, want %v", err, bmc.ErrBusy)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnExpiredSessionIsRenewed(t *testing.T) {
	var now atomic.Int64
	p := startPeer(t, redfish.Options{SessionTimeout: time.Minute, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	now.Store(1000)
	if state, err := client.Power(t.Context()); err != nil || state != bmc.Off {
		t.Errorf("Power after the session expired: %q, %v", state, err)
	}
	now.Store(2000)
	if err := client.Close(t.Context()); err != nil {
		t.Errorf("Close after the session expired: %v", err)
	}
	if n := p.service.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	target := p.target()
	target.Credentials.Password = "wrong"
	if _, err := bmc.Open(t.Context(), target); !isKind(err, bmc.ErrAuth) {
		t.Errorf("Open: %v", err)
	}
	if logins := p.seen("POST " + sessions); len(logins) != 1 {
		t.Errorf("%d logins, want one: accounts get locked", len(logins))
	}
}

func TestBasicAuthenticationWhereThereAreNoSessions(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	p.setFault(func(r *http.Request) redfish.Fault {
		if strings.HasPrefix(r.URL.Path, sessions) {
			return redfish.Fault{Status: http.StatusMethodNotAllowed}
		}
		return redfish.Fault{}
	})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SetPower(t.Context(), bmc.On); err != nil {
		t.Error(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAFaultThatPassesIsTriedAgain(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	var n atomic.Int32
	p.setFault(func(*http.Request) redfish.Fault {
		if n.Add(1) <= 2 {
			return redfish.Fault{Status: http.StatusServiceUnavailable}
		}
		return redfish.Fault{}
	})
	if state, err := client.Power(t.Context()); err != nil || state != bmc.Off {
		t.Errorf("Power: %q, %v", state, err)
	}
	p.setFault(func(*http.Request) redfish.Fault { return redfish.Fault{Status: http.StatusServiceUnavailable} })
	if _, err := client.Power(t.Context()); !isKind(err, bmc.ErrBusy) {
		t.Errorf("Power of a BMC that stays busy: %v, want %v", err, bmc.ErrBusy)
	}
	p.setFault(nil)
}

func TestReadErrorsHaveTheirKind(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	p.setFault(func(*http.Request) redfish.Fault { return redfish.Fault{Status: http.StatusForbidden} })
	defer p.setFault(nil)
	_, overrideErr := client.BootOverride(t.Context())
	_, identityErr := client.Identity(t.Context())
	_, biosErr := client.BIOSSettings(t.Context())
	for what, err := range map[string]error{
		"BootOverride": overrideErr, "Identity": identityErr, "BIOSSettings": biosErr,
		"BootOnce": client.BootOnce(t.Context(), bmc.BootPXE), "EjectMedia": client.EjectMedia(t.Context()),
	} {
		if !isKind(err, bmc.ErrAuth) {
			t.Errorf("%s: %v, want %v", what, err, bmc.ErrAuth)
		}
	}
}

// TestWhatTheBMCEchoesIsNotShown: some BMCs repeat what they were sent when they refuse it.
func TestWhatTheBMCEchoesIsNotShown(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"Links":{"Sessions":{"@odata.id":"/sessions"}}}`)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":{"code":"x","message":"no: %s"}}`, strings.ReplaceAll(string(body), `"`, `'`))
	}))
	defer server.Close()
	_, err := bmc.Open(t.Context(), bmc.Target{
		Address:     "redfish://" + server.Listener.Addr().String(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: bmc.PinOf(server.Certificate().Raw)},
	})
	if !isKind(err, bmc.ErrAuth) {
		t.Errorf("Open: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, testPassword) {
		t.Errorf("the password is shown: %s", text)
	}
}

func TestSeveralSystemsNeedAPath(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("X-Auth-Token", "token")
			w.Header().Set("Location", "/sessions/1")
			w.WriteHeader(http.StatusCreated)
		case r.URL.Path == "/redfish/v1/Systems":
			_, _ = io.WriteString(w, `{"Members":[{"@odata.id":"/redfish/v1/Systems/A"},{"@odata.id":"/redfish/v1/Systems/B"}]}`)
		default:
			_, _ = io.WriteString(w, `{"Links":{"Sessions":{"@odata.id":"/sessions"}}}`)
		}
	}))
	defer server.Close()
	_, err := bmc.Open(t.Context(), bmc.Target{
		Address:     "redfish://" + server.Listener.Addr().String(),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Trust:       bmc.Trust{Pin: bmc.PinOf(server.Certificate().Raw)},
	})
	if !isKind(err, bmc.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "Systems/B") {
		t.Errorf("Open: %v, want %v with the systems named", err, bmc.ErrInvalid)
	}
}
