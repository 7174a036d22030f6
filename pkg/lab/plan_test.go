package lab

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetworkPlan(t *testing.T) {
	var b strings.Builder
	for _, args := range networkPlan(loadRack(t, "e2e")) {
		b.WriteString("ip " + strings.Join(args, " ") + "\n")
	}
	golden(t, "network", b.String())
}

// Every device must come to be inside a namespace of the rack.
func TestNetworkPlanLeavesTheHostAlone(t *testing.T) {
	rack := loadRack(t, "e2e")
	for _, args := range networkPlan(rack) {
		makesNamespace := args[0] == "netns" && args[1] == "add" && strings.HasPrefix(args[2], "nubo-e2e-")
		if !makesNamespace && (args[0] != "-n" || !strings.HasPrefix(args[1], "nubo-e2e-")) {
			t.Errorf("acts on the host: ip %s", strings.Join(args, " "))
		}
	}
}

func TestQEMUArguments(t *testing.T) {
	rack := loadRack(t, "e2e")
	uefi, bios := blade(t, rack, "blade-01"), blade(t, rack, "blade-02")
	secure := uefi
	secure.Firmware = UEFISecure
	for _, c := range []struct {
		name  string
		blade Blade
		kvm   bool
		first Device
	}{
		{"uefi", uefi, false, None},
		{"uefi-pxe", uefi, true, PXE},
		{"uefi-http", uefi, false, HTTP},
		{"uefi-secure", secure, false, HardDisk},
		{"bios", bios, false, None},
		{"bios-pxe", bios, false, PXE},
	} {
		files := testDirs().files(c.blade, 7)
		golden(t, "qemu-"+c.name, options(qemuArgs(c.blade, launch{Files: files, KVM: c.kvm, First: c.first})))
	}
}

func TestQEMUArgumentsQuoteCommas(t *testing.T) {
	b := blade(t, loadRack(t, "demo"), "blade-01")
	files := Dirs{Runtime: "/a,b", Sockets: "/s"}.files(b, 1)
	args := strings.Join(qemuArgs(b, launch{Files: files}), " ")
	if !strings.Contains(args, "file=/a,,b/blades/blade-01/root.qcow2") || strings.Contains(args, "/a,b") {
		t.Errorf("a comma ends the option: %s", args)
	}
}

func TestIPMIFiles(t *testing.T) {
	b := blade(t, loadRack(t, "e2e"), "blade-02")
	golden(t, "ipmi-lan", ipmiLAN(b, "/run/nubo-lab/0/blade-02.chassis", "127.0.0.1:40001"))
	golden(t, "ipmi-emulation", ipmiEmulation(b))
	golden(t, "ipmi-chassis", chassisScript(b, testDirs(), "/a b/it's/nubo-lab"))
}

func TestFRUChecksums(t *testing.T) {
	data := fru(Blade{Serial: "NUBO-01"})
	if len(data)%8 != 0 || int(data[9])*8 != len(data)-8 {
		t.Fatalf("%d octets, the area says %d", len(data), int(data[9])*8)
	}
	for _, part := range [][]byte{data[:8], data[8:]} {
		if checksum(part) != 0 {
			t.Errorf("sum of % x is not zero", part)
		}
	}
}

func TestSSHDFiles(t *testing.T) {
	addresses := []string{"10.77.9.2", "10.77.0.2"}
	golden(t, "sshd", sshdConfig("/lab/stations/jump", addresses, false))
	golden(t, "ssh", sshConfig("jump", "/lab/stations/jump", addresses))
}

// A socket's path has at most 107 bytes (unix(7)), however deep the checkout lies.
func TestSocketPathsAreShort(t *testing.T) {
	dirs, err := DirsFor(filepath.Join(t.TempDir(), strings.Repeat("deep/", 60)))
	if err != nil {
		t.Fatal(err)
	}
	files := dirs.files(Blade{Name: "twelve-chars"}, 1)
	for _, socket := range []string{files.QMP, files.Line, files.Console, dirs.control()} {
		if len(socket) > 107 {
			t.Errorf("%s has %d bytes", socket, len(socket))
		}
	}
}

func TestBMCAddress(t *testing.T) {
	rack := loadRack(t, "demo")
	addr, network := bmcAddress(rack, rack.Blades[0])
	if addr != netip.MustParsePrefix("10.77.9.11/24") || network != "mgmt" {
		t.Errorf("BMC at %s on %s", addr, network)
	}
}
