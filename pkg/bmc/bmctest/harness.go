// Package bmctest is the one suite that every driver of package bmc passes, each against a real
// peer: Redfish against the lab's emulator over TLS, IPMI against OpenIPMI's ipmi_sim.
package bmctest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/bmc"
)

// Harness is one machine behind one BMC, made for one test. At the start the machine is off and
// has no boot override.
type Harness struct {
	// Target opens the BMC. Its Expect is empty and its Settle is short.
	Target bmc.Target
	// Unreachable is an address of the same kind where nothing listens.
	Unreachable string
	// Identity is what the BMC is to tell.
	Identity bmc.Identity
	// Power tells whether the machine runs, not by the BMC's way.
	Power func() bmc.PowerState
	// Has tells which of the optional operations there are.
	Has Optional
	// Faults make the BMC misbehave.
	Faults Faults
}

// Optional are operations that some protocols do not have.
type Optional struct{ Sensors, BIOS, Media bool }

// Faults are what a BMC can be made to do until the end of the test; nil where its peer cannot.
type Faults struct {
	// Silence lets it take requests and not answer any more.
	Silence func()
	// Revert lets it acknowledge writes and not do them.
	Revert func()
	// LoseReply lets it do the next write and not answer it. It returns how often the machine
	// has been started or stopped so far.
	LoseReply func() (switched func() int)
}

// Run runs the suite; start makes the machine of one test.
func Run(t *testing.T, start func(*testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"power", power},
		{"power is absolute", powerIsAbsolute},
		{"boot once", bootOnce},
		{"boot device that there is not", bootUnknown},
		{"identity", identity},
		{"another serial number", anotherSerial},
		{"wrong password", wrongPassword},
		{"wrong user", wrongUser},
		{"unreachable", unreachable},
		{"deadline", deadline},
		{"cancelled before", cancelledBefore},
		{"power reverts", powerReverts},
		{"boot reverts", bootReverts},
		{"lost reply", lostReply},
		{"used by several", usedBySeveral},
		{"sensors", sensors},
		{"BIOS settings", biosSettings},
		{"virtual media", virtualMedia},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, start(t)) })
	}
}

// patience bounds what is to succeed, so that a fault of the driver is a failure and not a hang.
const patience = time.Minute

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens the target and closes it at the end.
func open(t *testing.T, target bmc.Target) bmc.Client {
	t.Helper()
	client, err := bmc.Open(bounded(t), target)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		// A BMC that was made to fail may refuse this as well.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Logf("Close: %v", err)
		}
	})
	return client
}

// opening expects Open to fail and checks what every failure holds.
func opening(t *testing.T, target bmc.Target) error {
	t.Helper()
	client, err := bmc.Open(bounded(t), target)
	if err == nil {
		_ = client.Close(bounded(t))
		t.Fatal("Open succeeded")
	}
	if text := err.Error(); strings.Contains(text, target.Credentials.Password) || !strings.Contains(text, "(") {
		t.Errorf("the error holds the password or no remedy: %v", err)
	}
	return err
}
