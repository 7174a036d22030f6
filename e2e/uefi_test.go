//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// uefiBlade: blade-01 has UEFI firmware and a Redfish BMC, and the workstation stands on its network.
func uefiBlade(t *testing.T, r *rack.Rack, c *rack.Cloud) {
	r.Explain(t, []string{"blade-01"})
	h := host{Cloud: c, name: "blade-01", address: "10.77.0.11"}
	file := filepath.Join(c.Dir, "first.nubo")
	step(t, "plan", func(t *testing.T) {
		ctx := rack.Within(t, 3*time.Minute)
		holds(t, c.Expect(ctx, t, 2, "plan", "--detailed-exitcode", "-o", file).Stdout, "blade-01", "hello")
		holds(t, c.Expect(ctx, t, 0, "show", file).Stdout, "blade-01")
		c.Expect(ctx, t, 0, "verify", file)
	})
	step(t, "apply alone", func(t *testing.T) { applyAlone(t, c, file) })
	t.Run("debian", func(t *testing.T) { h.isDebian(t, "uefi") })
	t.Run("bridge", h.hasBridge)
	t.Run("virtual machine", h.runsHello)
	t.Run("host key known before", func(t *testing.T) { knownBefore(t, h) })
	t.Run("journal", func(t *testing.T) {
		holds(t, c.Expect(rack.Within(t, oneCommand), t, 0, "journal", "--verify").Stdout, "The journal is whole")
	})
	t.Run("no changes", h.asPlanned)
	step(t, "a finished plan does nothing again", func(t *testing.T) { finishedPlan(t, h, file) })
	t.Run("drift is seen and repaired", func(t *testing.T) { drift(t, h) })
	step(t, "survives a reboot", func(t *testing.T) {
		keys := h.hostKeys(t)
		h.reboot(t, 15*time.Minute)
		h.hasBridge(t)
		h.runsHello(t)
		if now := h.hostKeys(t); now != keys {
			t.Errorf("the host's key was %s and is %s", keys, now)
		}
		h.asPlanned(t)
	})
	t.Run("slots", func(t *testing.T) { slots(t, h) })
	r.SetPower(t, "blade-01", "off")
}

// applyAlone carries the plan out. Meanwhile a second apply is turned away with the name of the first, and status answers.
func applyAlone(t *testing.T, c *rack.Cloud, file string) {
	apply := c.Begin(t, "apply", file)
	ctx := rack.Within(t, 2*time.Minute)
	rack.Eventually(ctx, t, "status to show the apply that goes on", func() error {
		if apply.Ended() {
			t.Fatalf("apply has ended:\n%s", apply.Stderr())
		}
		run := c.Expect(ctx, t, 0, "status")
		if !strings.Contains(run.Stdout, "nuboctl apply is at work") || !strings.Contains(run.Stdout, "blade-01") {
			return fmt.Errorf("it says %q", run.Stdout)
		}
		return nil
	})
	second := c.Expect(ctx, t, 4, "apply", "--yes")
	holds(t, second.All(), fmt.Sprintf("process %d", apply.PID()), "nuboctl apply", "since")
	run := apply.Wait(rack.Within(t, 25*time.Minute), t)
	if run.Code != 0 {
		t.Fatalf("apply: exit %d\n%s", run.Code, run.All())
	}
	c.Figures(rack.Within(t, oneCommand), t, "uefi")
	rack.Figure(t, "uefi apply", run.Took)
}

// knownBefore: ssh is told to believe in the key that the install reported, and in no other.
func knownBefore(t *testing.T, h host) {
	h.ssh(t, "true")
	config, err := os.ReadFile(filepath.Join(h.State, "ssh", "config"))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, string(config), "StrictHostKeyChecking yes")
	known, err := os.ReadFile(filepath.Join(h.State, "ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(h.hostKeys(t)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.Contains(string(known), f[2]) {
			t.Errorf("the host shows the key %s, which is not what was known before:\n%s", f[2], known)
		}
	}
}

// finishedPlan: the plan was carried out; its approval is used up.
func finishedPlan(t *testing.T, h host, file string) {
	was := h.bootID(t)
	run := h.Nubo(rack.Within(t, 8*time.Minute), t, "apply", file)
	if run.Code != 5 && run.Code != 0 {
		t.Errorf("apply of a finished plan: exit %d, want 5 (stale) or 0\n%s", run.Code, run.All())
	}
	if now := h.bootID(t); now != was {
		t.Fatalf("the host was restarted:\n%s", run.All())
	}
}

// drift: somebody changes the bridge by hand.
func drift(t *testing.T, h host) {
	h.ssh(t, "ovs-vsctl add-port br-ex stray0 tag=7 -- set Interface stray0 type=internal")
	ctx := rack.Within(t, 8*time.Minute)
	holds(t, h.Expect(ctx, t, 2, "plan", "--detailed-exitcode").Stdout, "blade-01")
	h.Expect(ctx, t, 0, "apply", "--yes")
	if got := h.ssh(t, "ovs-vsctl list-ports br-ex"); strings.Contains(got, "stray0") {
		t.Errorf("the ports of br-ex are still %q", got)
	}
	h.hasBridge(t)
	h.asPlanned(t)
}
