//go:build e2e && e2elong

package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/state"
)

// TestDayTwo rolls a region of three blades on while two virtual machines write to its Ceph cluster and are watched from outside: drain and
// undrain, a new image and back from it, one that does not boot, and a blade that is laid down anew. The install before that, and a drain, go on after
// nuboctl was killed.
func TestDayTwo(t *testing.T) {
	r := rack.Start(t, "site")
	r.Explain(t, blades)
	c := r.NewCloud(t, "daytwo", "ws", "blades=3", "ceph=true")
	vms := busy(t, c)
	d := &dayTwo{site: site{host{Cloud: c, name: "blade-01", address: "10.77.0.11"}}, vms: vms}
	step(t, "an install that is killed", d.installsKilled)
	step(t, "each blade was laid down once", d.laidDownOnce)
	step(t, "the cluster is healthy", d.healthy)
	step(t, "virtual machines run on Ceph and answer", d.runsGuests)
	step(t, "no changes", d.settled)
	d.probes = r.Probe(rack.Within(t, 15*time.Minute), t, vms...)
	step(t, "idle", func(t *testing.T) {
		d.probes.Pings(rack.Within(t, 10*time.Minute), t, 300)
		d.undisturbed(t, "idle")
	})
	step(t, "drain", d.drains)
	step(t, "undrain", d.undrains)
	step(t, "a drain that is killed", d.drainsKilled)
	step(t, "undrain again", d.undrains)
	step(t, "a plain reboot", d.restarts)
	step(t, "moves beside virsh", d.beside)
	step(t, "a new image", d.upgrades)
	step(t, "back to the old slots, while the workstation sleeps", d.rollsBack)
	step(t, "an image that panics", func(t *testing.T) { d.fallsBack(t, "panics", "  remove = [\"/usr/sbin/init\"]\n") })
	step(t, "an image whose Open vSwitch is broken", func(t *testing.T) { d.fallsBack(t, "blind", "  remove = [\"/usr/sbin/ovs-vswitchd\"]\n") })
	step(t, "a blade is laid down anew", d.reinstalls)
	step(t, "the journal is whole", func(t *testing.T) {
		holds(t, c.Expect(rack.Within(t, oneCommand), t, 0, "journal", "--verify").Stdout, "The journal is whole")
	})
}

// beside has world move off blade-02 five times by a drain, and five times by virsh to the same blade: a drain must not leave it silent for longer than libvirt
// itself does.
func (d *dayTwo) beside(t *testing.T) {
	const times = 5
	var ours, theirs []time.Duration
	d.worldComesBack(t)
	for range times {
		d.probes.Mark(t, "")
		d.Expect(rack.Within(t, 30*time.Minute), t, 0, "drain", "blade-02", "--yes")
		ours = append(ours, d.silence(t, "world by a drain"))
		d.Expect(rack.Within(t, 15*time.Minute), t, 0, "undrain", "blade-02", "--yes")
		there := d.worldIsOn(t)
		d.byHand(t, there, "blade-02")
		d.probes.Mark(t, "")
		d.byHand(t, "blade-02", there)
		theirs = append(theirs, d.silence(t, "world by virsh"))
		d.byHand(t, there, "blade-02")
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	rack.Figure(t, "longest silence of a drain, median of five", ours[times/2])
	rack.Figure(t, "longest silence of virsh migrate, median of five", theirs[times/2])
	if ratio := float64(ours[times/2]) / float64(theirs[times/2]); ratio > 1.1 {
		t.Errorf("a drain leaves it silent for %.2f times as long as virsh: %v beside %v", ratio, ours, theirs)
	}
}

// worldComesBack has world on blade-02, from where earlier drains have moved it.
func (d *dayTwo) worldComesBack(t *testing.T) {
	t.Helper()
	if there := d.worldIsOn(t); there != "blade-02" {
		d.byHand(t, there, "blade-02")
	}
}

func (d *dayTwo) worldIsOn(t *testing.T) string {
	t.Helper()
	for _, b := range blades {
		if slices.Contains(d.running(t, b), "world") {
			return b
		}
	}
	t.Fatal("world runs nowhere")
	return ""
}

// byHand moves world by virsh.
func (d *dayTwo) byHand(t *testing.T, from, to string) {
	t.Helper()
	address := "10.77.1.1" + strings.TrimPrefix(to, "blade-0")
	d.SSH(rack.Within(t, 20*time.Minute), t, from, migrateByHand("world", address))
}

// silence is the longest time that world answered no ping since the last mark.
func (d *dayTwo) silence(t *testing.T, part string) time.Duration {
	t.Helper()
	for _, s := range d.probes.Mark(t, part) {
		s.Undisturbed(t)
		if s.VM == "world" {
			return s.PingSilence
		}
	}
	t.Fatal("nobody watches world")
	return 0
}

// rollsBack boots the slots again that were run before the new image. Nothing is written. The workstation sleeps for ten minutes when the first blade has
// been told to restart: the rollout goes on when it wakes up.
func (d *dayTwo) rollsBack(t *testing.T) {
	before, began := d.osds(t), time.Now()
	apply := d.Begin(t, "rollback", "lab/r1", "--image", "debian-13@"+d.next, "--yes")
	ctx := rack.Within(t, 45*time.Minute)
	rack.Eventually(ctx, t, "the first blade to be restarted", func() error {
		if apply.Ended() {
			t.Fatalf("rollback has ended:\n%s%s", apply.Stdout(), apply.Stderr())
		}
		restarts := func(r state.Record) bool {
			return r.Kind == state.KindIntent && strings.HasPrefix(string(r.OpID), string(plan.SlotBoot)) && r.Time.After(began)
		}
		if !slices.ContainsFunc(d.Journal(ctx, t), restarts) {
			return errors.New("none is so far")
		}
		return nil
	})
	apply.Sleep(rack.Within(t, time.Hour), t, 10*time.Minute)
	run := apply.Wait(rack.Within(t, 90*time.Minute), t)
	if run.Code != 0 {
		t.Fatalf("rollback: exit %d\n%s", run.Code, run.All())
	}
	rack.Figure(t, "rollback of three blades, asleep for ten minutes", time.Since(began))
	d.undisturbed(t, "rollback")
	d.marked(t, "")
	d.asBefore(t, before)
}

// reinstalls lays blade-03 down anew over the network: its OSD is the same afterwards.
func (d *dayTwo) reinstalls(t *testing.T) {
	before, began := d.osds(t), time.Now()
	boot := d.on(t, "blade-03", "cat /proc/sys/kernel/random/boot_id")
	d.Expect(rack.Within(t, 90*time.Minute), t, 0, "reinstall", "blade-03", "--yes")
	rack.Figure(t, "reinstall of one blade", time.Since(began))
	d.undisturbed(t, "reinstall")
	if d.on(t, "blade-03", "cat /proc/sys/kernel/random/boot_id") == boot {
		t.Error("blade-03 was not restarted")
	}
	d.marked(t, "")
	d.asBefore(t, before)
}
