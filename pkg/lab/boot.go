package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Device is what a boot override names.
type Device string

// The devices. None is no override: the firmware's usual order, disk first and then network.
const (
	None     Device = "none"
	PXE      Device = "pxe"
	HTTP     Device = "http"
	HardDisk Device = "disk"
)

// Boot is a blade's boot override. One with Once is used up when the blade is next switched on or reset by its BMC.
type Boot struct {
	Device Device `json:"device"`
	Once   bool   `json:"once"`
}

// readBoot reads an override; none when there is no file.
func readBoot(file string) (Boot, error) {
	boot := Boot{Device: None}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return boot, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &boot)
	}
	if err != nil {
		return Boot{}, fmt.Errorf("read the boot override: %w", err)
	}
	return boot, nil
}

// writeBoot stores an override, so that it survives the daemon as it would survive a BMC's restart.
func writeBoot(file string, boot Boot) error {
	switch boot.Device {
	case None, PXE, HTTP, HardDisk:
	default:
		return fmt.Errorf("boot device %q is not known: use none, pxe, http or disk", boot.Device)
	}
	data, err := json.Marshal(boot)
	if err == nil {
		err = writeFile(file, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("store the boot override: %w", err)
	}
	return nil
}
