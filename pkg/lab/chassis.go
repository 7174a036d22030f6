package lab

import (
	"context"
	"fmt"
	"io"
)

// The boot devices as ipmi_sim names them to its script (OpenIPMI, lanserv/bmc_chassis.c); "default" is the IPMI's
// "force boot from default hard-drive".
var (
	ipmiToDevice = map[string]Device{"none": None, "pxe": PXE, "default": HardDisk}
	deviceToIPMI = map[Device]string{None: "none", PXE: "pxe", HTTP: "pxe", HardDisk: "default"}
)

// Chassis answers one call of ipmi_sim's chassis_control program: "get NAME…" prints "NAME:VALUE" lines, "set NAME
// VALUE" acts. A boot device that comes this way counts once, as IPMI's boot flags do unless they say otherwise, which
// ipmi_sim does not tell. The socket is the daemon's.
func Chassis(ctx context.Context, socket, blade string, args []string, out io.Writer) error {
	c := clientAt(socket)
	switch {
	case len(args) >= 2 && args[0] == "get":
		return chassisGet(ctx, c, blade, args[1:], out)
	case len(args) == 3 && args[0] == "set":
		return chassisSet(ctx, c, blade, args[1], args[2])
	}
	return fmt.Errorf("chassis %s: cannot understand %q", blade, args)
}

func chassisGet(ctx context.Context, c *Client, blade string, names []string, out io.Writer) error {
	for _, name := range names {
		var value string
		switch name {
		case "power":
			on, err := c.Power(ctx, blade)
			if err != nil {
				return err
			}
			value = map[bool]string{true: "1", false: "0"}[on]
		case "boot":
			boot, err := c.Boot(ctx, blade)
			if err != nil {
				return err
			}
			value = deviceToIPMI[boot.Device]
		default:
			return fmt.Errorf("chassis %s: cannot get %q", blade, name)
		}
		if _, err := fmt.Fprintf(out, "%s:%s\n", name, value); err != nil {
			return err
		}
	}
	return nil
}

func chassisSet(ctx context.Context, c *Client, blade, name, value string) error {
	switch name {
	case "power":
		return c.SetPower(ctx, blade, value == "1")
	case "boot":
		device, known := ipmiToDevice[value]
		if !known {
			return fmt.Errorf("chassis %s: no boot device %q in this blade", blade, value)
		}
		return c.SetBoot(ctx, blade, Boot{Device: device, Once: device != None})
	case "reset":
		return c.Reset(ctx, blade)
	case "shutdown":
		return c.Shutdown(ctx, blade)
	}
	return fmt.Errorf("chassis %s: cannot set %q", blade, name)
}
