package lab

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

// newTestMachine gives a blade that is switched off.
func newTestMachine(t *testing.T, name string) *machine {
	t.Helper()
	rack := loadRack(t, "e2e")
	dirs := Dirs{Runtime: t.TempDir(), Sockets: t.TempDir()}
	if err := dirs.make(rack); err != nil {
		t.Fatal(err)
	}
	return newMachine(blade(t, rack, name), dirs)
}

func TestBootOverrideInRedfishWords(t *testing.T) {
	m := redfishMachine{newTestMachine(t, "blade-01")}
	none := redfish.Boot{Target: "None", Enabled: "Disabled", Mode: "UEFI"}
	for _, c := range []struct {
		set, want redfish.Boot
		stored    Boot
	}{
		{redfish.Boot{Target: "Pxe", Enabled: "Once"}, redfish.Boot{Target: "Pxe", Enabled: "Once", Mode: "UEFI"}, Boot{PXE, true}},
		{redfish.Boot{Target: "UefiHttp", Enabled: "Continuous", Mode: "UEFI"}, redfish.Boot{Target: "UefiHttp", Enabled: "Continuous", Mode: "UEFI"}, Boot{HTTP, false}},
		{redfish.Boot{Target: "Pxe", Enabled: "Disabled"}, none, Boot{None, false}},
		{redfish.Boot{Target: "Hdd", Enabled: "Once"}, redfish.Boot{Target: "Hdd", Enabled: "Once", Mode: "UEFI"}, Boot{HardDisk, true}},
		{redfish.Boot{Target: "None", Enabled: "Once"}, none, Boot{None, false}},
	} {
		if err := m.SetBoot(t.Context(), c.set); err != nil {
			t.Fatal(err)
		}
		got, err := m.Boot(t.Context())
		if err != nil || got != c.want {
			t.Errorf("set %+v, got %+v, %v", c.set, got, err)
		}
		if stored, err := m.boot(); err != nil || stored != c.stored {
			t.Errorf("set %+v, stored %+v, %v", c.set, stored, err)
		}
	}
}

func TestImpossibleBootOverrides(t *testing.T) {
	uefi, bios := redfishMachine{newTestMachine(t, "blade-01")}, redfishMachine{newTestMachine(t, "blade-02")}
	for name, err := range map[string]error{
		"mode":   uefi.SetBoot(t.Context(), redfish.Boot{Target: "Pxe", Enabled: "Once", Mode: "Legacy"}),
		"cd":     uefi.SetBoot(t.Context(), redfish.Boot{Target: "Cd", Enabled: "Once"}),
		"http":   bios.SetBoot(t.Context(), redfish.Boot{Target: "UefiHttp", Enabled: "Once"}),
		"device": uefi.setBoot(Boot{Device: "tape"}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRedfishInfo(t *testing.T) {
	got := redfishMachine{newTestMachine(t, "blade-01")}.Info()
	want := redfish.Info{
		Serial: "NUBO-01", UUID: "4e55424f-0000-4000-8000-000000000001", Manufacturer: "nuboctl", Model: "Lab Blade", BIOSVersion: "lab-uefi",
		MemoryGiB: 3, Processors: 1, Cores: processors(Blade{VCPUs: 2}, haveKVM()), NICs: []redfish.NIC{{Name: "eth0", MAC: "52:54:00:77:00:01"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// serveControl serves the control socket of one machine.
func serveControl(t *testing.T, m *machine) {
	t.Helper()
	listener, err := net.Listen("unix", m.dirs.control())
	if err != nil {
		t.Fatal(err)
	}
	handler := controlHandler(map[string]*machine{m.blade.Name: m}, func() bool { return true })
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

func TestChassisProgram(t *testing.T) {
	m := newTestMachine(t, "blade-02")
	serveControl(t, m)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Chassis(t.Context(), m.dirs.control(), "blade-02", args, &out)
		return out.String(), err
	}
	for _, c := range []struct{ args, want string }{
		{"get power boot", "power:0\nboot:none\n"},
		{"set boot pxe", ""},
		{"get boot", "boot:pxe\n"},
		{"set boot default", ""},
		{"get boot", "boot:default\n"},
		{"set boot none", ""},
		{"get boot", "boot:none\n"},
		{"set power 0", ""},
	} {
		if got, err := run(strings.Fields(c.args)...); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.args, got, err)
		}
	}
	for _, args := range []string{"", "get", "get lamp", "set boot bios", "set lamp 1", "set reset 1", "set shutdown 1", "dance 1 2"} {
		if _, err := run(strings.Fields(args)...); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
}

func TestClientNamesWhatFails(t *testing.T) {
	m := newTestMachine(t, "blade-02")
	if err := NewClient(m.dirs).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "is the rack up?") {
		t.Errorf("ping of nobody: %v", err)
	}
	serveControl(t, m)
	if err := NewClient(m.dirs).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := NewClient(m.dirs).Power(t.Context(), "blade-09"); err == nil || !strings.Contains(err.Error(), "blade-09") {
		t.Errorf("unknown blade: %v", err)
	}
}

func TestBMCCertificate(t *testing.T) {
	rack := loadRack(t, "demo")
	dirs := Dirs{Runtime: t.TempDir(), Sockets: t.TempDir()}
	if err := dirs.make(rack); err != nil {
		t.Fatal(err)
	}
	b, now := rack.Blades[0], time.Date(2030, 5, 1, 0, 0, 0, 0, time.UTC)
	leaf := func(b Blade, at time.Time) *x509.Certificate {
		t.Helper()
		cert, err := bmcCertificate(rack, b, dirs, at)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	first := leaf(b, now)
	if err := first.VerifyHostname("10.77.9.11"); err != nil {
		t.Error(err)
	}
	if !leaf(b, now.AddDate(1, 0, 0)).Equal(first) {
		t.Error("a good certificate was replaced: pins break")
	}
	if leaf(b, now.AddDate(1, 11, 15)).Equal(first) {
		t.Error("a certificate that ends within the month was kept")
	}
	moved, second := b, leaf(b, now.AddDate(1, 11, 15))
	moved.BMC = &BMC{Address: "10.77.9.99:443"}
	if leaf(moved, now).Equal(second) {
		t.Error("the certificate of another address was kept")
	}
}

// fakeQMP answers commands as QEMU would and records them.
func fakeQMP(t *testing.T, socket string, answer func(command string) string) *[]string {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(`{"QMP": {"version": {}, "capabilities": []}}`))
		in := json.NewDecoder(conn)
		for {
			var request struct {
				Execute   string
				Arguments json.RawMessage
			}
			if in.Decode(&request) != nil {
				return
			}
			seen = append(seen, request.Execute+string(request.Arguments))
			_, _ = conn.Write([]byte(`{"event": "NIC_RX_FILTER_CHANGED"}` + answer(request.Execute)))
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return &seen
}

func TestMonitor(t *testing.T) {
	b := blade(t, loadRack(t, "e2e"), "blade-02")
	socket := filepath.Join(t.TempDir(), "qmp")
	resets := 0
	seen := fakeQMP(t, socket, func(command string) string {
		switch command {
		case "system_reset":
			resets++
			return []string{"", `{"return": {}}{"event": "RESET"}`, `{"event": "RESET"}{"return": {}}`}[resets]
		case "system_powerdown":
			return `{"error": {"class": "GenericError", "desc": "not now"}}`
		}
		return `{"return": {}}`
	})
	monitor, err := dialQMP(context.Background(), socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.setBootIndexes(b, PXE); err != nil {
		t.Error(err)
	}
	for range 2 { // the event comes after the answer, or before it
		if err := monitor.reset(); err != nil {
			t.Error(err)
		}
	}
	if err := monitor.run("system_powerdown", nil); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("refused command: %v", err)
	}
	monitor.Close()
	want := `qmp_capabilities
qom-set{"path":"/machine/peripheral/nic0","property":"bootindex","value":-1}
qom-set{"path":"/machine/peripheral/disk-root","property":"bootindex","value":-1}
qom-set{"path":"/machine/peripheral/nic0","property":"bootindex","value":1}
qom-set{"path":"/machine/peripheral/disk-root","property":"bootindex","value":2}
system_reset
system_reset
system_powerdown`
	if diff := cmp.Diff(want, strings.Join(*seen, "\n")); diff != "" {
		t.Error(diff)
	}
}
