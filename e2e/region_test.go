//go:build e2e && e2elong

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
)

// site is a region of three blades, looked at from the first.
type site struct{ host }

func (s site) on(t *testing.T, node, command string) string {
	t.Helper()
	return s.SSH(rack.Within(t, oneCommand), t, node, command)
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

// settled waits until a plan is empty: on a busy machine a monitor may be out of the quorum for a moment.
func (s site) settled(t *testing.T) {
	t.Helper()
	ctx := rack.Within(t, 10*time.Minute)
	rack.Eventually(ctx, t, "no changes", func() error {
		if run := s.Nubo(ctx, t, "plan", "--detailed-exitcode"); run.Code != 0 {
			return errors.New(run.All())
		}
		return nil
	})
}

// guest is a virtual machine of the demo's inventory.
type guest struct{ name, node, address string }

var guests = []guest{{"hello", "blade-01", "10.77.0.100"}, {"world", "blade-02", "10.77.0.101"}}

// runsGuests: libvirt has them running, their disks are RBD images that they have open, their cards are ports of the bridge, and they answer.
func (s site) runsGuests(t *testing.T) {
	images := strings.Fields(s.ssh(t, "rbd ls vms"))
	for _, g := range guests {
		if got := strings.Fields(s.on(t, g.node, "virsh list --name --state-running")); !slices.Contains(got, g.name) {
			t.Errorf("%s runs %q, not %s", g.node, got, g.name)
		}
		image := g.name + "-data"
		if !slices.Contains(images, image) {
			t.Errorf("pool vms has %q, not %s", images, image)
		}
		holds(t, s.on(t, g.node, "virsh domblklist --details "+g.name), "network", "vms/"+image)
		holds(t, s.ssh(t, "rbd status vms/"+image), "watcher=")
		card := s.on(t, g.node, "virsh domiflist "+g.name+" | sed -n 's/^ *\\(vnet[0-9]*\\).*/\\1/p'")
		if got := s.on(t, g.node, "ovs-vsctl port-to-br "+card); got != "br-ex" {
			t.Errorf("the card %q of %s is on %q", card, g.name, got)
		}
		s.answers(t, g)
	}
}

func (s site) answers(t *testing.T, g guest) {
	t.Helper()
	rack.Eventually(rack.Within(t, 15*time.Minute), t, g.name+" to answer a ping at "+g.address, func() error {
		if run := s.Rack.On(t.Context(), t, "ws", "ping", "-c", "1", "-W", "1", g.address); run.Code != 0 {
			return errors.New("no answer")
		}
		return nil
	})
}

// blades are the hosts of the region.
var blades = []string{"blade-01", "blade-02", "blade-03"}
