package model

import (
	"fmt"
	"strings"
)

// DeviceHints choose block devices by what they are, never by the kernel's name for them. The fields and their meaning are those of
// Metal3's RootDeviceHints; a string hint may end in "*" to match a prefix, and case makes no difference. All set fields must match.
type DeviceHints struct {
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Model      string `json:"model,omitempty"`
	Vendor     string `json:"vendor,omitempty"`
	HCTL       string `json:"hctl,omitempty"`
	MinSizeGiB int    `json:"min_size_gib,omitempty"`
	MaxSizeGiB int    `json:"max_size_gib,omitempty"`
	Rotational *bool  `json:"rotational,omitempty"`
}

// IsZero reports whether no hint is set: such hints match nothing, they are not a wildcard.
func (h DeviceHints) IsZero() bool { return h == DeviceHints{} }

// String gives the hints for people: "serial=root-01, at least 10 GiB".
func (h DeviceHints) String() string {
	var parts []string
	for _, f := range []struct{ name, value string }{
		{"serial", h.Serial}, {"wwn", h.WWN}, {"model", h.Model}, {"vendor", h.Vendor}, {"hctl", h.HCTL},
	} {
		if f.value != "" {
			parts = append(parts, f.name+"="+f.value)
		}
	}
	if h.MinSizeGiB > 0 {
		parts = append(parts, fmt.Sprintf("at least %d GiB", h.MinSizeGiB))
	}
	if h.MaxSizeGiB > 0 {
		parts = append(parts, fmt.Sprintf("at most %d GiB", h.MaxSizeGiB))
	}
	if h.Rotational != nil {
		parts = append(parts, map[bool]string{true: "rotational", false: "solid state"}[*h.Rotational])
	}
	return strings.Join(parts, ", ")
}

// Disk is a whole block device as seen on a machine.
type Disk struct {
	Name       string   `json:"name"` // the kernel's name today, for messages only
	Serial     string   `json:"serial,omitempty"`
	WWN        string   `json:"wwn,omitempty"`
	Model      string   `json:"model,omitempty"`
	Vendor     string   `json:"vendor,omitempty"`
	HCTL       string   `json:"hctl,omitempty"`
	SizeBytes  int64    `json:"size_bytes"`
	Rotational bool     `json:"rotational"`
	Transport  string   `json:"transport,omitempty"`  // nvme, sata, virtio, …
	Signatures []string `json:"signatures,omitempty"` // what wipefs, LVM and Ceph tags say is on it: "gpt", "ceph-osd", "nubo:<nonce>"
}

// Matches reports whether the disk satisfies every hint that is set. Hints of zero match nothing.
func (h DeviceHints) Matches(d Disk) bool {
	if h.IsZero() {
		return false
	}
	const gib = 1 << 30
	return matchText(h.Serial, d.Serial) && matchText(h.WWN, d.WWN) && matchText(h.Model, d.Model) &&
		matchText(h.Vendor, d.Vendor) && matchText(h.HCTL, d.HCTL) &&
		(h.MinSizeGiB == 0 || d.SizeBytes >= int64(h.MinSizeGiB)*gib) &&
		(h.MaxSizeGiB == 0 || d.SizeBytes <= int64(h.MaxSizeGiB)*gib) &&
		(h.Rotational == nil || *h.Rotational == d.Rotational)
}

func matchText(hint, value string) bool {
	if hint == "" {
		return true
	}
	if prefix, ok := strings.CutSuffix(hint, "*"); ok {
		return len(value) >= len(prefix) && strings.EqualFold(value[:len(prefix)], prefix)
	}
	return strings.EqualFold(hint, value)
}
