package bmc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
	"github.com/bmc-toolbox/bmclib/v2/providers/ipmitool"
	hardware "github.com/bmc-toolbox/common"
)

// ipmiDriver is bmclib's ipmitool driver, with errors that have a kind, writes that are read
// back, and the reads that it lacks. Each request is a session of its own, closed by ipmitool.
// It reads no sensors: ipmitool 1.8.19 reports that it erased the sensor repository when it is
// asked to list an empty one, and a read must change nothing.
type ipmiDriver struct {
	*ipmitool.Conn
	target Target
	tool   ipmiTool
	last   error
}

var (
	_ provider.Opener                   = (*ipmiDriver)(nil)
	_ provider.Closer                   = (*ipmiDriver)(nil)
	_ provider.PowerStateGetter         = (*ipmiDriver)(nil)
	_ provider.PowerSetter              = (*ipmiDriver)(nil)
	_ provider.BootDeviceSetter         = (*ipmiDriver)(nil)
	_ provider.BootDeviceOverrideGetter = (*ipmiDriver)(nil)
	_ provider.InventoryGetter          = (*ipmiDriver)(nil)
)

func newIPMIDriver(t Target, a Address) (*ipmiDriver, error) {
	path, err := exec.LookPath("ipmitool")
	if err != nil {
		return nil, fmt.Errorf("IPMI needs the program ipmitool: install the package of that name: %w", err)
	}
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	cipher := fmt.Sprint(a.CipherSuite)
	conn, err := ipmitool.New(host, t.Credentials.User, t.Credentials.Password,
		ipmitool.WithPort(a.Port), ipmitool.WithCipherSuite(cipher), ipmitool.WithIpmitoolPath(path))
	if err != nil {
		return nil, err
	}
	return &ipmiDriver{Conn: conn, target: t, tool: ipmiTool{path: path, addr: a, login: t.Credentials}}, nil
}

func (d *ipmiDriver) lastFault() error { return d.last }

// Open proves the credentials. bmclib's driver would say only that there is no session.
func (d *ipmiDriver) Open(ctx context.Context) error {
	_, err := d.tool.run(ctx, "mc", "info")
	return err
}

// PowerStateGet implements bmclib's PowerStateGetter, in our words.
func (d *ipmiDriver) PowerStateGet(ctx context.Context) (string, error) {
	text, err := d.Conn.PowerStateGet(ctx)
	if err != nil {
		return "", ipmiFault(err)
	}
	state, err := parseChassisPower(text)
	return string(state), err
}

// PowerSet implements bmclib's PowerSetter for on and off.
func (d *ipmiDriver) PowerSet(ctx context.Context, state string) (bool, error) {
	ok, err := d.Conn.PowerSet(ctx, state)
	if err != nil {
		return false, ipmiFault(err)
	}
	return ok, nil
}

// BootDeviceSet implements bmclib's BootDeviceSetter and reads the device back; the UEFI flag
// is sent and not compared, since BMCs forget it and boot in the firmware's mode all the same.
func (d *ipmiDriver) BootDeviceSet(ctx context.Context, device string, persistent, efi bool) (bool, error) {
	if _, known := ipmiBootSelectors[BootDevice(device)]; !known {
		return false, fault(ErrUnsupported, "IPMI has no boot device %q", device)
	}
	d.keepBootFlags(ctx)
	if _, err := d.Conn.BootDeviceSet(ctx, device, persistent, efi); err != nil {
		if err = d.bareBootFlags(ctx, BootDevice(device), persistent, efi, ipmiFault(err)); err != nil {
			return false, err
		}
	}
	var got provider.BootDeviceOverride
	held, err := settled(ctx, d.target.settle(), func() (bool, error) {
		var err error
		got, err = d.BootDeviceOverrideGet(ctx)
		return string(got.Device) == device, err
	})
	if err == nil && !held {
		err = fault(ErrReverted, "the boot device reads %s", got.Device)
	}
	return err == nil, err
}

// keepBootFlags asks the BMC not to drop the boot device by itself when the machine is not started within a minute (IPMI 2.0, table 28-14, parameter 3).
// BMCs need not have it.
func (d *ipmiDriver) keepBootFlags(ctx context.Context) {
	if _, err := d.tool.run(ctx, "raw", "0x00", "0x08", "0x03", "0x08"); err != nil {
		d.target.logger().Info("BMC: it may drop the boot device after a minute", "address", d.tool.addr.String(), "answer", clean(err, d.target.Credentials))
	}
}

// bareBootFlags sets the boot flags and nothing else, where ipmitool gave up: around them it writes two more parameters, set in progress and the
// acknowledgement of who has read them, and takes a BMC's refusal of one for a failure. why is that failure.
func (d *ipmiDriver) bareBootFlags(ctx context.Context, device BootDevice, persistent, efi bool, why *Error) error {
	if !errors.Is(why, ErrUnsupported) && !strings.Contains(why.Error(), "Boot Parameter") {
		return why
	}
	flags := byte(0x80)
	if persistent {
		flags |= 0x40
	}
	if efi {
		flags |= 0x20
	}
	_, err := d.tool.run(ctx, "raw", "0x00", "0x08", "0x05", fmt.Sprintf("%#02x", flags), fmt.Sprintf("%#02x", ipmiBootSelectors[device]<<2), "0x00", "0x00", "0x00")
	if err != nil {
		return fault(ErrUnsupported, "%w; the boot flags alone: %w", why.Cause, err)
	}
	return nil
}

// BootDeviceOverrideGet implements bmclib's BootDeviceOverrideGetter.
func (d *ipmiDriver) BootDeviceOverrideGet(ctx context.Context) (o provider.BootDeviceOverride, err error) {
	defer func() { d.last = err }()
	text, err := d.tool.run(ctx, "chassis", "bootparam", "get", "5")
	if err != nil {
		return o, err
	}
	return parseBootFlags(text)
}

// Inventory implements bmclib's InventoryGetter: the product area of FRU 0. A BMC without one
// has an identity with empty fields.
func (d *ipmiDriver) Inventory(ctx context.Context) (*hardware.Device, error) {
	text, err := d.tool.run(ctx, "fru", "print", "0")
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	fru := parseFRU(text)
	return &hardware.Device{Common: hardware.Common{
		Vendor: fru["Product Manufacturer"], Model: fru["Product Name"], Serial: fru["Product Serial"],
	}}, nil
}
