//go:build e2e && e2elong

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/e2e/rack"
	"github.com/nuboctl/nuboctl/pkg/installer/slot"
)

// adopted describes the running site as one that somebody else built: a plan from that description has nothing to do. Nothing on its hosts says for that time
// that nuboctl has laid them down.
func (s site) adopted(t *testing.T) {
	for _, b := range blades {
		s.on(t, b, "mv "+slot.ImageFile+" "+slot.ImageFile+".aside")
		defer s.on(t, b, "mv "+slot.ImageFile+".aside "+slot.ImageFile)
	}
	dir := s.Rack.Path("found")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"keys/ssh_key": "key", "ssh/cert.pub": "key-cert.pub"} {
		text, err := os.ReadFile(filepath.Join(s.State, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	nuboctl := []string{"env", "NUBO_SSH_KEY=" + filepath.Join(dir, "key"), filepath.Join(s.Rack.Bin, "nuboctl"), "-C", dir}
	run := s.Rack.On(rack.Within(t, 10*time.Minute), t, "ws", append(nuboctl, "adopt", "--cloud", "found", "--site", "berlin",
		"--known-hosts", filepath.Join(s.State, "ssh", "known_hosts"), "10.77.0.11", "10.77.0.12", "10.77.0.13")...)
	if run.Code != 0 {
		t.Fatalf("adopt: exit %d\n%s", run.Code, run.All())
	}
	holds(t, run.Stdout, "No changes", "wrote "+filepath.Join(dir, "site-berlin.hcl"))
	for file, texts := range map[string][]string{"site-berlin.hcl": {`node "blade-03"`, `pool "vms"`, "10.77.1.13"}, "cloud.hcl": {`bridge "br-ex"`}} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, string(text), texts...)
	}
	s.Rack.Must(rack.Within(t, oneCommand), t, "ws", append(nuboctl, "fmt", "--check")...)
	run = s.Rack.On(rack.Within(t, 10*time.Minute), t, "ws", append(nuboctl, "plan", "--detailed-exitcode")...)
	if run.Code != 0 {
		t.Errorf("plan of what was described: exit %d\n%s", run.Code, run.All())
	}
	s.ssh(t, "ovs-vsctl add-port br-ex stray0 tag=7 -- set Interface stray0 type=internal")
	run = s.Rack.On(rack.Within(t, 10*time.Minute), t, "ws", append(nuboctl, "plan", "--detailed-exitcode")...)
	s.ssh(t, "ovs-vsctl del-port br-ex stray0")
	if run.Code != 2 || !strings.Contains(run.All(), "stray0") {
		t.Errorf("a port that was added by hand: exit %d\n%s", run.Code, run.All())
	}
}

// with is the same site with other values of the inventory's variables.
func (s site) with(vars ...string) site {
	c := *s.Cloud
	c.Vars = append([]string{"ceph=true"}, vars...)
	s.Cloud = &c
	return s
}

// grows adds blade-04 to the inventory: one plan, and the cluster has four of everything.
func (s site) grows(t *testing.T) {
	g, began := s.with("blades=4"), time.Now()
	g.Expect(rack.Within(t, 60*time.Minute), t, 0, "apply", "--yes")
	rack.Figure(t, "a blade added", time.Since(began))
	g.healthyWith(t, 4)
	holds(t, s.ssh(t, "ceph osd tree"), "host blade-04")
	g.plans(t, 0, "No changes")
}

// shrinks takes it out of service again, as the operator's guide says: machines are kept away, and its storage leaves first. What is then left is a site of three.
func (s site) shrinks(t *testing.T) {
	g, began := s.with("blades=4", "retired=[4]"), time.Now()
	g.Expect(rack.Within(t, 20*time.Minute), t, 0, "apply", "--yes")
	g.Expect(rack.Within(t, 20*time.Minute), t, 0, "drain", "blade-04", "--yes")
	file := filepath.Join(s.Dir, "leave.nubo")
	shown := g.Expect(rack.Within(t, 10*time.Minute), t, 0, "decommission", "blade-04", "-o", file)
	holds(t, shown.All(), "ceph.out", "ceph.empty", "ceph.purge", "ceph.leave", "power.off")
	g.Expect(rack.Within(t, 60*time.Minute), t, 0, "apply", file)
	rack.Figure(t, "a blade taken out of service", time.Since(began))
	if got := s.Rack.Power(t, "blade-04"); got != "off" {
		t.Errorf("blade-04 is %s", got)
	}
	s.healthy(t)
	if got := s.ssh(t, "ceph osd tree; ceph mon dump 2>/dev/null; ceph auth ls 2>/dev/null"); strings.Contains(got, "blade-04") || strings.Contains(got, "osd.3") {
		t.Errorf("something of blade-04 is left:\n%s", got)
	}
	s.plans(t, 0, "No changes")
	for _, b := range blades {
		if got := s.on(t, b, "cat /etc/ceph/ceph.conf"); strings.Contains(got, "10.77.1.14") {
			t.Errorf("%s still knows the monitor that left: %s", b, got)
		}
	}
	fmt.Fprintln(t.Output(), s.ssh(t, "ceph osd df tree"))
}
