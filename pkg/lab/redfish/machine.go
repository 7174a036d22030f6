package redfish

import "context"

// Machine is what stands behind the service: a QEMU process in the lab, a Memory in tests.
// Calls come from several goroutines at once. A method returns when its effect can be read back;
// an error is answered to the client as an internal error.
type Machine interface {
	// Info describes the hardware. It must be the same at each call, but for sensors.
	Info() Info
	// Power tells whether the machine is switched on.
	Power(ctx context.Context) (on bool, err error)
	// SetPower switches the machine on, or off at once (no shutdown of its system).
	// Setting the state that already holds does nothing.
	SetPower(ctx context.Context, on bool) error
	// Boot tells the boot override as it is now. A machine that has used up a Once override
	// reports it as Disabled.
	Boot(ctx context.Context) (Boot, error)
	// SetBoot replaces the boot override; it takes effect at the next start.
	SetBoot(ctx context.Context, b Boot) error
}

// MediaHolder is what a Machine implements as well when it has a virtual CD drive.
// Without it the service accepts media and nobody sees them.
type MediaHolder interface {
	// SetMedia inserts the image at the URL, or ejects what is there when the URL is empty.
	SetMedia(ctx context.Context, url string) error
}

// Info is the description of a machine that clients read.
type Info struct {
	// ID is the last element of the system's path; "1" when empty.
	ID string
	// Serial, UUID, Manufacturer, Model and BIOSVersion appear as they are.
	Serial, UUID, Manufacturer, Model, BIOSVersion string
	// MemoryGiB is the installed memory in GiB.
	MemoryGiB int
	// Processors counts sockets, Cores counts cores over all sockets.
	Processors, Cores int
	// NICs are the host's interfaces, in slot order.
	NICs []NIC
	// Sensors are readings of the enclosure; a plausible set is made up when nil.
	Sensors []Sensor
}

// NIC is a network interface of the host.
type NIC struct {
	// Name becomes the resource's Id, for example "NIC1".
	Name string
	// MAC is the address in colon notation.
	MAC string
}

// Sensor is one reading of the enclosure.
type Sensor struct {
	// Name becomes the resource's Id and Name.
	Name string
	// Kind is a ReadingType of the Sensor schema: Temperature, Rotational, Power or Voltage.
	Kind string
	// Unit is the UCUM unit of the schema: Cel, RPM, W or V.
	Unit string
	// Reading is the value in Unit.
	Reading float64
}

// Boot is the boot override of a ComputerSystem, in the words of its schema.
type Boot struct {
	// Target is a BootSourceOverrideTarget: None, Pxe, Hdd, Cd, UefiHttp or BiosSetup.
	Target string
	// Enabled is a BootSourceOverrideEnabled: Disabled, Once or Continuous.
	Enabled string
	// Mode is a BootSourceOverrideMode: UEFI or Legacy.
	Mode string
}
