package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/bmc"
	"github.com/nuboctl/nuboctl/pkg/facts"
)

// switchboard is a BMC that refuses some boot devices.
type switchboard struct {
	bmc.Client
	refuses map[bmc.BootDevice]error
	now     bmc.BootOverride
	asked   []bmc.BootDevice
}

func (s *switchboard) BootOnce(_ context.Context, device bmc.BootDevice) error {
	s.asked = append(s.asked, device)
	if err := s.refuses[device]; err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	s.now = bmc.BootOverride{Device: device, Persistent: true}
	return nil
}

func (s *switchboard) BootOverride(context.Context) (bmc.BootOverride, error) { return s.now, nil }

func TestABootFromTheNetworkThatFails(t *testing.T) {
	for _, c := range []struct{ pxe, http, fails error }{
		{bmc.ErrUnsupported, bmc.ErrUnsupported, bmc.ErrUnsupported},
		{bmc.ErrUnsupported, bmc.ErrBusy, bmc.ErrBusy}, // its machine is in POST, for one: that passes
		{bmc.ErrBusy, nil, bmc.ErrBusy},
	} {
		s := &switchboard{refuses: map[bmc.BootDevice]error{bmc.BootPXE: c.pxe, bmc.BootHTTP: c.http}}
		if err := (machine{s}).SetBoot(t.Context(), facts.NetBoot); !errors.Is(err, c.fails) {
			t.Errorf("PXE: %v, HTTP: %v: %v, want %v", c.pxe, c.http, err, c.fails)
		}
	}
}

func TestABootOverrideIsRemovedAsTheBMCCan(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuses map[bmc.BootDevice]error
		asked   []bmc.BootDevice
		fails   error
	}{
		{"none", nil, []bmc.BootDevice{bmc.BootPXE, bmc.BootNone}, nil},
		{"none is not offered", map[bmc.BootDevice]error{bmc.BootNone: bmc.ErrUnsupported}, []bmc.BootDevice{bmc.BootPXE, bmc.BootNone, bmc.BootDisk}, nil},
		{"none is not kept", map[bmc.BootDevice]error{bmc.BootNone: bmc.ErrReverted}, []bmc.BootDevice{bmc.BootPXE, bmc.BootNone, bmc.BootDisk}, nil},
		{"by HTTP only", map[bmc.BootDevice]error{bmc.BootPXE: bmc.ErrUnsupported}, []bmc.BootDevice{bmc.BootPXE, bmc.BootHTTP, bmc.BootNone}, nil},
		{"no answer", map[bmc.BootDevice]error{bmc.BootNone: bmc.ErrUnreachable}, []bmc.BootDevice{bmc.BootPXE, bmc.BootNone}, bmc.ErrUnreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &switchboard{refuses: c.refuses}
			m := machine{s}
			if err := m.SetBoot(t.Context(), facts.NetBoot); err != nil {
				t.Fatal(err)
			}
			if from, err := m.Boot(t.Context()); err != nil || from != facts.NetBoot {
				t.Errorf("for always from the network: %q, %v", from, err)
			}
			if err := m.SetBoot(t.Context(), ""); !errors.Is(err, c.fails) {
				t.Errorf("remove: %v, want %v", err, c.fails)
			}
			if !slices.Equal(s.asked, c.asked) {
				t.Errorf("asked for %v, want %v", s.asked, c.asked)
			}
			if from, err := m.Boot(t.Context()); c.fails == nil && (err != nil || from != "") {
				t.Errorf("removed: %q, %v", from, err)
			}
		})
	}
}

func TestAControllerOfManyMachinesGetsFewSessions(t *testing.T) {
	var m Machines
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	address := func(i int) string { return fmt.Sprintf("redfish://chassis.lab/redfish/v1/Systems/%d", i) }
	var gives []func()
	for i := range perController {
		give, err := m.take(t.Context(), address(i))
		if err != nil {
			t.Fatal(err)
		}
		gives = append(gives, give)
	}
	if _, err := m.take(ended, address(perController)); !errors.Is(err, context.Canceled) {
		t.Errorf("one session too many: %v, want to wait until the context ends", err)
	}
	other, err := m.take(t.Context(), "ipmi://other.lab")
	if err != nil {
		t.Fatal(err)
	}
	other()
	gives[0]()
	if _, err := m.take(ended, address(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a second session with one machine: %v, want to wait until the context ends", err)
	}
	give, err := m.take(t.Context(), address(perController))
	if err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	give()
}
