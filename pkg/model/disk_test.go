package model_test

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

func TestDeviceHints(t *testing.T) {
	yes, no := true, false
	d := model.Disk{Name: "sda", Serial: "root-01", WWN: "0x5000C500", Model: "QEMU HARDDISK", Vendor: "ATA", HCTL: "0:0:0:0", SizeBytes: 10 << 30, Rotational: true}
	for _, tc := range []struct {
		name string
		h    model.DeviceHints
		d    model.Disk
		want bool
	}{
		{"no hint matches nothing", model.DeviceHints{}, d, false},
		{"serial", model.DeviceHints{Serial: "root-01"}, d, true},
		{"serial in another case", model.DeviceHints{Serial: "ROOT-01"}, d, true},
		{"part of a serial", model.DeviceHints{Serial: "root"}, d, false},
		{"prefix", model.DeviceHints{Serial: "root-*"}, d, true},
		{"prefix in another case", model.DeviceHints{WWN: "0x5000c5*"}, d, true},
		{"prefix that is the whole", model.DeviceHints{Serial: "root-01*"}, d, true},
		{"longer prefix", model.DeviceHints{Serial: "root-011*"}, d, false},
		{"prefix of another", model.DeviceHints{Serial: "osd-*"}, d, false},
		{"serial of a disk that tells none", model.DeviceHints{Serial: "root-01"}, model.Disk{}, false},
		{"model", model.DeviceHints{Model: "QEMU*"}, d, true},
		{"vendor", model.DeviceHints{Vendor: "ata"}, d, true},
		{"another vendor", model.DeviceHints{Vendor: "WD"}, d, false},
		{"hctl", model.DeviceHints{HCTL: "0:0:0:0"}, d, true},
		{"large enough", model.DeviceHints{MinSizeGiB: 10}, d, true},
		{"one byte short", model.DeviceHints{MinSizeGiB: 10}, model.Disk{SizeBytes: 10<<30 - 1}, false},
		{"small enough", model.DeviceHints{MaxSizeGiB: 10}, d, true},
		{"one byte too large", model.DeviceHints{MaxSizeGiB: 10}, model.Disk{SizeBytes: 10<<30 + 1}, false},
		{"rotational", model.DeviceHints{Rotational: &yes}, d, true},
		{"not rotational", model.DeviceHints{Rotational: &no}, d, false},
		{"all of them", model.DeviceHints{Serial: "root-*", Model: "QEMU HARDDISK", MinSizeGiB: 5, Rotational: &yes}, d, true},
		{"all but one", model.DeviceHints{Serial: "root-*", Model: "QEMU HARDDISK", MinSizeGiB: 50, Rotational: &yes}, d, false},
	} {
		if got := tc.h.Matches(tc.d); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestHintsForPeople(t *testing.T) {
	no := false
	h := model.DeviceHints{Serial: "root-*", MinSizeGiB: 10, MaxSizeGiB: 20, Rotational: &no}
	if got := h.String(); got != "serial=root-*, at least 10 GiB, at most 20 GiB, solid state" {
		t.Error(got)
	}
	if got := (model.DeviceHints{}).String(); got != "" {
		t.Error(got)
	}
}

func TestDigest(t *testing.T) {
	d := model.DigestBytes([]byte("x"))
	if !d.Valid() || d.Short() != d.Hex()[:12] || len(d.Hex()) != 64 || !strings.HasPrefix(string(d), "sha256:") {
		t.Errorf("got %q", d)
	}
	for _, bad := range []model.Digest{"", "sha256:", model.Digest(d.Hex()), d + "0", d[:70], model.Digest("sha256:" + strings.ToUpper(d.Hex())), model.Digest("sha512:" + d.Hex()), model.Digest("sha256:" + strings.Repeat("g", 64))} {
		if bad.Valid() {
			t.Errorf("%q is taken for a digest", bad)
		}
	}
	if model.Digest("").Short() != "" || model.Digest("sha256:12").Short() != "12" {
		t.Error("short digests of what is none")
	}
	if model.DigestJSON(map[string]int{"a": 1, "b": 2}) != model.DigestJSON(map[string]int{"b": 2, "a": 1}) {
		t.Error("the order of a map's keys makes a difference")
	}
	if model.DigestJSON([]int{1, 2}) == model.DigestJSON([]int{2, 1}) {
		t.Error("the order of a list makes none")
	}
}
