package disk

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference\ngot:\n%s", path, got)
	}
}

const testNonce = "00112233445566778899aabbccddeeff"

func device(name, serial string, sizeGiB int64, signatures ...string) Device {
	return Device{Path: "/dev/" + name, Disk: model.Disk{Name: name, Serial: serial, Model: "QEMU", SizeBytes: sizeGiB << 30, Signatures: signatures}}
}

func TestChoose(t *testing.T) {
	rotational := true
	spinning := device("sda", "disk-9", 4000)
	spinning.Rotational = true
	all := []Device{device("vda", "root-01", 12), device("vdb", "osd-01", 20, "LVM2_member", SigCeph), device("vdc", "osd-02", 20), spinning}
	for _, c := range []struct {
		name  string
		hints model.DeviceHints
		want  string
		err   error
	}{
		{"serial", model.DeviceHints{Serial: "root-01"}, "vda", nil},
		{"serial in other case", model.DeviceHints{Serial: "ROOT-01"}, "vda", nil},
		{"prefix and size", model.DeviceHints{Serial: "osd-0*", MinSizeGiB: 10}, "", ErrAmbiguous},
		{"size range", model.DeviceHints{MaxSizeGiB: 15}, "vda", nil},
		{"rotational", model.DeviceHints{Rotational: &rotational}, "sda", nil},
		{"no such serial", model.DeviceHints{Serial: "nvme-1"}, "", ErrNoDisk},
		{"no hint is no wildcard", model.DeviceHints{}, "", ErrNoDisk},
		{"right serial, too small", model.DeviceHints{Serial: "root-01", MinSizeGiB: 100}, "", ErrNoDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(c.hints, all)
			if !errors.Is(err, c.err) || got.Name != c.want {
				t.Fatalf("got %q, %v; want %q, %v", got.Name, err, c.want, c.err)
			}
			if err == nil {
				return
			}
			for _, d := range all {
				if !strings.Contains(err.Error(), d.Name) {
					t.Errorf("the refusal does not show %s:\n%v", d.Name, err)
				}
			}
		})
	}
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", Table(model.DeviceHints{Serial: "root-02", MinSizeGiB: 16}, []Device{
		device("vda", "root-01", 12), device("vdb", "", 20, "gpt", "ext4"), device("vdc", "root-02", 20),
	})+"\n")
	if got := Table(model.DeviceHints{Serial: "x"}, nil); !strings.Contains(got, "no disks at all") {
		t.Errorf("table without disks: %q", got)
	}
}

// Whatever the hints and disks, a chosen disk matches, it is the only one, and every other has a reason in the table.
func TestChooseAgreesWithMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"", "a", "b", "a*"})
		hints := model.DeviceHints{Serial: names.Draw(t, "serial"), Model: names.Draw(t, "model"), MinSizeGiB: rapid.IntRange(0, 3).Draw(t, "min")}
		var devices []Device
		for range rapid.IntRange(0, 4).Draw(t, "disks") {
			d := device("vd"+string(rune('a'+len(devices))), names.Draw(t, "s"), int64(rapid.IntRange(1, 4).Draw(t, "size")))
			d.Model = names.Draw(t, "m")
			devices = append(devices, d)
		}
		n := 0
		for _, d := range devices {
			matches := hints.Matches(d.Disk)
			if matches {
				n++
			}
			if matches != (len(mismatches(hints, d.Disk)) == 0) {
				t.Fatalf("%+v against %+v: matches %v, reasons %v", hints, d.Disk, matches, mismatches(hints, d.Disk))
			}
		}
		if _, err := Choose(hints, devices); (err == nil) != (n == 1) {
			t.Fatalf("%d match, got %v", n, err)
		}
	})
}

func TestAdmit(t *testing.T) {
	ours := device("vda", "root-01", 12, "nubo:"+testNonce, "gpt", "ext4")
	ours.Nonce = testNonce
	other := device("vda", "root-01", 12, "nubo:ffff", "gpt")
	other.Nonce = "ffff"
	readOnly := device("vda", "root-01", 12)
	readOnly.ReadOnly = true
	busy := device("vda", "root-01", 12)
	busy.InUse = []string{"/mnt"}
	nameless := device("vda", "", 12, "ext4")
	tagged := ours
	tagged.Signatures = append([]string{SigCeph}, ours.Signatures...)
	for _, c := range []struct {
		name    string
		d       Device
		consent []string
		want    error
	}{
		{"empty", device("vda", "root-01", 12), nil, nil},
		{"this order's own", ours, nil, nil},
		{"another order's", other, nil, ErrForeign},
		{"another order's, consented", other, []string{"root-01"}, nil},
		{"Ceph's", device("vda", "osd-01", 12, "LVM2_member", SigCeph), nil, ErrForeign},
		{"Ceph's, consented", device("vda", "osd-01", 12, "LVM2_member", SigCeph), []string{"osd-01"}, nil},
		{"Ceph's under our own table", tagged, nil, ErrForeign},
		{"a bare table", device("vda", "x", 12, "gpt"), nil, ErrForeign},
		{"consent to another", device("vda", "x", 12, "gpt"), []string{"y"}, ErrForeign},
		{"consent to no serial is none", nameless, []string{""}, ErrForeign},
		{"read-only", readOnly, []string{"root-01"}, ErrUnusable},
		{"in use, consented", busy, []string{"root-01"}, ErrUnusable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Admit(c.d, testNonce, c.consent); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
