package bmc_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/bmc/bmctest"
)

// sim is OpenIPMI's ipmi_sim on loopback, with a script for a machine.
type sim struct {
	dir     string
	port    int
	process *os.Process
	serial  net.Listener // where its Serial-over-LAN connects to
}

// chassisScript is what ipmi_sim calls to read and change the machine: the files power and boot.
// When the file reverts is there, changes are acknowledged and not done.
const chassisScript = `#!/bin/sh
cd %[1]q || exit 1
shift
verb=$1
shift
case $verb in
get)
	for what in "$@"; do echo "$what:$(cat "$what")"; done ;;
set)
	while [ $# -gt 1 ]; do
		if [ ! -e reverts ]; then echo "$2" >"$1"; fi
		shift 2
	done ;;
esac
`

const lanConfig = `name "sim"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 %[1]d
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "%[2]s/chassis 0x20"
%[3]suser 2 true "` + testUser + `" "` + testPassword + `" admin 10 none md2 md5 straight
`

const emuConfig = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
%smc_enable 0x20
`

// fruData is a FRU with a product area (IPMI FRU Information Storage Definition 1.0, 12), as
// ipmi_sim's command.
func fruData(manufacturer, model, serial string) string {
	field := func(s string) []byte { return append([]byte{0xc0 | byte(len(s))}, s...) }
	area := []byte{1, 0, 25}
	for _, s := range []string{manufacturer, model, "PN-1", "1", serial, "", ""} {
		area = append(area, field(s)...)
	}
	area = append(area, 0xc1)
	for len(area)%8 != 7 {
		area = append(area, 0)
	}
	area[1] = byte((len(area) + 1) / 8)
	data := append(checksummed([]byte{1, 0, 0, 0, 1, 0, 0}), checksummed(area)...)
	var text strings.Builder
	fmt.Fprintf(&text, "mc_add_fru_data 0x20 0 %d data", len(data))
	for _, b := range data {
		fmt.Fprintf(&text, " 0x%02x", b)
	}
	return text.String() + "\n"
}

func checksummed(data []byte) []byte {
	var sum byte
	for _, b := range data {
		sum += b
	}
	return append(data, -sum)
}

func startSim(t *testing.T, fru string) *sim {
	t.Helper()
	return startSimWithLine(t, fru, nil)
}

// startSimWithLine is startSim with Serial-over-LAN that connects to a listener, unless that is nil.
func startSimWithLine(t *testing.T, fru string, serial net.Listener) *sim {
	t.Helper()
	program, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Fatalf("ipmi_sim is missing: install the packages in e2e/host-packages: %v", err)
	}
	s := &sim{dir: t.TempDir(), serial: serial}
	for !s.start(t, program, fru) { // somebody else has taken its port meanwhile
	}
	client, err := bmc.Open(t.Context(), s.target())
	if err == nil {
		err = client.Close(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts it on a port of its own and waits until it listens; false when it could not. It says so in its output, and only then.
func (s *sim) start(t *testing.T, program, fru string) bool {
	t.Helper()
	s.port = freeUDPPort(t)
	sol := ""
	if s.serial != nil {
		sol = fmt.Sprintf("sol \"tcp:%s\" 115200\n", s.serial.Addr())
	}
	for name, text := range map[string]string{
		"chassis": fmt.Sprintf(chassisScript, s.dir), "power": "0\n", "boot": "none\n",
		"lan.conf": fmt.Sprintf(lanConfig, s.port, s.dir, sol), "emu.conf": fmt.Sprintf(emuConfig, fru),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "-n", "-c", filepath.Join(s.dir, "lan.conf"), "-f", filepath.Join(s.dir, "emu.conf"), "-s", s.dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("ipmi_sim said:\n%s", &out)
		}
	})
	has := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	var last error
	eventually(t, "ipmi_sim listens", func() bool { return has() || s.listens(&last) }, &last)
	if !has() {
		return true
	}
	if !strings.Contains(out.String(), "in use") {
		t.Fatalf("ipmi_sim ended: %s", &out)
	}
	return false
}

// listens sends an ASF presence ping (IPMI 2.0, 13.2.3). One that comes before there is a listener is lost, and nothing else happens.
func (s *sim) listens(why *error) bool {
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, err = conn.Write([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0})
	}
	if err == nil {
		_, err = conn.Read(make([]byte, 64))
	}
	*why = err
	return err == nil
}

// freeUDPPort finds a port that was free a moment ago.
func freeUDPPort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// target asks for cipher suite 3: Debian's ipmi_sim has no newer one.
func (s *sim) target() bmc.Target {
	return bmc.Target{
		Address:     fmt.Sprintf("ipmi://127.0.0.1:%d?ciphersuite=3", s.port),
		Credentials: bmc.Credentials{User: testUser, Password: testPassword},
		Settle:      500 * time.Millisecond,
	}
}

func (s *sim) power(t *testing.T) bmc.PowerState {
	text, err := os.ReadFile(filepath.Join(s.dir, "power"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(text)) == "1" {
		return bmc.On
	}
	return bmc.Off
}

func (s *sim) harness(t *testing.T) bmctest.Harness {
	return bmctest.Harness{
		Target:      s.target(),
		Unreachable: fmt.Sprintf("ipmi://127.0.0.1:%d", freeUDPPort(t)),
		Identity:    bmc.Identity{Serial: "SER-1", Manufacturer: "Nubo", Model: "Lab"},
		Power:       func() bmc.PowerState { return s.power(t) },
		Faults: bmctest.Faults{
			Silence: func() {
				if err := s.process.Signal(syscall.SIGSTOP); err != nil {
					t.Error(err)
				}
			},
			Revert: func() {
				if err := os.WriteFile(filepath.Join(s.dir, "reverts"), nil, 0o600); err != nil {
					t.Error(err)
				}
			},
		},
	}
}

func TestIPMIConformance(t *testing.T) {
	bmctest.Run(t, func(t *testing.T) bmctest.Harness {
		return startSim(t, fruData("Nubo", "Lab", "SER-1")).harness(t)
	})
}

func TestIPMIWithoutSerialNumber(t *testing.T) {
	target := startSim(t, "").target()
	target.Expect.Serial = "SER-1"
	if _, err := bmc.Open(t.Context(), target); !isKind(err, bmc.ErrIdentity) {
		t.Errorf("a BMC that tells no serial number: %v, want %v", err, bmc.ErrIdentity)
	}
	target.Expect.AllowUnknown = true
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if got, err := client.Identity(t.Context()); err != nil || got.Serial != "" {
		t.Errorf("Identity: %+v, %v, want no serial number", got, err)
	}
}

func TestIPMICipherSuite17IsTheDefault(t *testing.T) {
	target := startSim(t, "").target()
	target.Address = strings.TrimSuffix(target.Address, "?ciphersuite=3")
	_, err := bmc.Open(t.Context(), target)
	if !isKind(err, bmc.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), "ciphersuite=3") {
		t.Errorf("a BMC with suite 3 only: %v, want %v with a remedy", err, bmc.ErrUnsupported)
	}
}

// TestIPMIPasswordIsNoArgument puts a program before ipmitool that writes down its arguments.
func TestIPMIPasswordIsNoArgument(t *testing.T) {
	target := startSim(t, "").target()
	ipmitool, err := exec.LookPath("ipmitool")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	record := filepath.Join(dir, "arguments")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%q\nexec %q \"$@\"\n", record, ipmitool)
	if err := os.WriteFile(filepath.Join(dir, "ipmitool"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	client, err := bmc.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{client.SetPower(t.Context(), bmc.On), client.BootOnce(t.Context(), bmc.BootPXE), client.Close(context.Background())} {
		if err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"power on", "bootdev pxe", "-C 3", "-E"} {
		if !bytes.Contains(text, []byte(must)) {
			t.Errorf("the arguments lack %q:\n%s", must, text)
		}
	}
	if bytes.Contains(text, []byte(testPassword)) {
		t.Error("the password is among the arguments")
	}
}
