package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// The ways in which a root disk is refused; nothing was written.
var (
	ErrNoDisk    = errors.New("no disk matches the hints")
	ErrAmbiguous = errors.New("more than one disk matches the hints")
	ErrForeign   = errors.New("the disk carries data that the order does not give up")
	ErrUnusable  = errors.New("the disk cannot be written")
	ErrTooSmall  = errors.New("the disk is too small")
	ErrChanged   = errors.New("the disk is not the one that was chosen any more")
)

// Choose returns the one device that satisfies the hints. With none or several the error wraps ErrNoDisk or ErrAmbiguous and holds a
// table of all disks with the reason for each.
func Choose(hints model.DeviceHints, devices []Device) (Device, error) {
	var matching []Device
	for _, d := range devices {
		if hints.Matches(d.Disk) {
			matching = append(matching, d)
		}
	}
	switch len(matching) {
	case 1:
		return matching[0], nil
	case 0:
		return Device{}, fmt.Errorf("%w (%s)\n%s", ErrNoDisk, hints, Table(hints, devices))
	default:
		return Device{}, fmt.Errorf("%w (%s)\n%s", ErrAmbiguous, hints, Table(hints, devices))
	}
}

// Table shows every disk with the hints it does not satisfy, for people.
func Table(hints model.DeviceHints, devices []Device) string {
	if len(devices) == 0 {
		return "this machine has no disks at all: is the storage driver in the ramdisk, is the controller enabled?"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "disk\tserial\tmodel\tGiB\ton it\tverdict")
	for _, d := range devices {
		why := strings.Join(mismatches(hints, d.Disk), "; ")
		if why == "" {
			why = "matches"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\t%s\n", d.Name, dash(d.Serial), dash(d.Model), float64(d.SizeBytes)/(1<<30),
			dash(strings.Join(d.Signatures, ",")), why)
	}
	w.Flush()
	return strings.TrimRight(b.String(), "\n")
}

// mismatches asks for each hint alone, so that the table agrees with DeviceHints.Matches by construction.
func mismatches(h model.DeviceHints, d model.Disk) []string {
	if h.IsZero() {
		return []string{"no hint is set"}
	}
	var why []string
	for _, c := range []struct {
		hint model.DeviceHints
		has  string
	}{
		{model.DeviceHints{Serial: h.Serial}, "serial is " + dash(d.Serial)},
		{model.DeviceHints{WWN: h.WWN}, "WWN is " + dash(d.WWN)},
		{model.DeviceHints{Model: h.Model}, "model is " + dash(d.Model)},
		{model.DeviceHints{Vendor: h.Vendor}, "vendor is " + dash(d.Vendor)},
		{model.DeviceHints{HCTL: h.HCTL}, "HCTL is " + dash(d.HCTL)},
		{model.DeviceHints{MinSizeGiB: h.MinSizeGiB}, "too small"},
		{model.DeviceHints{MaxSizeGiB: h.MaxSizeGiB}, "too large"},
		{model.DeviceHints{Rotational: h.Rotational}, map[bool]string{true: "rotational", false: "solid state"}[d.Rotational]},
	} {
		if !c.hint.IsZero() && !c.hint.Matches(d) {
			why = append(why, c.has)
		}
	}
	return why
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Admit decides whether the chosen disk may be written under an order with this nonce: it is not in use, writable, and either empty, or
// laid down under the same nonce, or named by its serial among the consented ones.
func Admit(d Device, nonce string, consent []string) error {
	switch {
	case d.ReadOnly:
		return fmt.Errorf("%w: %s is read-only", ErrUnusable, d.Name)
	case len(d.InUse) > 0:
		return fmt.Errorf("%w: %s is in use: %s", ErrUnusable, d.Name, strings.Join(d.InUse, ", "))
	case len(d.Signatures) == 0:
		return nil
	case d.Nonce == nonce && !slices.Contains(d.Signatures, SigCeph):
		return nil
	case d.Serial != "" && slices.Contains(consent, d.Serial):
		return nil
	}
	return fmt.Errorf("%w: %s (serial %s) carries %s", ErrForeign, d.Name, dash(d.Serial), strings.Join(d.Signatures, ", "))
}

// Same refuses a later look at a disk that shows another disk under its name, or something else on it. The error wraps ErrChanged.
func (d Device) Same(now Device) error {
	id := func(d Device) string {
		return fmt.Sprintf("%s, serial %s, WWN %s, %d bytes, in use %v, with %v", d.Path, dash(d.Serial), dash(d.WWN), d.SizeBytes, d.InUse, d.Signatures)
	}
	if was, is := id(d), id(now); was != is {
		return fmt.Errorf("%w: it was %s, it is %s", ErrChanged, was, is)
	}
	return nil
}
