package bmc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

// heard is what a recorder wrote so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) has(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.text.String(), s)
}

// TestRecordConsole listens to the real ipmi_sim: what the machine prints is heard, the BMC has one such session, and it is free again afterwards.
func TestRecordConsole(t *testing.T) {
	serial, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer serial.Close()
	s := startSimWithLine(t, "", serial)
	line, err := s.serial.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	for _, round := range []string{"first", "second"} {
		listening, stop := context.WithCancel(t.Context())
		var out heard
		ended := make(chan error, 1)
		go func() { ended <- bmc.RecordConsole(listening, s.target(), &out) }()
		var last error
		eventually(t, "the console is heard", func() bool {
			_, last = fmt.Fprintf(line, "%s: Kernel panic\r\n", round)
			return out.has(round + ": Kernel panic")
		}, &last)

		if err := bmc.RecordConsole(t.Context(), s.target(), io.Discard); !errors.Is(err, bmc.ErrBusy) {
			t.Errorf("a second listener: %v, want %v", err, bmc.ErrBusy)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the %s recording ended with %v", round, err)
		}
		if out.has(testPassword) {
			t.Error("the password is in what was heard")
		}
	}
}

func TestRecordConsoleTellsWhyNot(t *testing.T) {
	s := startSim(t, "")
	wrong := s.target()
	wrong.Credentials.Password = "wrong"
	if err := bmc.RecordConsole(t.Context(), wrong, io.Discard); !errors.Is(err, bmc.ErrAuth) || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("a wrong password: %v, want %v", err, bmc.ErrAuth)
	}
	overRedfish := bmc.Target{Address: "redfish+https://127.0.0.1:1/redfish/v1/Systems/1"}
	if err := bmc.RecordConsole(t.Context(), overRedfish, io.Discard); !errors.Is(err, bmc.ErrUnsupported) {
		t.Errorf("over Redfish: %v, want %v", err, bmc.ErrUnsupported)
	}
}

// TestConsoleLog reads the end of what a BMC has kept, and tells when it keeps nothing.
func TestConsoleLog(t *testing.T) {
	machine := redfish.NewMemory(redfish.Info{Serial: "SER-1"})
	open := func(m redfish.Machine) bmc.Client {
		service, err := redfish.New(m, redfish.Options{User: testUser, Password: testPassword})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewTLSServer(service)
		server.Config.ErrorLog = quiet()
		t.Cleanup(server.Close)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		c, err := bmc.Open(ctx, bmc.Target{
			Address:     "redfish+" + server.URL + "/redfish/v1/Systems/1",
			Credentials: bmc.Credentials{User: testUser, Password: testPassword},
			Trust:       bmc.Trust{AllowUnverified: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	c := open(machine)
	if got, err := c.ConsoleLog(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("nothing was printed: %q, %v", got, err)
	}
	var printed []string
	for i := range 1000 {
		printed = append(printed, fmt.Sprintf("line %d", i))
	}
	machine.Print(printed...)
	if got, err := c.ConsoleLog(t.Context()); err != nil || !slices.Equal(got, printed[600:]) {
		t.Errorf("%d lines, %v; want the last 400", len(got), err)
	}
	plain := open(struct{ redfish.Machine }{machine}) // a machine of which nothing is kept
	if _, err := plain.ConsoleLog(t.Context()); !errors.Is(err, bmc.ErrUnsupported) {
		t.Errorf("a BMC without a log: %v, want %v", err, bmc.ErrUnsupported)
	}
}
