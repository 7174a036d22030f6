package installer

import (
	"errors"
	"fmt"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/installer/boot"
	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/installer/disk"
	"github.com/nuboctl/nuboctl/pkg/installer/hostfiles"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// Fault is why an install ended: what was tried, on what, and what came back.
type Fault struct {
	Phase  string
	Tried  string
	Target string
	Wrote  bool // something was written to a disk
	Err    error
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Target == "" {
		return fmt.Sprintf("%s: %v", f.Tried, f.Err)
	}
	return fmt.Sprintf("%s on %s: %v", f.Tried, f.Target, f.Err)
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// remedies say what a person can do, by cause. The first that matches is taken.
var remedies = []struct {
	cause  error
	remedy string
}{
	{order.ErrSignature, "the order was not signed by a key in this ramdisk: build the ramdisk with this cloud's key, or find out who answered"},
	{manifest.ErrSignature, "sign the image with a key that is in this ramdisk"},
	{order.ErrExpired, "plan and apply again"},
	{order.ErrMachine, "compare serial number and MAC addresses in the inventory with this machine"},
	{order.ErrCabling, "correct the cables, or switch and port in the inventory; a switch that does not speak LLDP cannot be asked for with cabling = \"refuse\""},
	{order.ErrMalformed, "use an agent and a nuboctl of the same version"},
	{manifest.ErrChunk, "the image store gives wrong bytes: nuboctl image verify"},
	{disk.ErrNoDisk, "correct root_device in the profile or the node, by the table"},
	{disk.ErrAmbiguous, "make root_device narrower, by the table: a serial number or WWN is best"},
	{disk.ErrForeign, "if nothing on it is needed, name its serial number in the node's consent and plan again"},
	{disk.ErrTooSmall, "choose another disk with root_device, or set a smaller slot_gib"},
	{disk.ErrState, "what the host keeps is on that partition: mend what is said of it; or, if nothing on the disk is needed, wipe its partition table and plan again"},
	{disk.ErrChanged, "find out which disk comes and goes, or who writes to it, then plan again"},
	{disk.ErrUnusable, "free the disk, or choose another with root_device"},
	{hostfiles.ErrUnsupported, "remove these sections from the profile's Butane file"},
	{boot.ErrKernelArg, "change kernel_args in the profile"},
}

// problem is the fault as it is reported.
func (f *Fault) problem(log []string) *order.Problem {
	p := &order.Problem{Phase: f.Phase, Tried: f.Tried, Target: f.Target, Got: f.Err.Error(), Log: log}
	for _, r := range remedies {
		if errors.Is(f.Err, r.cause) {
			p.Remedy = r.remedy
			return p
		}
	}
	var refused *client.RefusedError
	if errors.As(f.Err, &refused) {
		p.Remedy = refused.Said.Remedy
	}
	return p
}
