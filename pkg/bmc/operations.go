package bmc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
)

// Power implements PowerController.
func (c *client) Power(ctx context.Context) (state PowerState, err error) {
	err = c.retry(ctx, "read power", func(ctx context.Context) error {
		word, err := c.lib.GetPowerState(ctx)
		state = PowerState(word)
		return err
	})
	return state, err
}

// SetPower implements PowerController.
func (c *client) SetPower(ctx context.Context, want PowerState) error {
	op := "switch power " + string(want)
	if want != On && want != Off {
		return c.wrap(op, fault(ErrInvalid, "there is no power state %q, only on and off", want))
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, powerTime)
		defer cancel()
	}
	if now, err := c.Power(ctx); err != nil || now == want {
		return err
	}
	// The reply to a write may be lost after the work was done: each try looks first, and does not act blindly.
	err := c.retry(ctx, op, func(ctx context.Context) error {
		now, err := c.lib.GetPowerState(ctx)
		if err != nil || PowerState(now) == want {
			return err
		}
		_, err = c.lib.SetPowerState(ctx, string(want))
		return err
	})
	if err != nil {
		return err
	}
	last, asked := PowerState(""), time.Now()
	reached, err := until(ctx, 0, func() (bool, error) {
		state, err := c.Power(ctx)
		if err == nil {
			last = state
		}
		if err == nil && state != want && time.Since(asked) >= c.target.repeat() {
			c.switchAgain(ctx, op, want)
			asked = time.Now()
		}
		return state == want, err
	})
	if err != nil || reached {
		return err
	}
	said := ""
	if d, ok := c.driver.(interface{ lastWords() string }); ok {
		said = d.lastWords()
	}
	return c.wrap(op, &Error{Kind: ErrReverted, again: true, Cause: fmt.Errorf("power still reads %s when the time was up%s: %w", last, said, ctx.Err())})
}

// switchAgain asks once more for a state that does not come: some BMCs take a switch that follows closely upon another, and drop it. What the power reads decides, so
// that a refusal is no failure: the machine may be on its way.
func (c *client) switchAgain(ctx context.Context, op string, want PowerState) {
	err := c.call(ctx, op, func(ctx context.Context) error {
		_, err := c.lib.SetPowerState(ctx, string(want))
		return err
	})
	c.log.Warn("BMC: the machine has not followed, asked once more", "op", op, "address", c.addr.String(), "error", err)
}

// BootOnce implements BootController.
func (c *client) BootOnce(ctx context.Context, device BootDevice) error {
	return c.retry(ctx, "set boot device "+string(device), func(ctx context.Context) error {
		_, err := c.lib.SetBootDevice(ctx, string(device), false, c.target.Firmware == UEFI)
		return err
	})
}

// BootNetworkOnce is BootOnce by PXE, or by HTTP where the BMC does not offer PXE. Its error is that of PXE where it offers neither.
func BootNetworkOnce(ctx context.Context, c BootController) error {
	err := c.BootOnce(ctx, BootPXE)
	if !errors.Is(err, ErrUnsupported) {
		return err
	}
	if byHTTP := c.BootOnce(ctx, BootHTTP); !errors.Is(byHTTP, ErrUnsupported) {
		return byHTTP
	}
	return err
}

// BootOverride implements BootController.
func (c *client) BootOverride(ctx context.Context) (o BootOverride, err error) {
	err = c.retry(ctx, "read boot override", func(ctx context.Context) error {
		got, err := c.lib.GetBootDeviceOverride(ctx)
		o = BootOverride{Device: BootDevice(got.Device), Persistent: got.IsPersistent, UEFI: got.IsEFIBoot}
		// bmclib says only that it failed, and keeps the driver's error to itself.
		if d, ok := c.driver.(interface{ lastFault() error }); ok && err != nil {
			return errors.Join(d.lastFault(), err)
		}
		return err
	})
	return o, err
}

// Identity implements Identifier.
func (c *client) Identity(ctx context.Context) (id Identity, err error) {
	err = c.retry(ctx, "read identity", func(ctx context.Context) error {
		device, err := c.lib.Inventory(ctx)
		if err != nil {
			return err
		}
		id = Identity{
			Serial: known(device.Serial), Manufacturer: known(device.Vendor), Model: known(device.Model),
			UUID: strings.ToLower(known(device.Metadata["uuid"])),
		}
		return nil
	})
	return id, err
}

// fillers are what vendors leave in fields that nobody filled in.
var fillers = []string{"to be filled by o.e.m.", "to be filled by o.e.m", "default string", "not specified", "not available", "not applicable", "not provided", "none", "n/a", "na", "null",
	"unknown", "empty", "blank", "oem", "o.e.m.", "invalid", "serial number", "system serial number", "chassis serial number", "0123456789", "123456789", "1234567890"}

// known is a field's value, or nothing when it is a filler, or of signs that fill, as 0000 and XXXX.
func known(value string) string {
	value = strings.TrimSpace(value)
	if slices.Contains(fillers, strings.ToLower(value)) || strings.Trim(value, "0xX-.*") == "" {
		return ""
	}
	return value
}

// Sensors implements SensorReader.
func (c *client) Sensors(ctx context.Context) (list []Sensor, err error) {
	const op = "read sensors"
	reader, ok := c.driver.(interface {
		sensors(context.Context) ([]Sensor, error)
	})
	if !ok {
		return nil, c.lacks(op)
	}
	err = c.retry(ctx, op, func(ctx context.Context) error {
		list, err = reader.sensors(ctx)
		return err
	})
	slices.SortStableFunc(list, func(a, b Sensor) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list, err
}

// BIOSSettings implements BIOSController.
func (c *client) BIOSSettings(ctx context.Context) (settings map[string]string, err error) {
	const op = "read BIOS settings"
	if _, ok := c.driver.(provider.BiosConfigurationGetter); !ok {
		return nil, c.lacks(op)
	}
	err = c.retry(ctx, op, func(ctx context.Context) error {
		settings, err = c.lib.GetBiosConfiguration(ctx)
		return err
	})
	return settings, err
}

// SetBIOSSettings implements BIOSController.
func (c *client) SetBIOSSettings(ctx context.Context, change map[string]string) error {
	const op = "change BIOS settings"
	if _, ok := c.driver.(provider.BiosConfigurationSetter); !ok {
		return c.lacks(op)
	}
	return c.retry(ctx, op, func(ctx context.Context) error { return c.lib.SetBiosConfiguration(ctx, change) })
}

// Media implements MediaController.
func (c *client) Media(ctx context.Context) (m Media, err error) {
	const op = "read virtual media"
	reader, ok := c.driver.(interface {
		media(context.Context) (Media, error)
	})
	if !ok {
		return m, c.lacks(op)
	}
	err = c.retry(ctx, op, func(ctx context.Context) error {
		m, err = reader.media(ctx)
		return err
	})
	return m, err
}

// InsertMedia implements MediaController.
func (c *client) InsertMedia(ctx context.Context, url string) error {
	const op = "insert virtual media"
	if url == "" {
		return c.wrap(op, fault(ErrInvalid, "the URL of the image is empty"))
	}
	return c.setMedia(ctx, op, url)
}

// EjectMedia implements MediaController.
func (c *client) EjectMedia(ctx context.Context) error {
	return c.setMedia(ctx, "eject virtual media", "")
}

func (c *client) setMedia(ctx context.Context, op, url string) error {
	if _, ok := c.driver.(provider.VirtualMediaSetter); !ok {
		return c.lacks(op)
	}
	return c.retry(ctx, op, func(ctx context.Context) error {
		_, err := c.lib.SetVirtualMedia(ctx, "CD", url)
		return err
	})
}
