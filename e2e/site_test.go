//go:build e2e && e2elong

package e2e

import (
	"os/exec"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// TestSite is a region of three blades, all switched off at first: one Ceph cluster on three hypervisors, and what happens when somebody changes
// it by hand.
func TestSite(t *testing.T) {
	r := rack.Start(t, "site")
	r.Explain(t, blades)
	c := r.NewCloud(t, "site", "ws", "blades=3", "ceph=true")
	s := site{host{Cloud: c, name: "blade-01", address: "10.77.0.11"}}
	scribble(t, r.Disk("blade-03", "osd"))
	for _, b := range blades {
		if got := r.Power(t, b); got != "off" {
			t.Fatalf("%s is %s at the start", b, got)
		}
	}
	step(t, "a disk with data is not taken", s.keepsData)
	step(t, "apply goes on once it is wiped", func(t *testing.T) {
		s.on(t, "blade-03", "dd if=/dev/zero of=$(ls /dev/disk/by-id/*osd-03 | head -n 1) bs=1M count=4 conv=fsync status=none")
		began := time.Now()
		c.Expect(rack.Within(t, 90*time.Minute), t, 0, "apply", "--yes")
		rack.Figure(t, "three blades, the rest of the cluster and the virtual machines", time.Since(began))
		for _, b := range blades {
			rack.SizeFigure(t, b+" received in all", s.received(t, b))
		}
	})
	step(t, "the cluster is healthy", s.healthy)
	step(t, "images are written and read", s.stores)
	step(t, "virtual machines run on Ceph and answer", s.runsGuests)
	step(t, "no changes", func(t *testing.T) {
		began := time.Now()
		s.plans(t, 0, "No changes")
		rack.Figure(t, "a plan without changes", time.Since(began))
	})
	step(t, "a stream from outside reaches the disk", s.streams)
	step(t, "a machine moves while it answers", s.moves)
	step(t, "a bridge changed by hand is seen and repaired", s.bridgeByHand)
	step(t, "a changed pool is seen and repaired", s.poolByHand)
	step(t, "a wrong place is seen and repaired", s.placeByHand)
	step(t, "a foreign key is told", s.keyByHand)
	step(t, "daemons come back with their host", s.comesBack)
	step(t, "the site is described from what is there", s.adopted)
	step(t, "a blade is added", s.grows)
	step(t, "and removed", s.shrinks)
}

// scribble leaves bytes on a disk, which no tool has a name for.
func scribble(t *testing.T, disk string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-io", "-f", "qcow2", "-c", "write -P 0x4e 64k 4k", disk).CombinedOutput(); err != nil {
		t.Fatalf("qemu-io: %v\n%s", err, out)
	}
}

func (s site) keepsData(t *testing.T) {
	began := time.Now()
	run := s.Expect(rack.Within(t, 90*time.Minute), t, 1, "apply", "--yes")
	rack.Figure(t, "three blades, until a disk is refused", time.Since(began))
	holds(t, run.All(), "blade-03", "the disk is not empty", "data without a signature", `consent = ["osd-03"]`)
	if got := s.on(t, "blade-03", "dd if=$(ls /dev/disk/by-id/*osd-03 | head -n 1) bs=4k skip=16 count=1 status=none | head -c 4"); got != "NNNN" {
		t.Errorf("the disk has %q where there was data", got)
	}
}

// drift changes the cluster by hand: the next plan shows it, an apply repairs it, and the plan after that is empty.
func (s site) drift(t *testing.T, command, text string) {
	t.Helper()
	s.ssh(t, command)
	s.repairs(t, text)
}

// repairs sees something in a plan, applies, and waits until a plan is empty.
func (s site) repairs(t *testing.T, text string) {
	t.Helper()
	s.plans(t, 2, text)
	s.Expect(rack.Within(t, 20*time.Minute), t, 0, "apply", "--yes")
	s.settled(t)
}

func (s site) bridgeByHand(t *testing.T) {
	s.on(t, "blade-03", "ovs-vsctl set interface stor0 mtu_request=1400")
	s.repairs(t, "ovs.ensure")
	if got := s.on(t, "blade-03", `ip -oneline link show stor0 | sed 's/.* mtu \([0-9]*\) .*/\1/'`); got != "1500" {
		t.Errorf("the port's MTU is %s", got)
	}
}

func (s site) poolByHand(t *testing.T) {
	s.drift(t, "ceph osd pool set vms size 2", "size is 2, not 3")
}

func (s site) placeByHand(t *testing.T) {
	s.drift(t, "ceph osd crush move blade-02 root=default", "is in another place")
	holds(t, s.ssh(t, "ceph osd find $(ceph osd ls-tree blade-02)"), `"rack": "az1-a"`)
}

func (s site) keyByHand(t *testing.T) {
	s.ssh(t, "ceph auth get-or-create client.stranger mon 'allow r' >/dev/null")
	s.plans(t, 0, "key client.stranger")
	s.ssh(t, "ceph auth rm client.stranger")
}

func (s site) comesBack(t *testing.T) {
	b := host{Cloud: s.Cloud, name: "blade-02", address: "10.77.0.12"}
	b.reboot(t, 30*time.Minute)
	s.healthy(t)
}
