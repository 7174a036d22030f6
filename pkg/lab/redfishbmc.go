package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

// redfishMachine puts a blade behind the Redfish emulator.
type redfishMachine struct{ *machine }

// The words of the ComputerSystem schema for our devices.
var (
	targetToDevice = map[string]Device{"None": None, "Pxe": PXE, "UefiHttp": HTTP, "Hdd": HardDisk}
	deviceToTarget = map[Device]string{None: "None", PXE: "Pxe", HTTP: "UefiHttp", HardDisk: "Hdd"}
)

func (m redfishMachine) Info() redfish.Info {
	b := m.blade
	info := redfish.Info{
		Serial: b.Serial, UUID: b.UUID, Manufacturer: Manufacturer, Model: Model, BIOSVersion: "lab-" + string(b.Firmware),
		MemoryGiB: b.MemoryMiB / 1024, Processors: 1, Cores: processors(b, haveKVM()),
	}
	for _, n := range b.NICs {
		info.NICs = append(info.NICs, redfish.NIC{Name: n.Name, MAC: n.MAC})
	}
	return info
}

func (m redfishMachine) Power(context.Context) (bool, error) { return m.power(), nil }

// SetPower goes on when the client has gone: a half-started blade helps nobody.
func (m redfishMachine) SetPower(ctx context.Context, on bool) error {
	return m.setPower(context.WithoutCancel(ctx), on)
}

func (m redfishMachine) Boot(context.Context) (redfish.Boot, error) {
	boot, err := m.boot()
	if err != nil {
		return redfish.Boot{}, err
	}
	out := redfish.Boot{Target: deviceToTarget[boot.Device], Enabled: "Continuous", Mode: m.mode()}
	switch {
	case boot.Device == None:
		out.Enabled = "Disabled"
	case boot.Once:
		out.Enabled = "Once"
	}
	return out, nil
}

func (m redfishMachine) SetBoot(_ context.Context, b redfish.Boot) error {
	if b.Mode != "" && b.Mode != m.mode() {
		return fmt.Errorf("%s has %s firmware and cannot boot in mode %s", m.blade.Name, m.blade.Firmware, b.Mode)
	}
	if b.Enabled == "Disabled" {
		return m.setBoot(Boot{Device: None})
	}
	device, known := targetToDevice[b.Target]
	if !known {
		return fmt.Errorf("%s has nothing to boot from for target %s", m.blade.Name, b.Target)
	}
	return m.setBoot(Boot{Device: device, Once: b.Enabled == "Once" && device != None})
}

// mode is the blade's BootSourceOverrideMode, which its firmware fixes.
func (m redfishMachine) mode() string {
	if m.blade.Firmware == BIOS {
		return "Legacy"
	}
	return "UEFI"
}

// consoleKept is how much of its machine's console a Redfish BMC keeps, in bytes.
const consoleKept = 256 << 10

// ConsoleLines implements redfish.ConsoleKeeper: the end of what the blade has printed since it was last switched on.
func (m redfishMachine) ConsoleLines() ([]string, error) {
	f, err := os.Open(m.dirs.SerialLog(m.blade.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-consoleKept), consoleKept))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.ToValidUTF8(string(text), "?"), "\n"), nil
}
