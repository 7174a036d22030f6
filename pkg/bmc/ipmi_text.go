package bmc

import (
	"encoding/hex"
	"strings"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
)

// ipmiBootSelectors are the boot device selectors of IPMI 2.0, table 28-14, parameter 5.
var ipmiBootSelectors = map[BootDevice]byte{
	BootNone: 0x0, BootPXE: 0x1, BootDisk: 0x2, BootCD: 0x5, BootSetup: 0x6,
}

// parseChassisPower reads `ipmitool chassis power status`.
func parseChassisPower(text string) (PowerState, error) {
	switch {
	case strings.Contains(text, "Chassis Power is on"):
		return On, nil
	case strings.Contains(text, "Chassis Power is off"):
		return Off, nil
	}
	return "", fault(ErrUnreachable, "ipmitool told no power state: %q", text)
}

// parseBootFlags reads `ipmitool chassis bootparam get 5`: the five data bytes of the boot
// flags. The bit that says the flags are valid is not asked for: ipmi_sim and some BMCs never
// set it.
func parseBootFlags(text string) (provider.BootDeviceOverride, error) {
	const label = "Boot parameter data: "
	for line := range strings.Lines(text) {
		digits, ok := strings.CutPrefix(strings.TrimSpace(line), label)
		if !ok {
			continue
		}
		data, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil || len(data) < 2 {
			break
		}
		return bootFlags(data[0], data[1]), nil
	}
	return provider.BootDeviceOverride{}, fault(ErrUnreachable, "ipmitool told no boot flags: %q", text)
}

// bootFlags decodes the first two data bytes (IPMI 2.0, table 28-14): bit 6 of the first is
// persistence, bit 5 UEFI; bits 5 to 2 of the second are the device.
func bootFlags(first, second byte) provider.BootDeviceOverride {
	o := provider.BootDeviceOverride{IsPersistent: first&0x40 != 0, IsEFIBoot: first&0x20 != 0, Device: "other"}
	selector := second >> 2 & 0xf
	for device, code := range ipmiBootSelectors {
		if code == selector {
			o.Device = provider.BootDeviceType(device)
		}
	}
	return o
}

// parseFRU reads `ipmitool fru print 0`: lines of "name : value".
func parseFRU(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && fields[name] == "" {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields
}
