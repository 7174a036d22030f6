package bmc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
	"github.com/stmcginnis/gofish"
)

// bootView is what is read of a ComputerSystem, or of its settings resource, to set its boot
// override (ComputerSystem schema, Boot).
type bootView struct {
	Manufacturer string
	Boot         struct {
		Target  string   `json:"BootSourceOverrideTarget"`
		Enabled string   `json:"BootSourceOverrideEnabled"`
		Mode    string   `json:"BootSourceOverrideMode"`
		Allowed []string `json:"BootSourceOverrideTarget@Redfish.AllowableValues"`
	}
	Settings struct {
		Object struct {
			Path string `json:"@odata.id"`
		} `json:"SettingsObject"`
	} `json:"@Redfish.Settings"`
}

// bootTargets are the schema's words for ours.
var bootTargets = map[BootDevice]string{
	BootNone: "None", BootPXE: "Pxe", BootDisk: "Hdd", BootCD: "Cd", BootHTTP: "UefiHttp", BootSetup: "BiosSetup",
}

// bootWish is the override that is to be reached.
type bootWish struct{ target, enabled, mode string }

// held tells whether a resource shows the wish.
func (w bootWish) held(v bootView) bool {
	if w.mode != "" && v.Boot.Mode != "" && v.Boot.Mode != w.mode {
		return false
	}
	if w.enabled == "Disabled" {
		return v.Boot.Enabled == "Disabled" || v.Boot.Target == "None"
	}
	return v.Boot.Target == w.target && v.Boot.Enabled == w.enabled
}

// BootDeviceSet implements bmclib's BootDeviceSetter: the vendor's ways to write it, one after
// the other, until one is read back.
func (d *redfishDriver) BootDeviceSet(ctx context.Context, device string, persistent, efi bool) (ok bool, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var now bootView
		if _, err := get(api, d.system, &now); err != nil {
			return err
		}
		q := quirkOf(now.Manufacturer)
		wish, err := d.wish(BootDevice(device), persistent, now, q)
		if err != nil {
			return err
		}
		return d.writeBoot(ctx, api, wish, now, q)
	})
	return err == nil, err
}

// wish translates, and refuses what the BMC says it does not have.
func (d *redfishDriver) wish(device BootDevice, persistent bool, now bootView, q quirk) (bootWish, error) {
	target, ok := bootTargets[device]
	if !ok {
		return bootWish{}, fault(ErrUnsupported, "Redfish has no boot device %q", device)
	}
	if device == BootCD {
		for _, name := range q.cd {
			if slices.Contains(now.Boot.Allowed, name) {
				target = name
				break
			}
		}
	}
	// Some BMCs leave the list out; then the write will tell.
	if len(now.Boot.Allowed) > 0 && !slices.Contains(now.Boot.Allowed, target) {
		return bootWish{}, fault(ErrUnsupported, "the BMC does not offer boot device %s, only %v", target, now.Boot.Allowed)
	}
	w := bootWish{target: target, enabled: "Once", mode: map[Firmware]string{UEFI: "UEFI", BIOS: "Legacy"}[d.target.Firmware]}
	switch {
	case device == BootNone:
		w.enabled = "Disabled"
	case persistent:
		w.enabled = "Continuous"
	}
	if q.fixedMode && w.mode != "" && now.Boot.Mode != "" && now.Boot.Mode != w.mode {
		return bootWish{}, fault(ErrUnsupported, "the machine boots in %s mode, and its BMC cannot change that with the boot device", now.Boot.Mode).
			advise("set the boot mode in the firmware's settings, or correct firmware in the inventory")
	}
	return w, nil
}

func (d *redfishDriver) writeBoot(ctx context.Context, api *gofish.APIClient, wish bootWish, now bootView, q quirk) error {
	settings := now.Settings.Object.Path
	if settings == "" && q.settings != "" {
		settings = d.system + q.settings
	}
	var refusals []error
	accepted := false
	for _, write := range q.writes {
		path := d.system
		if write.settings {
			path = settings
		}
		if path == "" {
			continue
		}
		err := patch(api, path, map[string]any{"Boot": wish.body(write, now, q)})
		if status := statusOf(err); err != nil && !declined(status) {
			return err
		}
		if err != nil {
			refusals = append(refusals, fmt.Errorf("PATCH %s: %s", path, describe(err)))
			continue
		}
		accepted = true
		held, err := d.bootHeld(ctx, api, wish, path)
		if held || err != nil {
			return err
		}
		refusals = append(refusals, fmt.Errorf("PATCH %s was accepted and not kept", path))
		d.log.Warn("BMC: the boot override was not kept, trying another way", "address", d.addr.String(), "path", path)
	}
	kind := ErrUnsupported
	if accepted {
		kind = ErrReverted
	}
	return fault(kind, "%w", errors.Join(refusals...))
}

// declined tells whether a status means "not in this way", so that another way may do.
func declined(status int) bool {
	return status >= 400 && status < 500 && status != 401 && status != 403 && status != 429
}

// body is the Boot object of one write.
func (w bootWish) body(write bootWrite, now bootView, q quirk) map[string]any {
	body := map[string]any{"BootSourceOverrideEnabled": w.enabled, "BootSourceOverrideTarget": w.target}
	mode := w.mode
	if mode == "" && write.mode {
		mode = now.Boot.Mode
	}
	if mode != "" && !q.fixedMode && (write.mode || mode != now.Boot.Mode) {
		body["BootSourceOverrideMode"] = mode
	}
	return body
}

// bootHeld reads back until the wish shows, in the system or in the resource that was written.
func (d *redfishDriver) bootHeld(ctx context.Context, api *gofish.APIClient, wish bootWish, written string) (bool, error) {
	paths := []string{d.system}
	if written != d.system {
		paths = append(paths, written)
	}
	return settled(ctx, d.target.settle(), func() (bool, error) {
		for _, path := range paths {
			var v bootView
			if _, err := get(api, path, &v); err != nil {
				return false, err
			}
			if wish.held(v) {
				return true, nil
			}
		}
		return false, nil
	})
}

// BootDeviceOverrideGet implements bmclib's BootDeviceOverrideGetter.
func (d *redfishDriver) BootDeviceOverrideGet(ctx context.Context) (o provider.BootDeviceOverride, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var v bootView
		if _, err := get(api, d.system, &v); err != nil {
			return err
		}
		o = overrideOf(v)
		if o.Device != provider.BootDeviceTypeNone {
			return nil
		}
		// Where the override is written to a settings resource, it shows only there.
		q := quirkOf(v.Manufacturer)
		if q.settings == "" {
			return nil
		}
		path := v.Settings.Object.Path
		if path == "" {
			path = d.system + q.settings
		}
		var pending bootView
		if _, err := get(api, path, &pending); err != nil {
			if declined(statusOf(err)) {
				return nil
			}
			return err
		}
		o = overrideOf(pending)
		return nil
	})
	return o, err
}

func overrideOf(v bootView) provider.BootDeviceOverride {
	o := provider.BootDeviceOverride{
		Device: provider.BootDeviceTypeNone, IsPersistent: v.Boot.Enabled == "Continuous", IsEFIBoot: v.Boot.Mode == "UEFI",
	}
	if v.Boot.Enabled == "" || v.Boot.Enabled == "Disabled" || v.Boot.Target == "" {
		return o
	}
	o.Device = provider.BootDeviceType(v.Boot.Target)
	for device, target := range bootTargets {
		if target == v.Boot.Target {
			o.Device = provider.BootDeviceType(device)
		}
	}
	if v.Boot.Target == "UsbCd" {
		o.Device = provider.BootDeviceTypeCDROM
	}
	return o
}
