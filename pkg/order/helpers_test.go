package order_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a value's JSON, indented for the reader, with a file of testdata.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var t0 = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

const nonce = "00112233445566778899aabbccddeeff"

func good() order.Order {
	rotational := false
	return order.Order{
		FormatVersion: 1, ID: "blade-01-00112233", Goal: order.Reinstall, Node: "lab/r1/az1/a/blade-01", Hostname: "blade-01",
		Machine: order.Machine{Serial: "S1", MACs: []string{"52:54:00:77:00:01", "52:54:00:77:00:02"}},
		Nonce:   nonce, IssuedAt: t0, ExpiresAt: t0.Add(4 * time.Hour), MaxAttempts: 3, Epoch: 7,
		Spec: model.DigestBytes([]byte("spec")), Image: model.ImageRef{Name: "debian-13", Digest: model.DigestBytes([]byte("image"))},
		Disks: order.Disks{Root: model.DeviceHints{Serial: "root-*", MinSizeGiB: 10, Rotational: &rotational}, SlotGiB: 4, Consent: []string{"root-01"},
			Unfinished: []string{"ffeeddccbbaa99887766554433221100"}},
		Config: []byte(`{"ignition":{"version":"3.3.0"}}`), KernelArgs: []string{"quiet"},
	}
}

// reports are one of each kind, with every field set.
func reports() map[string]order.Report {
	head := order.Report{FormatVersion: 1, Order: "blade-01-00112233", Boot: "boot-1", Seq: 3, Time: t0.Add(time.Minute)}
	disk := model.Disk{Name: "vda", Serial: "root-01", WWN: "0x5000", Model: "QEMU", Vendor: "ATA", HCTL: "0:0:0:0", SizeBytes: 12 << 30,
		Rotational: true, Transport: "virtio", Signatures: []string{"gpt", "nubo:" + nonce}}
	out := map[string]order.Report{}
	add := func(k order.ReportKind, set func(*order.Report)) {
		r := head
		r.Kind = k
		set(&r)
		out[string(k)] = r
	}
	add(order.ReportFacts, func(r *order.Report) {
		r.Facts = &order.Facts{Serial: "S1", Manufacturer: "QEMU", Product: "Blade", UUID: "u", Firmware: "uefi", BIOSVersion: "1", SecureBoot: true, CPUModel: "TCG", CPUs: 2,
			MemoryMiB: 2048, Disks: []model.Disk{disk}, NICs: []order.FactNIC{{Name: "eth0", MAC: "52:54:00:77:00:01", Driver: "virtio_net", Carrier: true, SpeedMb: 1000, Neighbours: []order.Neighbour{{Switch: "sw", Port: "1", Chassis: "c", PortText: "p", System: "s"}}}}}
	})
	add(order.ReportProgress, func(r *order.Report) {
		r.Progress = &order.Progress{Phase: "image", Text: "chunk 3", Done: 1 << 20, Total: 2 << 20}
	})
	problem := &order.Problem{Phase: "verify", Tried: "choose the root disk", Target: "vda", Got: "it carries ceph-osd", Remedy: "consent to it", Log: []string{"one", "two"}}
	add(order.ReportRefused, func(r *order.Report) { r.Problem = problem })
	add(order.ReportFailed, func(r *order.Report) { r.Problem = problem })
	add(order.ReportInstalled, func(r *order.Report) {
		r.Installed = &order.Installed{Nonce: nonce, RootDisk: disk, Slot: "a", Image: model.DigestBytes([]byte("image")), Config: model.DigestBytes([]byte("config")),
			HostKeys: []string{"ssh-ed25519 AAAA"}, BytesRead: 300 << 20, Attempt: 1}
	})
	return out
}
