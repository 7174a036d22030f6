//go:build e2e && e2elong

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
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

// site is a region of three blades, looked at from the first.
type site struct{ host }

func (s site) on(t *testing.T, node, command string) string {
	t.Helper()
	return s.SSH(rack.Within(t, oneCommand), t, node, command)
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

// status is what is read of ceph status.
type status struct {
	Health struct{ Status string }
	Quorum []string `json:"quorum_names"`
	OSDs   struct {
		Num int `json:"num_osds"`
		Up  int `json:"num_up_osds"`
		In  int `json:"num_in_osds"`
	} `json:"osdmap"`
	Mgrs struct {
		Available bool
		Standbys  int `json:"num_standbys"`
	} `json:"mgrmap"`
}

// healthy asks Ceph's own tools.
func (s site) healthy(t *testing.T) {
	t.Helper()
	s.healthyWith(t, len(blades))
}

// healthyWith is healthy when so many blades hold an OSD and a monitor each.
func (s site) healthyWith(t *testing.T, n int) {
	t.Helper()
	ctx := rack.Within(t, 30*time.Minute)
	began := time.Now()
	rack.Eventually(ctx, t, "HEALTH_OK", func() error {
		text, err := s.TrySSH(ctx, t, s.name, "ceph --connect-timeout 60 status --format json")
		if err != nil {
			return err
		}
		var st status
		if err := json.Unmarshal([]byte(text), &st); err != nil {
			return err
		}
		if st.Health.Status != "HEALTH_OK" || len(st.Quorum) != n || st.OSDs.Num != n || st.OSDs.Up != n || st.OSDs.In != n || !st.Mgrs.Available || st.Mgrs.Standbys != 1 {
			return fmt.Errorf("it is %+v", st)
		}
		return nil
	})
	rack.Figure(t, "to HEALTH_OK", time.Since(began))
	for option, want := range map[string]string{"size": "size: 3", "min_size": "min_size: 2", "crush_rule": "crush_rule: nubo-host"} {
		if got := s.ssh(t, "ceph osd pool get vms "+option); got != want {
			t.Errorf("pool vms has %q, want %q", got, want)
		}
	}
	holds(t, s.ssh(t, "ceph osd tree"), "zone az1", "rack az1-a", "host blade-01", "host blade-02", "host blade-03")
	if got := s.ssh(t, "ceph config show mon.blade-01 ms_cluster_mode; ss --no-header --listening --tcp --numeric | grep -c ':6789 ' || true"); got != "secure\n0" {
		t.Errorf("the mode between daemons, and who listens for messenger version 1: %q", got)
	}
	if got := strings.Fields(s.on(t, "blade-03", "ls /etc/ceph /var/lib/ceph/bootstrap-osd")); slices.Contains(got, "ceph.keyring") {
		t.Errorf("the key for new OSDs is still there: %q", got)
	}
}

// stores writes an image on one blade and reads it on another.
func (s site) stores(t *testing.T) {
	s.ssh(t, "head -c 8M /dev/urandom >/tmp/probe && rbd import --no-progress /tmp/probe vms/probe")
	want := s.ssh(t, "sha256sum </tmp/probe")
	if got := s.on(t, "blade-02", "rbd export --no-progress vms/probe - | sha256sum"); got != want {
		t.Errorf("read %s, wrote %s", got, want)
	}
	s.ssh(t, "rbd rm --no-progress vms/probe")
}

// plans looks at a plan that ends with a code and says something.
func (s site) plans(t *testing.T, code int, text string) {
	t.Helper()
	holds(t, s.Expect(rack.Within(t, 10*time.Minute), t, code, "plan", "--detailed-exitcode").Stdout, text)
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
	ctx := rack.Within(t, 10*time.Minute)
	rack.Eventually(ctx, t, "no changes", func() error {
		if run := s.Nubo(ctx, t, "plan", "--detailed-exitcode"); run.Code != 0 {
			return errors.New(run.All())
		}
		return nil
	})
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
