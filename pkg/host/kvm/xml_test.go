package kvm

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if that is meant:\n%s", file, diff)
	}
}

func samples() map[string]Domain {
	return map[string]Domain{
		"direct": {
			Name: "guest-1", UUID: "0a0b0c0d-0000-4000-8000-000000000001", VCPUs: 1, MemoryMiB: 128, Autostart: true, Spec: "sha256:0123",
			Kernel: "/var/lib/libvirt/images/vmlinuz", Initrd: "/var/lib/libvirt/images/initrd", Cmdline: "console=ttyS0 a=\"<b>\"",
			NICs: []NIC{{Bridge: "br-ex", MAC: "52:54:00:77:01:01"}}, ConsoleLog: "/var/log/libvirt/guest-1.console",
		},
		"disk": {
			Name: "guest-2", VCPUs: 4, MemoryMiB: 2048, Machine: "pc-q35-10.0", Accelerated: true,
			Disks: []Disk{{Path: "/var/lib/libvirt/images/a.qcow2", Format: "qcow2"}, {Path: "/dev/vg/b", Format: "raw", Block: true}},
			NICs:  []NIC{{Bridge: "br-ex", VLAN: 101, MAC: "52:54:00:77:01:02"}, {Bridge: "br-int", MAC: "52:54:00:77:01:03"}},
		},
	}
}

func TestXML(t *testing.T) {
	for name, d := range samples() {
		t.Run(name, func(t *testing.T) {
			if err := d.Check(); err != nil {
				t.Fatal(err)
			}
			text, err := d.XML()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".xml", text+"\n")
			back, err := Parse(text)
			if err != nil || !back.Ours {
				t.Fatalf("got %+v, %v", back, err)
			}
			back.Autostart = d.Autostart // not in the description
			if left := Diff(back.Domain, d); len(left) != 0 {
				t.Errorf("not the same when read back: %v", left)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	have, want := samples()["direct"], samples()["disk"]
	if left := Diff(have, have); len(left) != 0 {
		t.Errorf("differs from itself: %v", left)
	}
	if left := Diff(have, want); len(left) != 12 {
		t.Errorf("%d differences: %q", len(left), left)
	}
	stored := want
	stored.Machine = "pc-q35-10.0"
	want.Machine = "q35"
	if left := Diff(stored, want); len(left) != 0 {
		t.Errorf("a versioned machine type is drift: %v", left)
	}
}

func TestCheck(t *testing.T) {
	bad := Domain{
		Name: "../x", VCPUs: 0, Initrd: "rel", ConsoleLog: "rel",
		Disks: []Disk{{Path: "rel", Format: "vmdk"}}, NICs: []NIC{{Bridge: "", MAC: "FF:00:00:00:00:00", VLAN: 5000}},
	}
	err := bad.Check()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	golden(t, "mistakes.txt", err.Error()+"\n")
}

func FuzzParse(f *testing.F) {
	for _, d := range samples() {
		text, err := d.XML()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add("<domain/>")
	f.Add("<domain><memory unit='GiB'>1</memory><devices><disk/><interface/></devices></domain>")
	f.Fuzz(func(_ *testing.T, text string) {
		o, err := Parse(text)
		if err == nil {
			Diff(o.Domain, samples()["disk"])
		}
	})
}
