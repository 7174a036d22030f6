package ovs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// uplinked is what the test's host starts with.
func uplinked() ovs.Spec {
	return ovs.Spec{Bridges: []ovs.BridgeSpec{{Name: "br-ex", Datapath: "netdev", Ports: []ovs.PortSpec{{Name: "eth0"}}}}}
}

func guard(link *remote.Link, window time.Duration) ovs.Guard {
	return ovs.Guard{ID: "test", Window: window, Reconnect: ovs.Fresh(link)}
}

// TestOpenVSwitch changes a real Open vSwitch over an SSH connection that goes through the very bridge.
func TestOpenVSwitch(t *testing.T) {
	box := hosttest.New(t)
	link := box.Link(t)
	driver := ovs.Driver{Dir: box.Dir + "/undo"}
	observe := func(t *testing.T) ovs.State {
		t.Helper()
		state, err := driver.Observe(t.Context(), box.Local())
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	t.Run("nothing to do", func(t *testing.T) {
		out, err := driver.Ensure(t.Context(), link, uplinked(), guard(link, 5*time.Minute))
		if err != nil || len(out.Changes) != 0 || out.After.SystemID != "box" {
			t.Errorf("got %+v, %v", out, err)
		}
	})
	full := uplinked()
	full.Bridges[0].HWAddr = "52:54:00:77:00:01"
	full.Bridges[0].Ports = append(full.Bridges[0].Ports,
		ovs.PortSpec{Name: "storage", Internal: true, Tag: 101, MTU: 1400},
		ovs.PortSpec{Name: "trunk", Internal: true, Trunks: []int{7, 5}})
	full.Bridges = append(full.Bridges, ovs.BridgeSpec{Name: "br-int", Datapath: "netdev", MTU: 1450})
	t.Run("change and confirm", func(t *testing.T) {
		out, err := driver.Ensure(t.Context(), link, full, guard(link, 5*time.Minute))
		if err != nil || len(out.Changes) == 0 {
			t.Fatalf("got %+v, %v", out, err)
		}
		if again := ovs.Diff(observe(t), full); len(again) != 0 {
			t.Errorf("still to do: %v", again)
		}
		if shown := box.Must(t, "ovs-vsctl", "--timeout=60", "get", "Port", "storage", "tag"); shown != "101\n" {
			t.Errorf("ovs-vsctl shows tag %q", shown)
		}
	})
	t.Run("drift by hand", func(t *testing.T) {
		box.Must(t, "ovs-vsctl", "--timeout=60", "set", "Port", "storage", "tag=102", "--", "--may-exist", "add-port", "br-ex", "stray",
			"--", "set", "Interface", "stray", "type=internal", "--", "add-port", "br-ex", "vnet0",
			"--", "set", "Interface", "vnet0", "type=internal", "external_ids:iface-id=vm1")
		out, err := driver.Ensure(t.Context(), link, full, guard(link, 5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"- port stray from br-ex", "~ storage: tag 102 → 101"}
		if diff := cmp.Diff(want, texts(out.Changes)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if !strings.Contains(box.Must(t, "ovs-vsctl", "--timeout=60", "list-ports", "br-ex"), "vnet0") {
			t.Error("the port of a virtual machine was removed")
		}
	})
	t.Run("an MTU that nobody asked for", func(t *testing.T) {
		box.Must(t, "ovs-vsctl", "--timeout=60", "set", "Interface", "trunk", "mtu_request=1300")
		out, err := driver.Ensure(t.Context(), link, full, guard(link, 5*time.Minute))
		if diff := cmp.Diff([]string{"~ trunk: mtu_request 1300 → 1500"}, texts(out.Changes)); err != nil || diff != "" {
			t.Errorf("%v, changes (-want +got):\n%s", err, diff)
		}
	})
	t.Run("backups", func(t *testing.T) {
		names, err := driver.Backups(t.Context(), link)
		if err != nil || len(names) != 3 {
			t.Fatalf("after three changes: %v, %v", names, err)
		}
		if err := driver.Restore(t.Context(), link, "backup-1.db", guard(link, 5*time.Minute)); !errors.Is(err, ovs.ErrNoBackup) {
			t.Errorf("got %v, want ErrNoBackup", err)
		}
		// The newest is from before the last change: the MTU is as it was set by hand.
		if err := driver.Restore(t.Context(), link, names[0], guard(link, 5*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if shown := box.Must(t, "ovs-vsctl", "--timeout=60", "get", "Interface", "trunk", "mtu_request"); shown != "1300\n" {
			t.Errorf("restored, the MTU request is %q", shown)
		}
		if _, err := driver.Ensure(t.Context(), link, full, guard(link, 5*time.Minute)); err != nil {
			t.Error(err)
		}
	})
	before := observe(t)
	t.Run("bond of missing cards", func(t *testing.T) {
		bad := full
		bad.Bridges = append([]ovs.BridgeSpec{}, full.Bridges...)
		bad.Bridges[1].Ports = []ovs.PortSpec{{Name: "bond0", BondMode: "active-backup", Members: []string{"no1", "no2"}}}
		_, err := driver.Ensure(t.Context(), link, bad, guard(link, 5*time.Minute))
		if !errors.Is(err, ovs.ErrUndone) || !strings.Contains(err.Error(), "no1") {
			t.Errorf("got %v, want ErrUndone that names the card", err)
		}
		same(t, before, observe(t))
	})
	t.Run("proof fails", func(t *testing.T) {
		g := guard(link, 5*time.Minute)
		g.Prove = func(context.Context, remote.Host) error { return errors.New("gateway does not answer") }
		_, err := driver.Ensure(t.Context(), link, uplinked(), g)
		if !errors.Is(err, ovs.ErrUndone) || !strings.Contains(err.Error(), "gateway") {
			t.Errorf("got %v", err)
		}
		same(t, before, observe(t))
	})
	t.Run("no undo, no change", func(t *testing.T) {
		box.BreakTimers(t)
		if _, err := driver.Ensure(t.Context(), link, uplinked(), guard(link, 5*time.Minute)); !errors.Is(err, ovs.ErrNoUndo) {
			t.Errorf("got %v, want ErrNoUndo", err)
		}
		same(t, before, observe(t))
	})
	t.Run("a run that died unconfirmed", func(t *testing.T) {
		if _, err := driver.Arm(t.Context(), link, "dead-run", 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		box.Must(t, "ovs-vsctl", "--timeout=60", "set", "Port", "storage", "tag=103")
		other := full
		other.Bridges = append([]ovs.BridgeSpec{}, full.Bridges...)
		other.Bridges[0].Ports = append([]ovs.PortSpec{}, full.Bridges[0].Ports...)
		other.Bridges[0].Ports[1].Tag = 103 // as the dead run wanted
		out, err := driver.Ensure(t.Context(), link, other, guard(link, 5*time.Minute))
		if err != nil || len(out.Settled) != 1 || len(out.Changes) != 1 {
			t.Errorf("got settled %v, changes %v, %v", out.Settled, out.Changes, err)
		}
		if again, err := driver.Settle(t.Context(), link); err != nil || len(again) != 0 {
			t.Errorf("still unconfirmed: %v, %v", again, err)
		}
		if _, err := driver.Ensure(t.Context(), link, full, guard(link, 5*time.Minute)); err != nil {
			t.Error(err)
		}
	})
	t.Run("cut off and back", func(t *testing.T) {
		cut := full
		cut.Bridges = append([]ovs.BridgeSpec{}, full.Bridges...)
		cut.Bridges[0].Ports = cut.Bridges[0].Ports[1:] // without the uplink
		_, err := driver.Ensure(t.Context(), link, cut, guard(link, 15*time.Second))
		if !errors.Is(err, ovs.ErrUnproven) {
			t.Errorf("got %v, want ErrUnproven", err)
		}
		remotetest.Eventually(t.Context(), t, "the host undoes the change", func() bool {
			return len(ovs.Diff(observe(t), full)) == 0
		})
		link.Drop() // the old connection may take a while to find out that its packets arrive again
		if _, err := link.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Errorf("the host is still cut off: %v", err)
		}
	})
}

func texts(changes []ovs.Change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.String()
	}
	return out
}

// same compares what is configured. An internal port that was taken away and put back has a new MAC address.
func same(t *testing.T, before, after ovs.State) {
	t.Helper()
	// A bridge's MTU follows the least of its ports' a moment later.
	moving := []cmp.Option{cmpopts.IgnoreFields(ovs.Interface{}, "MAC", "MTU", "Link"), cmpopts.IgnoreFields(ovs.Bridge{}, "MTU")}
	if diff := cmp.Diff(before, after, moving...); diff != "" {
		t.Errorf("the host is not as before (-before +after):\n%s", diff)
	}
}
