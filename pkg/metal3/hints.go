package metal3

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// HintsAnnotation holds, as JSON, the hints of the inventory where Metal3's say less. It belongs to the rootDeviceHints beside it, and means
// nothing once somebody has changed those.
const HintsAnnotation = "nuboctl/root-device"

// Hints are hints in Metal3's words.
type Hints struct {
	Root *v1alpha1.RootDeviceHints
	// Annotation is the value of HintsAnnotation, empty when Root says all.
	Annotation string
	// Warnings tell where Metal3 would choose otherwise than nuboctl.
	Warnings []string
}

// ToHints converts hints. Metal3 compares serial number, WWN and HCTL as a whole, so a prefix ("osd-*") is kept as it is written and matches
// no disk: Metal3 then refuses to write any. Model and vendor are substrings there, a prefix loses its "*". There is no upper limit of size.
func ToHints(h model.DeviceHints) (Hints, error) {
	if h.IsZero() {
		return Hints{}, nil
	}
	out := Hints{Root: &v1alpha1.RootDeviceHints{
		SerialNumber: h.Serial, WWN: h.WWN, HCTL: h.HCTL, Model: strings.TrimSuffix(h.Model, "*"), Vendor: strings.TrimSuffix(h.Vendor, "*"),
		MinSizeGigabytes: h.MinSizeGiB, Rotational: h.Rotational,
	}}
	for _, f := range []struct{ name, value string }{{"serial", h.Serial}, {"wwn", h.WWN}, {"hctl", h.HCTL}} {
		if strings.HasSuffix(f.value, "*") {
			out.Warnings = append(out.Warnings, fmt.Sprintf("root_device %s = %q: Metal3 knows no prefixes here and will find no disk; give the whole value", f.name, f.value))
		}
	}
	if h.MaxSizeGiB != 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("root_device max_size_gib = %d: Metal3 has no upper limit and may choose a larger disk; choose by serial, WWN or model", h.MaxSizeGiB))
	}
	if back := plainHints(*out.Root); !equalHints(back, h) {
		text, err := json.Marshal(h)
		if err != nil {
			return Hints{}, fmt.Errorf("root device hints: %w", err)
		}
		out.Annotation = string(text)
	}
	return out, nil
}

// FromHints converts hints back. annotation is the object's HintsAnnotation, empty when there is none. What nuboctl does not choose disks by
// (the kernel's device name, WWN extensions) is an error: it is never dropped.
func FromHints(r *v1alpha1.RootDeviceHints, annotation string) (model.DeviceHints, error) {
	if r == nil {
		return model.DeviceHints{}, nil
	}
	var errs []error
	for _, f := range []struct{ name, value string }{
		{"deviceName", r.DeviceName}, {"wwnWithExtension", r.WWNWithExtension}, {"wwnVendorExtension", r.WWNVendorExtension},
	} {
		if f.value != "" {
			errs = append(errs, fmt.Errorf("rootDeviceHints.%s = %q: nuboctl does not choose disks by it; use serialNumber, wwn, hctl, model, vendor, size or rotational", f.name, f.value))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return model.DeviceHints{}, err
	}
	if annotation != "" {
		var h model.DeviceHints
		if err := json.Unmarshal([]byte(annotation), &h); err != nil {
			return model.DeviceHints{}, fmt.Errorf("annotation %s: %w", HintsAnnotation, err)
		}
		if again, err := ToHints(h); err == nil && again.Root != nil && equalHints(plainHints(*again.Root), plainHints(*r)) {
			return h, nil
		}
	}
	return plainHints(*r), nil
}

// plainHints are the hints in our words, a substring taken as the whole.
func plainHints(r v1alpha1.RootDeviceHints) model.DeviceHints {
	return model.DeviceHints{Serial: r.SerialNumber, WWN: r.WWN, HCTL: r.HCTL, Model: r.Model, Vendor: r.Vendor, MinSizeGiB: r.MinSizeGigabytes, Rotational: r.Rotational}
}

func equalHints(a, b model.DeviceHints) bool {
	same := (a.Rotational == nil) == (b.Rotational == nil) && (a.Rotational == nil || *a.Rotational == *b.Rotational)
	a.Rotational, b.Rotational = nil, nil
	return same && a == b
}
