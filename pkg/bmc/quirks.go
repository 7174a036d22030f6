package bmc

import (
	"strings"
)

// bootWrite is one way to write a boot override.
type bootWrite struct {
	// settings writes to the system's settings resource instead of to the system.
	settings bool
	// mode repeats BootSourceOverrideMode even where it is not to be changed.
	mode bool
}

// quirk says how one vendor's BMCs take a boot override. The writes are tried in order until
// one is kept.
type quirk struct {
	// vendors are prefixes of Manufacturer, lower case.
	vendors []string
	// writes are the ways to try.
	writes []bootWrite
	// settings is the settings resource, relative to the system, where no annotation names it.
	settings string
	// fixedMode: the mode cannot be written at all, and a write that holds it is refused.
	fixedMode bool
	// serialIsSKU: SerialNumber is the board's, and SKU is what DMI calls the serial number.
	serialIsSKU bool
	// cd are targets that stand for virtual media, the best first.
	cd []string
}

var minimal, withMode, inSettings = bootWrite{}, bootWrite{mode: true}, bootWrite{settings: true}

// quirks is the one table of what vendors do differently. Each row has an exchange in
// testdata/quirks that shows it, with its source.
var quirks = []quirk{
	// HPE refuses a PATCH that names the mode, even unchanged.
	{vendors: []string{"hpe", "hewlett"}, writes: []bootWrite{minimal}, fixedMode: true},
	// Supermicro falls back to its default mode when a PATCH does not name it, and presents
	// virtual media as a USB CD.
	{vendors: []string{"supermicro", "super micro"}, writes: []bootWrite{withMode, minimal}, cd: []string{"UsbCd", "Cd"}},
	// iDRAC 9 takes the override at the system and refuses it at Settings; iDRAC 10 the other
	// way round. The serial number that Dell uses everywhere is the service tag.
	{vendors: []string{"dell"}, writes: []bootWrite{minimal, inSettings}, settings: "/Settings", serialIsSKU: true},
	// ASRock Rack's and other AMI firmware takes it at SD only.
	{vendors: []string{"asrock"}, writes: []bootWrite{inSettings, minimal}, settings: "/SD"},
}

// standard is what the schema says, and what helps most often where that fails.
var standard = quirk{writes: []bootWrite{minimal, withMode, inSettings}}

// quirkOf finds a vendor's row.
func quirkOf(manufacturer string) quirk {
	name := strings.ToLower(strings.TrimSpace(manufacturer))
	for _, q := range quirks {
		for _, vendor := range q.vendors {
			if strings.HasPrefix(name, vendor) {
				return q
			}
		}
	}
	return standard
}
