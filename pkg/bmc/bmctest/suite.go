package bmctest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// want fails the test when err is not of the kind.
func want(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got error %v, want one that is: %v", err, kind)
	}
}

// reads fails the test when the BMC does not tell this state.
func reads(t *testing.T, client bmc.PowerController, state bmc.PowerState) {
	t.Helper()
	got, err := client.Power(bounded(t))
	if err != nil || got != state {
		t.Errorf("Power: %q, %v, want %q", got, err, state)
	}
}

func power(t *testing.T, h Harness) {
	client := open(t, h.Target)
	reads(t, client, bmc.Off)
	for _, state := range []bmc.PowerState{bmc.On, bmc.On, bmc.Off, bmc.Off} {
		if err := client.SetPower(bounded(t), state); err != nil {
			t.Fatalf("SetPower %s: %v", state, err)
		}
		reads(t, client, state)
		if got := h.Power(); got != state {
			t.Errorf("after SetPower %s the machine is %s", state, got)
		}
	}
}

func powerIsAbsolute(t *testing.T, h Harness) {
	client := open(t, h.Target)
	for _, verb := range []bmc.PowerState{"cycle", "reset", "soft", ""} {
		want(t, client.SetPower(bounded(t), verb), bmc.ErrInvalid)
	}
	reads(t, client, bmc.Off)
}

func bootOnce(t *testing.T, h Harness) {
	client := open(t, h.Target)
	for _, device := range []bmc.BootDevice{bmc.BootPXE, bmc.BootDisk, bmc.BootCD, bmc.BootSetup, bmc.BootPXE, bmc.BootNone} {
		if err := client.BootOnce(bounded(t), device); err != nil {
			t.Fatalf("BootOnce %s: %v", device, err)
		}
		got, err := client.BootOverride(bounded(t))
		if err != nil || got.Device != device || got.Persistent {
			t.Errorf("after BootOnce %s: %+v, %v", device, got, err)
		}
	}
	if got := h.Power(); got != bmc.Off {
		t.Errorf("setting the boot device left the machine %s", got)
	}
}

func bootUnknown(t *testing.T, h Harness) {
	client := open(t, h.Target)
	want(t, client.BootOnce(bounded(t), "tape"), bmc.ErrUnsupported)
	got, err := client.BootOverride(bounded(t))
	if err != nil || got.Device != bmc.BootNone {
		t.Errorf("a refused boot device changed the override: %+v, %v", got, err)
	}
}

func identity(t *testing.T, h Harness) {
	h.Target.Expect.Serial = " " + strings.ToLower(h.Identity.Serial)
	got, err := open(t, h.Target).Identity(bounded(t))
	if err != nil || got != h.Identity {
		t.Errorf("Identity: %+v, %v, want %+v", got, err, h.Identity)
	}
}

func anotherSerial(t *testing.T, h Harness) {
	h.Target.Expect.Serial = "ANOTHER"
	err := opening(t, h.Target)
	want(t, err, bmc.ErrIdentity)
	if !strings.Contains(err.Error(), "ANOTHER") || !strings.Contains(err.Error(), h.Identity.Serial) {
		t.Errorf("the error does not name both serial numbers: %v", err)
	}
}

func wrongPassword(t *testing.T, h Harness) {
	h.Target.Credentials.Password = "not-the-password"
	want(t, opening(t, h.Target), bmc.ErrAuth)
}

func wrongUser(t *testing.T, h Harness) {
	h.Target.Credentials.User = "nobody"
	want(t, opening(t, h.Target), bmc.ErrAuth)
}

func unreachable(t *testing.T, h Harness) {
	h.Target.Address = h.Unreachable
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := bmc.Open(ctx, h.Target)
	want(t, err, bmc.ErrUnreachable)
}

// deadline hangs when the driver waits for an answer longer than the context lasts.
func deadline(t *testing.T, h Harness) {
	client := open(t, h.Target)
	h.Faults.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := client.Power(ctx)
	want(t, err, context.DeadlineExceeded)
	want(t, err, bmc.ErrUnreachable)
}

func cancelledBefore(t *testing.T, h Harness) {
	client := open(t, h.Target)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, client.SetPower(ctx, bmc.On), context.Canceled)
	reads(t, client, bmc.Off)
}

func powerReverts(t *testing.T, h Harness) {
	client := open(t, h.Target)
	h.Faults.Revert()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	err := client.SetPower(ctx, bmc.On)
	want(t, err, bmc.ErrReverted)
	var e *bmc.Error
	if !errors.As(err, &e) || !e.Transient() {
		t.Errorf("a switch that is seen not to have happened cannot be asked for again: %v", err)
	}
}

func bootReverts(t *testing.T, h Harness) {
	client := open(t, h.Target)
	h.Faults.Revert()
	want(t, client.BootOnce(bounded(t), bmc.BootPXE), bmc.ErrReverted)
}

func lostReply(t *testing.T, h Harness) {
	if h.Faults.LoseReply == nil {
		return // IPMI's own retransmission hides it.
	}
	client := open(t, h.Target)
	switched := h.Faults.LoseReply()
	if err := client.SetPower(bounded(t), bmc.On); err != nil {
		t.Errorf("SetPower whose reply was lost: %v", err)
	}
	if n := switched(); n != 1 {
		t.Errorf("the machine was switched %d times, want once", n)
	}
}

func usedBySeveral(t *testing.T, h Harness) {
	client := open(t, h.Target)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { reads(t, client, bmc.Off) })
	}
	group.Wait()
}

func sensors(t *testing.T, h Harness) {
	list, err := open(t, h.Target).Sensors(bounded(t))
	if !h.Has.Sensors {
		want(t, err, bmc.ErrUnsupported)
		return
	}
	if err != nil || len(list) == 0 {
		t.Errorf("Sensors: %v, %v", list, err)
	}
	for _, s := range list {
		if s.Name == "" || s.Kind == "" || s.Unit == "" {
			t.Errorf("a sensor lacks its name, kind or unit: %+v", s)
		}
	}
}

func biosSettings(t *testing.T, h Harness) {
	client := open(t, h.Target)
	settings, err := client.BIOSSettings(bounded(t))
	if !h.Has.BIOS {
		want(t, err, bmc.ErrUnsupported)
		want(t, client.SetBIOSSettings(bounded(t), map[string]string{"X": "Y"}), bmc.ErrUnsupported)
		return
	}
	if err != nil || len(settings) == 0 {
		t.Fatalf("BIOSSettings: %v, %v", settings, err)
	}
	want(t, client.SetBIOSSettings(bounded(t), map[string]string{"NoSuchSetting": "1"}), bmc.ErrUnsupported)
	change := map[string]string{}
	for name, value := range settings {
		change[name] = value + "x"
		break
	}
	if err := client.SetBIOSSettings(bounded(t), change); err != nil {
		t.Fatalf("SetBIOSSettings %v: %v", change, err)
	}
	if err := client.SetPower(bounded(t), bmc.On); err != nil {
		t.Fatal(err)
	}
	now, err := client.BIOSSettings(bounded(t))
	for name, value := range change {
		if err != nil || now[name] != value {
			t.Errorf("after a start %s reads %q, %v, want %q", name, now[name], err, value)
		}
	}
}

func virtualMedia(t *testing.T, h Harness) {
	client := open(t, h.Target)
	const image = "http://192.0.2.1/boot.iso"
	if !h.Has.Media {
		want(t, client.InsertMedia(bounded(t), image), bmc.ErrUnsupported)
		return
	}
	for _, url := range []string{image, image, "http://192.0.2.1/other.iso"} {
		if err := client.InsertMedia(bounded(t), url); err != nil {
			t.Fatalf("InsertMedia %s: %v", url, err)
		}
		if m, err := client.Media(bounded(t)); err != nil || m.Image != url || !m.Inserted {
			t.Errorf("after InsertMedia %s: %+v, %v", url, m, err)
		}
	}
	if err := client.EjectMedia(bounded(t)); err != nil {
		t.Fatalf("EjectMedia: %v", err)
	}
	if m, err := client.Media(bounded(t)); err != nil || m.Inserted {
		t.Errorf("after EjectMedia: %+v, %v", m, err)
	}
}
