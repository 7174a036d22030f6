package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/lab"
)

// asProgram makes the test binary nubo-lab itself, for the daemon and for what ipmi_sim calls.
const asProgram = "NUBO_LAB_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// rig is a rack of its own for one test.
type rig struct {
	*testing.T
	rack, dir string
}

const rackText = `{
  "name": %q,
  "ca": { "certificate": %q, "key": %q },
  "network": { "prov": { "cidr": "10.77.0.0/24" }, "mgmt": { "cidr": "10.77.9.0/24" } },
  "station": {
    "ws":   { "addresses": { "prov": "10.77.0.1/24", "mgmt": "10.77.9.1/24" } },
    "jump": { "addresses": { "prov": "10.77.0.2/24", "mgmt": "10.77.9.2/24" }, "sshd": true },
    "ops":  { "addresses": { "mgmt": "10.77.9.3/24" } }
  },
  "blade": {
    "blade-01": {
      "firmware": "uefi", "vcpus": 1, "memory_mib": 256, "serial": "NUBO-01", "uuid": "4e55424f-0000-4000-8000-000000000001",
      "nic":  { "eth0": { "model": "virtio-net", "mac": "52:54:00:77:00:01", "network": "prov" } },
      "disk": { "root": { "bus": "virtio", "serial": "root-01", "size_gib": 1, "boot": true } },
      "bmc":  { "protocol": "redfish", "address": "10.77.9.11:8443", "user": "admin", "password": "nubo-lab" }
    },
    "blade-02": {
      "firmware": "bios", "vcpus": 1, "memory_mib": 256, "serial": "NUBO-02", "uuid": "4e55424f-0000-4000-8000-000000000002",
      "nic":  { "eth0": { "model": "e1000e", "mac": "52:54:00:77:00:02", "network": "prov" } },
      "disk": {
        "root": { "bus": "ahci", "serial": "root-02", "size_gib": 1, "boot": true },
        "osd":  { "bus": "nvme", "serial": "osd-02", "size_gib": 1 }
      },
      "bmc":  { "protocol": "ipmi", "address": "10.77.9.12:623", "user": "admin", "password": "nubo-lab" }
    }
  }
}`

// newRig writes a rack file; what the test leaves up is taken down.
func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	certs, err := filepath.Abs("../../e2e/lab")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &rig{T: t, rack: filepath.Join(dir, "rack.json"), dir: filepath.Join(dir, "rt")}
	text := fmt.Sprintf(rackText, r.name(), filepath.Join(certs, "ca.pem"), filepath.Join(certs, "ca-key.pem"))
	if err := os.WriteFile(r.rack, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			r.logFiles()
		}
		r.must("down", "--purge")
		r.nothingLeft()
	})
	return r
}

func (r *rig) name() string { return fmt.Sprintf("t%d", os.Getpid()) }

// lab runs one command line of nubo-lab and gives its output, both streams.
func (r *rig) lab(args ...string) (string, error) {
	r.Helper()
	// Not the test's context: that has ended when the cleanup runs.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"--rack", r.rack, "--dir", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *rig) must(args ...string) string {
	r.Helper()
	out, err := r.lab(args...)
	if err != nil {
		r.Fatalf("nubo-lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (r *rig) status() lab.Status {
	r.Helper()
	var s lab.Status
	if err := json.Unmarshal([]byte(r.must("status", "--json")), &s); err != nil {
		r.Fatal(err)
	}
	return s
}

// eventually looks at a condition until it holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.Helper()
	deadline := time.After(10 * time.Minute) // firmware on a busy machine
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			r.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// console is the text that a blade has put on its serial line since it was switched on, without the control sequences.
func (r *rig) console(blade string) string {
	data, err := os.ReadFile(filepath.Join(r.dir, "blades", blade, "serial.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Fatal(err)
	}
	return string(regexp.MustCompile("\x1b\\[[0-9;?=]*[A-Za-z]").ReplaceAll(data, nil))
}

func (r *rig) logFiles() {
	files, _ := filepath.Glob(filepath.Join(r.dir, "logs", "*"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		r.Logf("%s:\n%s", filepath.Base(f), data)
	}
}

// nothingLeft looks for namespaces and processes of the rack.
func (r *rig) nothingLeft() {
	r.Helper()
	namespaces, _ := filepath.Glob("/run/netns/nubo-" + r.name() + "-*")
	if len(namespaces) > 0 {
		r.Errorf("namespaces left: %v", namespaces)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Contains(data, []byte(r.dir)) {
			r.Errorf("process left: %s", bytes.ReplaceAll(data, []byte{0}, []byte{' '}))
		}
	}
}

// redfish sends one request from the workstation and gives the answer's body.
func (r *rig) redfish(method, path, body string) string {
	r.Helper()
	s := r.status()
	return r.must("exec", "--", "curl", "-sS", "--fail-with-body", "--cacert", s.CA, "-u", "admin:nubo-lab", "-X", method,
		"-H", "Content-Type: application/json", "-d", body, "https://10.77.9.11:8443/redfish/v1/Systems/1"+path)
}

func (r *rig) ipmi(args ...string) string {
	r.Helper()
	return r.must(append([]string{"exec", "--", "ipmitool", "-I", "lanplus", "-N", "30", "-C", "3", "-H", "10.77.9.12", "-U", "admin", "-P", "nubo-lab"}, args...)...)
}

func (r *rig) wants(what, got, want string) {
	r.Helper()
	if !strings.Contains(got, want) {
		r.Errorf("%s: %q is not in:\n%s", what, want, got)
	}
}

// A rack comes up, its blades obey their BMCs, and nothing is left of it.
func TestRack(t *testing.T) {
	r := newRig(t)
	r.must("up")
	before := r.status()
	r.must("up")
	if after := r.status(); !after.Up || after.DaemonPID != before.DaemonPID {
		t.Errorf("a second up: %+v, then %+v", before, after)
	}
	for _, b := range before.Blades {
		if b.Power || b.Boot.Device != lab.None {
			t.Errorf("a new blade is not off: %+v", b)
		}
	}
	t.Run("stations", func(t *testing.T) { (&rig{t, r.rack, r.dir}).stations() })
	t.Run("redfish", func(t *testing.T) { (&rig{t, r.rack, r.dir}).redfishBlade() })
	t.Run("ipmi", func(t *testing.T) { (&rig{t, r.rack, r.dir}).ipmiBlade() })
	t.Run("crash", func(t *testing.T) { (&rig{t, r.rack, r.dir}).crash() })
}

// stations: the workstation reaches both networks, ops only the BMCs, and the jump host answers by SSH.
func (r *rig) stations() {
	config := r.status().Stations[slices.IndexFunc(r.status().Stations, func(s lab.StationStatus) bool { return s.SSHConfig != "" })].SSHConfig
	r.wants("jump", r.must("exec", "--no-prov", "--", "ssh", "-F", config, "jump", "ip", "-br", "addr"), "10.77.0.2/24")
	r.must("exec", "--", "ping", "-c", "1", "-W", "5", "10.77.0.2")
	if out, err := r.lab("exec", "--no-prov", "--", "ping", "-c", "1", "-W", "1", "10.77.0.2"); err == nil {
		r.Errorf("ops is on the provisioning network:\n%s", out)
	}
}

func (r *rig) redfishBlade() {
	r.wants("identity", r.redfish("GET", "", ""), `"SerialNumber": "NUBO-01"`)
	r.redfish("PATCH", "", `{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}`)
	r.wants("boot", r.redfish("GET", "", ""), `"BootSourceOverrideTarget": "Pxe"`)
	r.redfish("POST", "/Actions/ComputerSystem.Reset", `{"ResetType":"On"}`)
	system := r.redfish("GET", "", "")
	r.wants("power", system, `"PowerState": "On"`)
	r.wants("the override is used up", system, `"BootSourceOverrideEnabled": "Disabled"`)
	r.eventually("OVMF to start PXE", func() bool { return strings.Contains(r.console("blade-01"), "Start PXE over IPv4") })
	r.redfish("POST", "/Actions/ComputerSystem.Reset", `{"ResetType":"ForceOff"}`)
	r.wants("power", r.redfish("GET", "", ""), `"PowerState": "Off"`)
}

// ipmiBlade also proves that a one-shot override is for one start: a restart that comes from the guest tries the disk first.
func (r *rig) ipmiBlade() {
	r.wants("identity", r.ipmi("fru", "print", "0"), "NUBO-02")
	r.wants("power", r.ipmi("chassis", "power", "status"), "is off")
	r.ipmi("chassis", "bootdev", "pxe")
	r.wants("boot", r.ipmi("chassis", "bootparam", "get", "5"), "Force PXE")
	r.ipmi("chassis", "power", "on")
	r.wants("power", r.ipmi("chassis", "power", "status"), "is on")
	r.wants("the override is used up", r.ipmi("chassis", "bootparam", "get", "5"), "No override")
	r.eventually("iPXE", func() bool { return strings.Contains(r.console("blade-02"), "starting execution") })
	if strings.Contains(r.console("blade-02"), "Hard Disk") {
		r.Error("the disk was tried before the network")
	}
	r.guestReset("blade-02")
	r.eventually("the disk to be tried", func() bool { return strings.Contains(r.console("blade-02"), "Booting from Hard Disk") })
	r.ipmi("chassis", "bootdev", "pxe")
	r.ipmi("chassis", "power", "reset")
	r.wants("the override is used up", r.ipmi("chassis", "bootparam", "get", "5"), "No override")
	r.eventually("iPXE again", func() bool { return strings.Contains(r.console("blade-02"), "starting execution") })
	if strings.Contains(r.console("blade-02"), "Hard Disk") {
		r.Error("the disk was tried before the network, after a reset with an override")
	}
	r.ipmi("chassis", "power", "reset")
	r.eventually("the disk to be tried again", func() bool { return strings.Contains(r.console("blade-02"), "Booting from Hard Disk") })
	r.ipmi("chassis", "power", "off")
	r.wants("power", r.ipmi("chassis", "power", "status"), "is off")
}

// guestReset restarts a blade as its own system would: QEMU does it, and the lab is not asked.
func (r *rig) guestReset(blade string) {
	r.Helper()
	b := r.status().Blades[slices.IndexFunc(r.status().Blades, func(b lab.BladeStatus) bool { return b.Name == blade })]
	socket := strings.TrimSuffix(b.Console, ".console") + ".qmp"
	conn, err := net.Dial("unix", socket)
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	answers := json.NewDecoder(conn)
	for _, command := range []string{"", "qmp_capabilities", "system_reset"} { // it greets first
		if command != "" {
			_, err = fmt.Fprintf(conn, `{"execute":%q}`, command)
		}
		for answered := false; err == nil && !answered; {
			var answer struct{ QMP, Return, Error json.RawMessage }
			if err = answers.Decode(&answer); answer.Error != nil { // and tells of events between
				err = fmt.Errorf("it refuses: %s", answer.Error)
			}
			answered = answer.QMP != nil || answer.Return != nil
		}
		if err != nil {
			r.Fatalf("QEMU's monitor, %q: %v", command, err)
		}
	}
}

// crash: the daemon is killed while a blade runs. The blade runs on, a new daemon knows it, and a process that nobody
// recorded ends with the rack; the cleanup of the test sees to the rest.
func (r *rig) crash() {
	r.must("power", "blade-02", "on")
	before := r.status()
	if err := syscall.Kill(before.DaemonPID, syscall.SIGKILL); err != nil {
		r.Fatal(err)
	}
	r.eventually("the daemon's end", func() bool { return !r.status().Up })
	if !r.status().Blades[1].Power {
		r.Error("the blade ended with the daemon")
	}
	r.must("up")
	if after := r.status(); !after.Blades[1].Power || after.Blades[1].PID != before.Blades[1].PID {
		r.Errorf("the new daemon does not know the blade: %+v", after.Blades[1])
	}
	r.wants("power", r.ipmi("chassis", "power", "status"), "is on")
	if err := syscall.Kill(r.status().DaemonPID, syscall.SIGKILL); err != nil {
		r.Fatal(err)
	}
	stray := exec.Command("ip", "netns", "exec", "nubo-"+r.name()+"-ws", "sleep", "600")
	if err := stray.Start(); err != nil {
		r.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stray.Wait() }()
	r.wants("down", r.must("down"), "left in the namespaces")
	if err := <-ended; err == nil {
		r.Error("the stray process was not ended")
	}
	r.nothingLeft()
}
