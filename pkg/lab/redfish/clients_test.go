package redfish_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

const (
	user     = "admin"
	password = "emulated-secret"
)

// bmc is a running emulator.
type bmc struct {
	*httptest.Server
	service *redfish.Server
	machine *redfish.Memory
	caFile  string
}

func info() redfish.Info {
	return redfish.Info{
		ID: "blade1", Serial: "SER-1", UUID: "6f1e1a52-0000-4000-8000-000000000001", Manufacturer: "Nubo", Model: "Lab",
		BIOSVersion: "1.0", MemoryGiB: 64, Processors: 2, Cores: 72,
		NICs: []redfish.NIC{{Name: "NIC1", MAC: "52:54:00:00:00:01"}},
	}
}

func serve(t *testing.T, opt redfish.Options) *bmc {
	t.Helper()
	opt.User, opt.Password = user, password
	machine := redfish.NewMemory(info())
	service, err := redfish.New(machine, opt)
	if err != nil {
		t.Fatal(err)
	}
	cert, ca, err := redfish.NewCertificate(time.Now(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(service)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return &bmc{Server: server, service: service, machine: machine, caFile: caFile}
}

// client runs a command of Debian's against the emulator; it must be installed.
func (b *bmc) client(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the packages in e2e/host-packages: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "REQUESTS_CA_BUNDLE=" + b.caFile, "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestSushyDrivesTheEmulator(t *testing.T) {
	b := serve(t, redfish.Options{})
	out := b.client(t, "/usr/bin/python3", "testdata/sushy_client.py", b.URL, user, password, b.caFile)
	if strings.TrimSpace(out) != "ok" {
		t.Errorf("sushy said:\n%s", out)
	}
	if boots := b.machine.Boots(); len(boots) != 1 || boots[0].Target != "Pxe" {
		t.Errorf("the machine was started with %+v, want once with Pxe", boots)
	}
	if n := b.service.Sessions(); n != 0 {
		t.Errorf("%d sessions are left open, want 0", n)
	}
}

// redfishtool never verifies certificates, so it proves the protocol only; sushy verifies.
func TestRedfishtoolDrivesTheEmulator(t *testing.T) {
	b := serve(t, redfish.Options{})
	run := func(args ...string) string {
		common := []string{"-r", strings.TrimPrefix(b.URL, "https://"), "-u", user, "-p", password, "-S", "Always", "-n"}
		return b.client(t, "/usr/bin/redfishtool", append(common, args...)...)
	}
	for _, auth := range []string{"Basic", "Session"} {
		if out := run("-A", auth, "Systems", "list"); !strings.Contains(out, "/redfish/v1/Systems/blade1") {
			t.Errorf("Systems list with %s authentication:\n%s", auth, out)
		}
	}
	run("Systems", "-1", "setBootOverride", "Once", "Pxe")
	run("Systems", "-1", "reset", "On")
	var system struct{ PowerState, SerialNumber string }
	if err := json.Unmarshal([]byte(run("Systems", "-1", "get")), &system); err != nil {
		t.Fatal(err)
	}
	if system.PowerState != "On" || system.SerialNumber != "SER-1" {
		t.Errorf("read back %+v", system)
	}
	if out := run("Chassis", "-1", "Thermal"); !strings.Contains(out, "ReadingCelsius") {
		t.Errorf("Chassis Thermal:\n%s", out)
	}
	if boots := b.machine.Boots(); len(boots) != 1 || boots[0] != (redfish.Boot{Target: "Pxe", Enabled: "Once", Mode: "UEFI"}) {
		t.Errorf("the machine was started with %+v, want Pxe once", boots)
	}
}
