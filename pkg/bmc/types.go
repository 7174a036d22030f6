package bmc

import "context"

// PowerState is whether a machine runs.
type PowerState string

// The power states. Off is what nothing can run at: a BMC that says PoweringOff, or PoweringOn,
// is reported as On.
const (
	On  PowerState = "on"
	Off PowerState = "off"
)

// BootDevice is what a machine starts from, in bmclib's words.
type BootDevice string

// The boot devices. Over IPMI there is no BootHTTP.
const (
	BootNone  BootDevice = "none" // no override: the machine's own order
	BootPXE   BootDevice = "pxe"
	BootDisk  BootDevice = "disk"
	BootCD    BootDevice = "cdrom" // also virtual media
	BootHTTP  BootDevice = "uefi_http"
	BootSetup BootDevice = "bios" // the firmware's own menu
)

// Firmware is how a machine boots.
type Firmware string

// The kinds of firmware. Empty in a Target means: do not ask for one, leave what is set.
const (
	UEFI Firmware = "uefi"
	BIOS Firmware = "bios"
)

// BootOverride is the boot override as the BMC reports it.
type BootOverride struct {
	// Device is BootNone when no override is set, and the BMC's own word when it is none of ours.
	Device BootDevice
	// Persistent is true when the override stays until it is removed; false when it is for once.
	Persistent bool
	// UEFI is true when the override asks for UEFI. ipmi_sim, for one, forgets it.
	UEFI bool
}

// Identity says which machine stands behind a BMC. An empty field means that the BMC does not
// tell, or only a filler such as "To be filled by O.E.M.".
type Identity struct {
	// Serial is the number that the machine's own DMI table carries as system serial number.
	Serial string
	// Manufacturer and Model are as the BMC spells them.
	Manufacturer, Model string
	// UUID is the system UUID, lower case. Over IPMI it is not read: BMCs disagree on its byte order.
	UUID string
}

// Sensor is one reading.
type Sensor struct {
	// Name is the BMC's.
	Name string
	// Kind is "temperature", "fan", "power", "voltage" or the BMC's own word.
	Kind string
	// Unit is Cel, RPM, W, V, or the BMC's own word.
	Unit string
	// Value is the reading in Unit.
	Value float64
	// Health is OK, Warning, Critical, or empty when not told.
	Health string
}

// Media is what lies in the virtual CD drive.
type Media struct {
	// Image is the URL of the image; empty when the drive is.
	Image string
	// Inserted tells whether the machine sees it.
	Inserted bool
}

// PowerController switches a machine.
type PowerController interface {
	// Power reads the state.
	Power(ctx context.Context) (PowerState, error)
	// SetPower switches, without asking the machine's system to shut down, and returns when the
	// state can be read back, or with ErrReverted when the context's deadline (without one:
	// five minutes) comes first. A state that already holds is not written.
	SetPower(ctx context.Context, want PowerState) error
}

// BootController chooses what the next start boots from.
type BootController interface {
	// BootOnce sets the override for the next start only and reads it back. BMCs that know no such
	// override have it for always then: BootOverride tells, and the caller removes it with BootNone
	// (or BootDisk, where that is ErrUnsupported or ErrReverted) once the machine has started.
	// Over IPMI the machine should be started soon: some BMCs drop the override after about a minute.
	BootOnce(ctx context.Context, device BootDevice) error
	// BootOverride reads the override.
	BootOverride(ctx context.Context) (BootOverride, error)
}

// Identifier tells which machine this is.
type Identifier interface {
	// Identity reads it from the BMC at each call.
	Identity(ctx context.Context) (Identity, error)
}

// SensorReader reads the sensors.
type SensorReader interface {
	// Sensors lists the readings, sorted by kind and name; those that have no value are left out.
	Sensors(ctx context.Context) ([]Sensor, error)
}

// BIOSController reads and changes the firmware's settings.
type BIOSController interface {
	// BIOSSettings reads the attributes that are in force, as text.
	BIOSSettings(ctx context.Context) (map[string]string, error)
	// SetBIOSSettings asks for a change of some attributes and reads back that it is in force
	// or pending. Pending changes take effect at the next start.
	SetBIOSSettings(ctx context.Context, change map[string]string) error
}

// MediaController works the virtual CD drive.
type MediaController interface {
	// Media reads what is in the drive.
	Media(ctx context.Context) (Media, error)
	// InsertMedia inserts the image at the URL, which the BMC fetches, and reads it back.
	InsertMedia(ctx context.Context, url string) error
	// EjectMedia empties the drive and reads it back.
	EjectMedia(ctx context.Context) error
}

// ConsoleReader reads what a BMC has kept of its machine's serial console.
type ConsoleReader interface {
	// ConsoleLog reads the newest lines, oldest first. Most BMCs keep none: then see RecordConsole.
	ConsoleLog(ctx context.Context) ([]string, error)
}

// Client is one session with one BMC. It may be used by several goroutines; their requests are
// sent one after the other. An operation that the protocol or the BMC does not have is
// ErrUnsupported.
type Client interface {
	PowerController
	BootController
	Identifier
	SensorReader
	BIOSController
	MediaController
	ConsoleReader
	// Close ends the session; the context bounds it. The client is of no use afterwards.
	Close(ctx context.Context) error
}
