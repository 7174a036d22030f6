package bmc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
	"github.com/stmcginnis/gofish"
)

// bootView is what is read of a ComputerSystem, or of its settings resource, to set its boot
// override (ComputerSystem schema, Boot).
type bootView struct {
	Manufacturer word
	Boot         struct {
		Target  word  `json:"BootSourceOverrideTarget"`
		Enabled word  `json:"BootSourceOverrideEnabled"`
		Mode    maybe `json:"BootSourceOverrideMode"`
		URI     word  `json:"HttpBootUri"`
		Allowed words `json:"BootSourceOverrideTarget@Redfish.AllowableValues"`
		Lengths words `json:"BootSourceOverrideEnabled@Redfish.AllowableValues"`
	}
	Settings struct{ SettingsObject link } `json:"@Redfish.Settings"`
}

// bootTargets are the schema's words for ours.
var bootTargets = map[BootDevice]string{
	BootNone: "None", BootPXE: "Pxe", BootDisk: "Hdd", BootCD: "Cd", BootHTTP: "UefiHttp", BootSetup: "BiosSetup",
}

// bootWish is the override that is to be reached.
type bootWish struct{ target, enabled, mode string }

// How long an override holds (ComputerSystem schema, BootSourceOverrideEnabled).
const once, always, disabled = "Once", "Continuous", "Disabled"

// held tells whether a resource shows the wish.
func (w bootWish) held(v bootView) bool {
	if w.otherMode(v) {
		return false
	}
	if w.enabled == disabled {
		return v.Boot.Enabled == disabled || v.Boot.Target == "None"
	}
	// Some BMCs show the device, and not for how long.
	return string(v.Boot.Target) == w.target && (string(v.Boot.Enabled) == w.enabled || v.Boot.Enabled == "")
}

// heldAlways tells whether a BMC that was asked for once has the device for always: some know nothing else, sushy-tools among them.
func (w bootWish) heldAlways(v bootView) bool {
	return w.enabled == once && v.Boot.Enabled == always && bootWish{target: w.target, enabled: always, mode: w.mode}.held(v)
}

// BootDeviceSet implements bmclib's BootDeviceSetter: the vendor's ways to write it, one after
// the other, until one is read back.
func (d *redfishDriver) BootDeviceSet(ctx context.Context, device string, persistent, efi bool) (ok bool, err error) {
	err = d.do(ctx, func(api *gofish.APIClient) error {
		var now bootView
		if _, err := get(api, d.system, &now); err != nil {
			return err
		}
		q := quirkOf(string(now.Manufacturer))
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
	// Some BMCs leave the list out; then the write will tell. An override that is switched off needs no target.
	if len(now.Boot.Allowed) > 0 && !slices.Contains(now.Boot.Allowed, target) {
		if device != BootNone {
			return bootWish{}, fault(ErrUnsupported, "the BMC does not offer boot device %s, only %v", target, now.Boot.Allowed)
		}
		target = ""
	}
	w := bootWish{target: target, enabled: once, mode: map[Firmware]string{UEFI: "UEFI", BIOS: "Legacy"}[d.target.Firmware]}
	switch {
	case device == BootNone:
		w.enabled = disabled
	case persistent, len(now.Boot.Lengths) > 0 && !slices.Contains(now.Boot.Lengths, once) && slices.Contains(now.Boot.Lengths, always):
		w.enabled = always
	}
	if q.fixedMode && w.otherMode(now) {
		return bootWish{}, fault(ErrUnsupported, "the machine boots in %s mode, and its BMC cannot change that with the boot device", now.Boot.Mode.text).advise("%s", modeRemedy)
	}
	return w, nil
}

func (d *redfishDriver) writeBoot(ctx context.Context, api *gofish.APIClient, wish bootWish, now bootView, q quirk) error {
	settings := string(now.Settings.SettingsObject)
	if settings == "" && q.settings != "" {
		settings = strings.TrimRight(d.system, "/") + q.settings
	}
	var refusals []error
	accepted, conflict, otherMode := false, false, false
	var tried []bootTry
	ways := q.writes
	if wish.target == "" {
		ways = ways[:1] // None is not offered: one way is enough to see that the override cannot be removed
	}
	for _, write := range ways {
		path := d.system
		if write.settings {
			path = settings
		}
		try := bootTry{path: path, body: wish.body(write, now, q)}
		if path == "" || slices.ContainsFunc(tried, try.same) {
			continue
		}
		tried = append(tried, try)
		watch, err := patch(api, path, map[string]any{"Boot": try.body})
		if err == nil {
			err = d.await(ctx, api, watch)
		}
		if err != nil {
			f := d.fault(err)
			if !errors.Is(f.Kind, ErrUnsupported) {
				return f
			}
			conflict = conflict || statusOf(err) == http.StatusConflict
			refusals = append(refusals, f.Cause)
			continue
		}
		accepted = true
		seen, reads, err := d.bootHeld(ctx, api, wish, now, path)
		if seen || err != nil {
			return err
		}
		refusals = append(refusals, fmt.Errorf("PATCH %s was accepted and not kept: it reads %s%s", path, reads, d.lastWords()))
		otherMode = wish.otherMode(reads)
		d.log.Warn("BMC: the boot override was not kept, trying another way", "address", d.addr.String(), "path", path)
	}
	why := errors.Join(refusals...)
	switch {
	case accepted && otherMode:
		return fault(ErrReverted, "%w", why).advise("%s", modeRemedy)
	case accepted:
		return fault(ErrReverted, "%w", why)
	case conflict: // it would, in another state of the machine than it is in now
		return fault(ErrBusy, "%w", why).advise("the BMC takes it in another state of the machine: wait until that has started, or switch it off first")
	case wish.otherMode(now):
		return fault(ErrUnsupported, "%w", why).advise("the machine boots in %s mode now: %s", now.Boot.Mode.text, modeRemedy)
	}
	return fault(ErrUnsupported, "%w", why)
}

const modeRemedy = "set the boot mode in the firmware's settings, or correct firmware in the inventory"

// bootTry is one write of a boot override.
type bootTry struct {
	path string
	body map[string]any
}

func (t bootTry) same(other bootTry) bool {
	return t.path == other.path && maps.Equal(t.body, other.body)
}

// declined tells whether a status means "not in this way", so that another way may do.
func declined(status int) bool {
	return status >= 400 && status < 500 && status != 401 && status != 403 && status != 429
}

// body is the Boot object of one write.
func (w bootWish) body(write bootWrite, now bootView, q quirk) map[string]any {
	body := map[string]any{"BootSourceOverrideEnabled": w.enabled}
	if w.target != "" {
		body["BootSourceOverrideTarget"] = w.target
	}
	mode := w.mode
	if mode == "" && write.mode {
		mode = string(now.Boot.Mode.text)
	}
	// A BMC that does not have the property refuses all that stands beside it.
	if mode != "" && now.Boot.Mode.told && !q.fixedMode && (write.mode || mode != string(now.Boot.Mode.text)) {
		body["BootSourceOverrideMode"] = mode
	}
	if w.target == bootTargets[BootHTTP] && now.Boot.URI != "" {
		body["HttpBootUri"] = nil // what DHCP says counts, and not what somebody has left there
	}
	return body
}

// otherMode tells whether the wish is for another mode than the one that is set.
func (w bootWish) otherMode(now bootView) bool {
	return w.mode != "" && now.Boot.Mode.text != "" && string(now.Boot.Mode.text) != w.mode
}

// bootHeld reads back until the wish shows, in the system or in the resource that was written. A device that came to be set for always where it was
// asked for once is what such a BMC can do; where it was so before, the BMC has until the end to show something else.
func (d *redfishDriver) bootHeld(ctx context.Context, api *gofish.APIClient, wish bootWish, before bootView, written string) (held bool, reads bootView, err error) {
	paths := []string{d.system}
	if written != d.system {
		paths = append(paths, written)
	}
	kept := false
	seen, err := settled(ctx, d.target.settle(), func() (bool, error) {
		kept = false
		for _, path := range paths {
			var v bootView
			if _, err := get(api, path, &v); err != nil {
				if path != d.system && declined(statusOf(err)) {
					continue // it takes what is written, and cannot be read
				}
				return false, d.fault(err)
			}
			if path == d.system {
				reads = v
			}
			if wish.held(v) {
				return true, nil
			}
			kept = kept || wish.heldAlways(v)
		}
		return kept && !wish.heldAlways(before), nil
	})
	if kept && err == nil {
		d.log.Warn("BMC: it keeps the boot device for always and not for once", "address", d.addr.String(), "device", wish.target)
	}
	return seen || kept, reads, err
}

// String is the override in the schema's words.
func (v bootView) String() string {
	return fmt.Sprintf("%s, %s, %s", cmp.Or(v.Boot.Target, "no target"), cmp.Or(v.Boot.Enabled, "not for how long"), cmp.Or(v.Boot.Mode.text, "no mode"))
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
		q := quirkOf(string(v.Manufacturer))
		if q.settings == "" {
			return nil
		}
		path := string(v.Settings.SettingsObject)
		if path == "" {
			path = strings.TrimRight(d.system, "/") + q.settings
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
		Device: provider.BootDeviceTypeNone, IsPersistent: v.Boot.Enabled == always, IsEFIBoot: v.Boot.Mode.text == "UEFI",
	}
	if v.Boot.Enabled == disabled || v.Boot.Target == "" {
		return o
	}
	o.Device = provider.BootDeviceType(v.Boot.Target)
	for device, target := range bootTargets {
		if target == string(v.Boot.Target) {
			o.Device = provider.BootDeviceType(device)
		}
	}
	if v.Boot.Target == "UsbCd" {
		o.Device = provider.BootDeviceTypeCDROM
	}
	return o
}
