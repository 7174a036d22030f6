//go:build e2e && e2elong

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// TestRelease takes a region from Debian 12 to Debian 13, from Ceph 16 to 18 and from QEMU 7 to 10, while two virtual machines write and are watched. Its
// monitors and managers stand apart on three blades; two more carry OSDs and virtual machines.
func TestRelease(t *testing.T) {
	r := rack.Start(t, "release")
	all := []string{"blade-01", "blade-02", "blade-03", "blade-04", "blade-05"}
	r.Explain(t, all)
	c := r.NewCloud(t, "release", "ws", "blades=5", "ceph=true")
	apart(t, c)
	vms := busy(t, c)
	u := &releaseUpgrade{dayTwo{site: site{host{Cloud: c, name: "blade-01", address: "10.77.0.11"}}, vms: vms}, all}
	step(t, "Debian 12 and Debian 13", func(t *testing.T) { c.BuildImages(t, "debian-12", "debian-13", "guest", "ramdisk") })
	step(t, "a region of Debian 12", func(t *testing.T) {
		began := time.Now()
		c.Expect(rack.Within(t, 90*time.Minute), t, 0, "apply", "--yes")
		rack.Figure(t, "five blades of Debian 12, from powered off to virtual machines", time.Since(began))
	})
	step(t, "the cluster is healthy", func(t *testing.T) { u.runs(t, "bookworm", "16.2.") })
	u.probes = r.Probe(rack.Within(t, 15*time.Minute), t, vms...)
	c.Edit(t, "cloud.hcl", `image      = "debian-12"`, `image      = "debian-13"`)
	step(t, "OSDs before monitors", u.refusesOrder)
	step(t, "Debian 13", u.upgrades)
	step(t, "no changes", func(t *testing.T) { u.plans(t, 0, "No changes") })
	step(t, "no way back", func(t *testing.T) {
		run := u.Nubo(rack.Within(t, 10*time.Minute), t, "rollback", "lab/r1", "--yes")
		if run.Code != 3 {
			t.Errorf("rollback: exit %d, want 3", run.Code)
		}
		holds(t, run.All(), "Ceph")
		u.undisturbed(t, "a rollback that is refused")
	})
}

// apart edits the demo's region: three blades of monitors, two of OSDs and virtual machines, all of them Debian 12.
func apart(t *testing.T, c *rack.Cloud) {
	t.Helper()
	c.Edit(t, "cloud.hcl", `image      = "debian-13"`, `image      = "debian-12"`)
	c.Edit(t, "rack.hcl", `var.ceph ? concat(["compute", "ceph-mon", "ceph-osd"], each.value <= 2 ? ["ceph-mgr"] : []) : ["compute"]`,
		`each.value > 3 ? ["compute", "ceph-osd"] : concat(["ceph-mon"], each.value <= 2 ? ["ceph-mgr"] : [])`+"\n          memory_gib = each.value > 3 ? 3 : 2")
	c.Edit(t, "rack.hcl", "size     = 3\n        min_size = 2", "size     = 2\n        min_size = 1")
	c.Edit(t, "rack.hcl", `node       = "blade-01"`, `node       = "blade-04"`)
	c.Edit(t, "rack.hcl", `node       = "blade-02"`, `node       = "blade-05"`)
}

type releaseUpgrade struct {
	dayTwo
	all []string
}

// runs: every blade runs a release of Debian, every daemon one of Ceph, and the cluster is healthy.
func (u *releaseUpgrade) runs(t *testing.T, debian, ceph string) {
	t.Helper()
	for _, b := range u.all {
		holds(t, u.on(t, b, "cat /etc/os-release"), "VERSION_CODENAME="+debian)
	}
	ctx := rack.Within(t, 30*time.Minute)
	rack.Eventually(ctx, t, "all daemons of Ceph "+ceph+" and the cluster to be healthy", func() error {
		text, err := u.TrySSH(ctx, t, u.name, "ceph --connect-timeout 60 versions --format json; ceph --connect-timeout 60 health detail")
		if err != nil {
			return err
		}
		var versions map[string]map[string]int
		reader := strings.NewReader(text)
		if err := json.NewDecoder(reader).Decode(&versions); err != nil {
			return err
		}
		for kind, n := range map[string]int{"mon": 3, "mgr": 2, "osd": 2} {
			count := 0
			for version, k := range versions[kind] {
				if !strings.HasPrefix(version, "ceph version "+ceph) {
					return fmt.Errorf("%d %s of %s", k, kind, version)
				}
				count += k
			}
			if count != n {
				return fmt.Errorf("%d of %d %s", count, n, kind)
			}
		}
		if !strings.Contains(text, "HEALTH_OK") {
			return errors.New(text)
		}
		return nil
	})
}

// refusesOrder: the OSDs' hosts alone would run what the monitors do not know.
func (u *releaseUpgrade) refusesOrder(t *testing.T) {
	run := u.Nubo(rack.Within(t, 10*time.Minute), t, "upgrade", "lab/r1/az1/a/blade-04", "--yes")
	if run.Code != 3 {
		t.Errorf("upgrade of blade-04: exit %d, want 3", run.Code)
	}
	holds(t, run.All(), "monitor")
	u.undisturbed(t, "an order that is refused")
}

// upgrades rolls the region to Debian 13: blades of monitors first.
func (u *releaseUpgrade) upgrades(t *testing.T) {
	before, file := u.osds(t), filepath.Join(u.Dir, "release.nubo")
	shown := u.Expect(rack.Within(t, 15*time.Minute), t, 0, "upgrade", "lab/r1", "-o", file)
	holds(t, shown.All(), "5 batches", "from release 16 to 18", "one-way")
	u.Expect(rack.Within(t, oneCommand), t, 0, "verify", file)
	began := time.Now()
	u.Expect(rack.Within(t, 150*time.Minute), t, 0, "apply", file)
	rack.Figure(t, "five blades from Debian 12 to Debian 13", time.Since(began))
	u.undisturbed(t, "release upgrade")
	for osd, away := range u.outages(t, began) {
		rack.Figure(t, "out of service: "+osd, away)
	}
	var order []string
	for _, r := range u.Journal(rack.Within(t, 5*time.Minute), t) {
		if kind, rest, _ := strings.Cut(string(r.OpID), " "); r.Kind == state.KindDone && kind == string(plan.SlotBoot) && r.Time.After(began) {
			order = append(order, rest[strings.LastIndex(rest, "/")+1:])
		}
	}
	if len(order) != len(u.all) || !slices.Equal(slices.Sorted(slices.Values(order[:3])), u.all[:3]) {
		t.Errorf("the blades were restarted in the order %q: those with monitors come first", order)
	}
	u.runs(t, "trixie", "18.2.")
	if after := u.osds(t); after != before {
		t.Errorf("the OSDs were\n%s\nand are\n%s", before, after)
	}
	u.nothingLeft(t)
}
