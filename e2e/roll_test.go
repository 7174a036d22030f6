//go:build e2e && e2elong

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// TestRoll has a region of three blades, off at first, become one Ceph cluster with two virtual machines on it, which write and are watched while a blade is drained, a
// new image is rolled through all three, and one that does not boot falls back.
func TestRoll(t *testing.T) {
	r := rack.Start(t, "site")
	r.Explain(t, blades)
	c := r.NewCloud(t, "roll", "ws", "blades=3", "ceph=true")
	vms := busy(t, c)
	d := &dayTwo{site: site{host{Cloud: c, name: "blade-01", address: "10.77.0.11"}}, vms: vms}
	step(t, "a region from nothing", func(t *testing.T) {
		began := time.Now()
		c.Expect(rack.Within(t, 60*time.Minute), t, 0, "apply", "--yes")
		rack.Figure(t, "three blades, from powered off to virtual machines", time.Since(began))
	})
	step(t, "the cluster is healthy", d.healthy)
	step(t, "images are written and read", d.stores)
	step(t, "virtual machines run on Ceph and answer", d.runsGuests)
	step(t, "no changes", d.settled)
	d.probes = r.Probe(rack.Within(t, 15*time.Minute), t, vms...)
	step(t, "idle", func(t *testing.T) {
		d.probes.Pings(rack.Within(t, 10*time.Minute), t, 300)
		d.undisturbed(t, "idle")
	})
	step(t, "drain", d.drains)
	step(t, "undrain", d.undrains)
	step(t, "a new image", d.upgrades)
	step(t, "an image that panics", func(t *testing.T) { d.fallsBack(t, "panics", "  remove = [\"/usr/sbin/init\"]\n") })
}

type dayTwo struct {
	site
	next   string        // the digest of the image that was rolled out
	reboot time.Duration // how long an OSD is away in a plain one
	vms    []rack.VM
	probes *rack.Probes
}

// busy gives the inventory's virtual machines a second disk with the program of the tests.
func busy(t *testing.T, c *rack.Cloud) []rack.VM {
	t.Helper()
	archive := guestProgram(t, c.Dir)
	text, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	disk := fmt.Sprintf("  disk \"program\" {\n    pool     = \"vms\"\n    size_gib = 1\n    source   = %q\n    sha256   = \"%x\"\n  }\n\n", filepath.Base(archive), sha256.Sum256(text))
	var out []rack.VM
	for _, g := range guests {
		card := fmt.Sprintf("  nic \"eth0\" {\n    bridge  = \"br-ex\"\n    address = \"%s/24\"\n", g.address)
		c.Edit(t, "rack.hcl", card, disk+card)
		out = append(out, rack.VM{Name: g.name, Address: g.address})
	}
	return out
}

// guestProgram builds the program for the guests and packs it as their init expects it.
func guestProgram(t *testing.T, dir string) string {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "autorun"), "./probe/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	archive := filepath.Join(dir, "autorun.tar")
	if out, err := exec.CommandContext(t.Context(), "tar", "-c", "-f", archive, "-C", dir, "autorun").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return archive
}

// undisturbed ends a part of the test.
func (d *dayTwo) undisturbed(t *testing.T, part string) {
	t.Helper()
	for _, s := range d.probes.Mark(t, part) {
		s.Undisturbed(t)
	}
}

// running are the virtual machines on a blade.
func (d *dayTwo) running(t *testing.T, blade string) []string {
	t.Helper()
	return strings.Fields(d.on(t, blade, "virsh list --name --state-running"))
}

// drains empties blade-02, on which world is, while its Ceph daemons go on.
func (d *dayTwo) drains(t *testing.T) {
	file := filepath.Join(d.Dir, "drain.nubo")
	d.Expect(rack.Within(t, 10*time.Minute), t, 0, "drain", "blade-02", "-o", file)
	d.Expect(rack.Within(t, oneCommand), t, 0, "verify", file)
	began := time.Now()
	d.Expect(rack.Within(t, 30*time.Minute), t, 0, "apply", file)
	rack.Figure(t, "drain", time.Since(began))
	if got := d.running(t, "blade-02"); len(got) != 0 {
		t.Errorf("blade-02 still runs %q", got)
	}
	if got := d.on(t, "blade-02", "virsh list --name --all"); strings.Contains(got, "world") {
		t.Errorf("libvirt there still knows %q", got)
	}
	if !slices.Contains(append(d.running(t, "blade-01"), d.running(t, "blade-03")...), "world") {
		t.Error("world runs on neither of the others")
	}
	d.undisturbed(t, "drain")
}

func (d *dayTwo) undrains(t *testing.T) {
	d.Expect(rack.Within(t, 15*time.Minute), t, 0, "undrain", "blade-02", "--yes")
	if got := d.on(t, "blade-02", "ls /var/lib/nubo"); strings.Contains(got, "cordon") {
		t.Errorf("blade-02 keeps a cordon: %q", got)
	}
	d.undisturbed(t, "undrain")
}

// restarts reboots an empty blade by hand, which is what an upgrade is measured by.
func (d *dayTwo) restarts(t *testing.T) {
	d.Expect(rack.Within(t, 30*time.Minute), t, 0, "drain", "blade-02", "--yes")
	boot, began := d.on(t, "blade-02", "cat /proc/sys/kernel/random/boot_id"), time.Now()
	ctx := rack.Within(t, 30*time.Minute)
	d.Nubo(ctx, t, "ssh", "blade-02", "systemctl reboot") // the connection may end before the command does
	rack.Eventually(ctx, t, "blade-02 to serve again", func() error {
		got, err := d.TrySSH(ctx, t, "blade-02", "cat /proc/sys/kernel/random/boot_id; virsh --quiet list >/dev/null && ovs-vsctl show >/dev/null && ceph --connect-timeout 20 osd stat --format json")
		if err != nil {
			return err
		}
		now, text, _ := strings.Cut(got, "\n")
		var osds struct {
			Up int `json:"num_up_osds"`
		}
		if err := json.Unmarshal([]byte(text), &osds); err != nil || osds.Up != len(blades) || now == boot {
			return fmt.Errorf("boot %s, %s (%v)", now, text, err)
		}
		return nil
	})
	rack.Figure(t, "plain reboot of a blade", time.Since(began))
	for osd, away := range d.outages(t, began) {
		d.reboot = away
		rack.Figure(t, "out of service in it: "+osd, away)
	}
	if d.reboot == 0 {
		t.Fatal("no OSD was away")
	}
	d.undisturbed(t, "plain reboot")
	d.Expect(rack.Within(t, 15*time.Minute), t, 0, "undrain", "blade-02", "--yes")
	d.healthy(t)
}

// outages are how long each OSD was away since a moment, by the cluster's own log.
func (d *dayTwo) outages(t *testing.T, since time.Time) map[string]time.Duration {
	t.Helper()
	text := d.ssh(t, `ceph --connect-timeout 60 log last 10000 info cluster | grep -E 'osd\.[0-9]+ (marked itself down|failed|.* boot)'`)
	down, out := map[string]time.Time{}, map[string]time.Duration{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		i := slices.IndexFunc(f, func(word string) bool { return strings.HasPrefix(word, "osd.") })
		at, err := time.Parse("2006-01-02T15:04:05.999999-0700", f[0])
		switch {
		case i < 0 || err != nil:
			t.Fatalf("the cluster's log has %q (%v)", line, err)
		case at.Before(since):
		case f[len(f)-1] != "boot":
			if down[f[i]].IsZero() {
				down[f[i]] = at
			}
		case !down[f[i]].IsZero():
			out[f[i]] += at.Sub(down[f[i]])
			delete(down, f[i])
		}
	}
	if len(down) > 0 {
		t.Errorf("these did not come back: %v", down)
	}
	return out
}

// outOfService compares how long each blade was out of service since a moment with a plain reboot.
func (d *dayTwo) outOfService(t *testing.T, since time.Time) {
	t.Helper()
	all := d.outages(t, since)
	if len(all) != len(blades) {
		t.Errorf("the OSDs that were away: %v", all)
	}
	for osd, away := range all {
		rack.Figure(t, "out of service: "+osd, away)
		if d.reboot == 0 { // not measured in this run
			continue
		}
		if ratio := away.Seconds() / d.reboot.Seconds(); ratio > 1.5 {
			t.Errorf("%s was away for %.2f times as long as in a plain reboot (%s)", osd, ratio, d.reboot)
		}
	}
}

// image builds an image like debian-13 with one more step of its own, and returns its digest.
func (d *dayTwo) image(t *testing.T, name, body string) string {
	t.Helper()
	dir := filepath.Join(d.Dir, "images")
	if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name, "image.hcl"), []byte("image {\n  like = \"debian-13\"\n"+body+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name, "mark"), []byte(name+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out struct{ Images []struct{ Digest string } }
	if err := json.Unmarshal([]byte(d.BuildImages(t, "--json", "--definitions", dir, name)), &out); err != nil || len(out.Images) != 1 {
		t.Fatalf("image build: %v, %+v", err, out)
	}
	return out.Images[0].Digest
}

// upgrades rolls a new image through the region, one blade at a time.
func (d *dayTwo) upgrades(t *testing.T) {
	d.next = d.image(t, "next", "  file \"/etc/nubo-next\" {\n    source = \"next/mark\"\n  }\n")
	d.probes.Mark(t, "") // what the build did to this machine is not the rollout's
	before := d.osds(t)
	file := filepath.Join(d.Dir, "upgrade.nubo")
	shown := d.Expect(rack.Within(t, 15*time.Minute), t, 0, "upgrade", "lab/r1", "--image", "debian-13@"+d.next, "-o", file)
	holds(t, shown.All(), "3 batches")
	d.Expect(rack.Within(t, oneCommand), t, 0, "verify", file)
	began := time.Now()
	d.Expect(rack.Within(t, 120*time.Minute), t, 0, "apply", file)
	rack.Figure(t, "upgrade of three blades", time.Since(began))
	d.outOfService(t, began)
	d.undisturbed(t, "upgrade")
	d.marked(t, "next")
	d.asBefore(t, before)
}

// marked looks for the file that the new image has and the old one has not.
func (d *dayTwo) marked(t *testing.T, want string) {
	t.Helper()
	for _, blade := range blades {
		if got := d.on(t, blade, "cat /etc/nubo-next 2>/dev/null || true"); got != want {
			t.Errorf("%s has %q, not %q", blade, got, want)
		}
	}
}

// asBefore: the OSDs are the same, the cluster is healthy, and no mark is left.
func (d *dayTwo) asBefore(t *testing.T, osds string) {
	t.Helper()
	if after := d.osds(t); after != osds {
		t.Errorf("the OSDs were\n%s\nand are\n%s", osds, after)
	}
	d.healthy(t)
	d.nothingLeft(t)
}

// fallsBack rolls an image that cannot serve: one host is affected, comes back on its old slot, and nothing else is touched.
func (d *dayTwo) fallsBack(t *testing.T, name, body string) {
	bad := d.image(t, name, body)
	d.probes.Mark(t, "")
	run := d.Expect(rack.Within(t, 60*time.Minute), t, 6, "upgrade", "lab/r1", "--image", "debian-13@"+bad, "--yes")
	holds(t, run.All(), "halted")
	d.undisturbed(t, "an image that "+name)
	d.marked(t, "")
	d.healthy(t)
	d.nothingLeft(t)
}

// osds are the cluster's OSDs with what they are known by.
func (d *dayTwo) osds(t *testing.T) string {
	t.Helper()
	return d.ssh(t, `ceph osd dump --format json | python3 -c 'import json,sys; print(sorted((o["osd"],o["uuid"]) for o in json.load(sys.stdin)["osds"]))'`)
}

// nothingLeft: no flag is set, no host is cordoned.
func (d *dayTwo) nothingLeft(t *testing.T) {
	t.Helper()
	ctx := rack.Within(t, 10*time.Minute)
	rack.Eventually(ctx, t, "no flag to be set", func() error {
		if got := d.ssh(t, "ceph health detail"); strings.Contains(got, "noout") {
			return errors.New(got)
		}
		return nil
	})
}
