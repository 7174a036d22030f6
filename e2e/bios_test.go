//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// biosBlade: blade-02 has BIOS firmware and an IPMI BMC; the workstation is not on its network, and the relay is nubo-bootd on a host that is.
// Everything that can be wrong on the way is tried first, then it is installed for good.
func biosBlade(t *testing.T, r *rack.Rack) {
	key, err := os.ReadFile(r.Path("stations", "jump", "host_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	c := r.NewCloud(t, "bios", "ops", "blades=2", "ipmi=[2]", "via=root@10.77.9.2", "via_host_key="+strings.TrimSpace(string(key)))
	authorize(t, c)
	j := newJump(t, c)
	r.Explain(t, []string{"blade-02"}, filepath.Join(j.dir, "log"))
	t.Cleanup(func() {
		if t.Failed() {
			return // the console of the blade as it is
		}
		r.SetPower(t, "blade-02", "off")
	})
	untouched := r.Unchanged(t, "blade-02", "root")
	step(t, "wrong disk hint", func(t *testing.T) { wrongHint(t, c); untouched(t) })
	step(t, "wrong signature", func(t *testing.T) { wrongSignature(t, c, j); untouched(t) })
	step(t, "wrong chunk", func(t *testing.T) { wrongChunk(t, c, j) })
	step(t, "interrupted, power cut, goes on", func(t *testing.T) { goesOn(t, c, j) })
	h := host{Cloud: c, name: "blade-02", address: "10.77.0.12"}
	t.Run("debian", func(t *testing.T) { h.isDebian(t, "bios") })
	t.Run("bridge", h.hasBridge)
	t.Run("nonce used twice", func(t *testing.T) { usedTwice(t, j) })
	t.Run("no changes", h.asPlanned)
	t.Run("journal", func(t *testing.T) {
		holds(t, c.Expect(rack.Within(t, oneCommand), t, 0, "journal", "--verify").Stdout, "The journal is whole")
	})
}

// authorize lets the operator in at the jump host, as its owner would.
func authorize(t *testing.T, c *rack.Cloud) {
	t.Helper()
	public, err := os.ReadFile(filepath.Join(c.State, "keys", "ssh_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(c.Rack.Path("stations", "jump", "authorized_keys"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(public); err != nil {
		t.Fatal(err)
	}
}

// wrongHint: no disk is like the inventory says, so the blade shows what it has and writes nothing. Another blade's BMC does not answer, which
// keeps nobody else from going on.
func wrongHint(t *testing.T, c *rack.Cloud) {
	defer c.Edit(t, "cloud.hcl", `serial = "root-*"`, `serial = "nope-*"`)()
	defer c.Edit(t, "rack.hcl", ":8443/", ":8444/")()
	run := c.Expect(rack.Within(t, 20*time.Minute), t, 1, "apply", "--yes", "--bmc-patience", "5s")
	holds(t, run.All(), "lab/r1/az1/a/blade-01", "unreachable",
		"lab/r1/az1/a/blade-02", "refused, and wrote nothing", "no disk matches", "verdict", "root-02", "osd-02", "nope-*", "correct root_device")
	if power := c.Rack.Power(t, "blade-01"); power != "off" {
		t.Errorf("blade-01, whose BMC does not answer, is %s", power)
	}
	c.Rack.SetPower(t, "blade-02", "off")
}

// wrongSignature: Ctrl-C when the order is out; then somebody at the relay changes the order. The blade must not even parse it.
func wrongSignature(t *testing.T, c *rack.Cloud, j *jump) {
	was := j.order(t)
	apply := c.Begin(t, "apply", "--yes", "--target", "blade-02")
	ctx := rack.Within(t, 12*time.Minute)
	rack.Eventually(ctx, t, "the order to be with the relay", func() error { return j.newerThan(t, apply, was) })
	interrupt(t, c, apply)
	id := j.order(t)
	j.stop(t)
	j.change(t, id, func(e map[string]json.RawMessage) {
		e["signed"] = forged(t, e["signed"])
	})
	j.start(t)
	run := c.Expect(rack.Within(t, 20*time.Minute), t, 1, "apply", "--yes", "--target", "blade-02")
	holds(t, run.All(), "signature does not verify", "refused, and wrote nothing", "find out who answered")
	c.Rack.SetPower(t, "blade-02", "off")
}

// interrupt is Ctrl-C in the middle of an apply: it stops cleanly, and says that it can go on.
func interrupt(t *testing.T, c *rack.Cloud, apply *rack.Proc) {
	t.Helper()
	apply.Interrupt()
	run := apply.Wait(rack.Within(t, oneCommand), t)
	if run.Code != 130 {
		t.Fatalf("apply after Ctrl-C: exit %d, want 130\n%s", run.Code, run.All())
	}
	holds(t, run.All(), "Interrupted", "Apply again")
	holds(t, c.Expect(rack.Within(t, oneCommand), t, 0, "status").Stdout, "Interrupted:", "nuboctl apply")
}

// wrongChunk: a chunk of the image is damaged in the relay's cache. What was laid down until then cannot be booted.
func wrongChunk(t *testing.T, c *rack.Cloud, j *jump) {
	chunk := j.chunk(t, 5)
	good, err := os.ReadFile(chunk)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(chunk, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	run := c.Expect(rack.Within(t, 25*time.Minute), t, 1, "apply", "--yes", "--target", "blade-02")
	holds(t, run.All(), "the installer failed", "fill slot a", "root-02", "nuboctl image verify")
	c.Rack.SetPower(t, "blade-02", "off")
	ctx := rack.Within(t, 3*time.Minute)
	rack.NotBootable(ctx, t, c.Rack.Raw(ctx, t, "blade-02", "root"))
	if err := os.WriteFile(chunk, good, 0o644); err != nil {
		t.Fatal(err)
	}
}

// goesOn: Ctrl-C while the image is being written, and the blade's power fails. The next apply goes on with the same approval.
func goesOn(t *testing.T, c *rack.Cloud, j *jump) {
	was := j.order(t)
	apply := c.Begin(t, "apply", "--yes", "--target", "blade-02")
	ctx := rack.Within(t, 15*time.Minute)
	rack.Eventually(ctx, t, "the order to be with the relay", func() error { return j.newerThan(t, apply, was) })
	id := j.order(t)
	rack.Eventually(ctx, t, "the relay to hear that the image is being written", func() error { return j.writing(t, apply, id) })
	interrupt(t, c, apply)
	c.Rack.SetPower(t, "blade-02", "off")

	began := time.Now()
	c.Expect(rack.Within(t, 25*time.Minute), t, 0, "apply", "--yes", "--target", "blade-02")
	rack.Figure(t, "bios second apply", time.Since(began))
	c.Figures(rack.Within(t, oneCommand), t, "bios")
	if now := j.order(t); now != id {
		t.Errorf("the second apply made order %s, and did not go on with %s", now, id)
	}
	if rec := j.record(t, id); rec.Phase != "installed" || rec.Attempts != 2 {
		t.Errorf("order %s is %s after %d attempts, want installed after 2", id, rec.Phase, rec.Attempts)
	}
}

// usedTwice: the nonce of an order that is installed does not allow another write.
func usedTwice(t *testing.T, j *jump) {
	id := j.order(t)
	rec := j.record(t, id)
	body, err := json.Marshal(map[string]string{"nonce": rec.Order.Nonce, "serial": "NUBO-02", "boot": "another", "disk_nonce": rec.Order.Nonce})
	if err != nil {
		t.Fatal(err)
	}
	ctx := rack.Within(t, oneCommand)
	curl := func(args ...string) string {
		return j.cloud.Rack.Must(ctx, t, "ws", append([]string{"curl", "-sS", "-w", "\n%{http_code}"}, args...)...)
	}
	base := "http://10.77.0.2:8080/v1/orders/" + id
	holds(t, curl("-d", string(body), base+"/consume"), "409", "nonce was used before")
	holds(t, curl(base), "200")
	if now := j.record(t, id); now.Attempts != rec.Attempts {
		t.Errorf("the attempts were %d and are %d", rec.Attempts, now.Attempts)
	}
}
