package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/order"
)

func TestFactsText(t *testing.T) {
	list := []machineFacts{{
		Node: "lab/r1/az1/a/blade-01", At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		Facts: &order.Facts{
			Serial: "NUBO-01", Manufacturer: "nuboctl", Product: "Lab Blade", UUID: "4e55", Firmware: "uefi", BIOSVersion: "2.1", SecureBoot: true,
			CPUModel: "EPYC", CPUs: 2, MemoryMiB: 3072,
			Disks: []model.Disk{{Name: "vda", Serial: "root-01", SizeBytes: 10 << 30, Transport: "virtio"}, {Name: "sda", Serial: "osd-01", Model: "Disk", SizeBytes: 4 << 30, Rotational: true}},
			NICs: []order.FactNIC{
				{Name: "eth0", MAC: "52:54:00:77:00:01", Driver: "virtio_net", Carrier: true, SpeedMb: 10000,
					Neighbours: []order.Neighbour{{Switch: "sw-a1", Port: "Ethernet12", PortText: "to blade-01"}}},
				{Name: "eth1", MAC: "52:54:00:77:00:02", Driver: "e1000e"},
			},
		},
		Cabling: []string{"eth0 is connected to sw-a1/Ethernet12, the inventory says sw-a1/Ethernet13"},
	}}
	const full = `lab/r1/az1/a/blade-01, as of its install at 2026-11-22T10:00:00Z
  machine   nuboctl Lab Blade, serial NUBO-01, UUID 4e55
  firmware  uefi 2.1, Secure Boot
  processor 2 × EPYC
  memory    3.0 GiB
  disk      vda: 10.0 GiB, solid state, serial root-01 virtio
  disk      sda: 4.0 GiB, rotating, serial osd-01 Disk
  card      eth0: 52:54:00:77:00:01, virtio_net, 10000 Mb/s
            connected to sw-a1/Ethernet12 to blade-01
  card      eth1: 52:54:00:77:00:02, e1000e, no link
  note      eth0 is connected to sw-a1/Ethernet12, the inventory says sw-a1/Ethernet13
`
	if diff := cmp.Diff(full, factsText(list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const table = `NODE           SERIAL           MODEL                     CPUS     MEMORY  DISKS  NICS  INSTALLED
blade-01       NUBO-01          nuboctl Lab Blade            2    3.0 GiB      2     2  2026-11-22  cabling differs
`
	if diff := cmp.Diff(table, factsTable(list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
