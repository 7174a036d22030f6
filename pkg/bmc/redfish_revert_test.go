package bmc_test

import (
	"net/http"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/lab/redfish"
)

func TestWritesThatAreNotKept(t *testing.T) {
	p := startPeer(t, redfish.Options{})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	p.setFault(func(r *http.Request) redfish.Fault { return redfish.Fault{Revert: write(r)} })
	for what, err := range map[string]error{
		"SetBIOSSettings": client.SetBIOSSettings(t.Context(), map[string]string{"BootMode": "Bios"}),
		"InsertMedia":     client.InsertMedia(t.Context(), "http://192.0.2.1/x.iso"),
	} {
		if !isKind(err, bmc.ErrReverted) {
			t.Errorf("%s: %v, want %v", what, err, bmc.ErrReverted)
		}
	}
}

func TestBIOSSettingsKeepTheirType(t *testing.T) {
	p := startPeer(t, redfish.Options{BIOS: map[string]any{"Watchdog": 10.0, "Sriov": false, "Mode": "Uefi"}})
	client, err := bmc.Open(t.Context(), p.target())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	change := map[string]string{"Watchdog": "20.5", "Sriov": "true", "Mode": "Uefi"}
	if err := client.SetBIOSSettings(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if err := client.SetPower(t.Context(), bmc.On); err != nil {
		t.Fatal(err)
	}
	got, err := client.BIOSSettings(t.Context())
	if err != nil || got["Watchdog"] != "20.5" || got["Sriov"] != "true" || got["Mode"] != "Uefi" {
		t.Errorf("BIOSSettings: %v, %v, want %v", got, err, change)
	}
	if err := client.SetBIOSSettings(t.Context(), map[string]string{"Watchdog": "soon"}); !isKind(err, bmc.ErrInvalid) {
		t.Errorf("a word for a number: %v, want %v", err, bmc.ErrInvalid)
	}
}
