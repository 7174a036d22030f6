package wave_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// apart is a region of two zones: in each two monitors' or one monitor's host, and four hosts with OSDs and virtual machines, all going from Ceph 16 to 18.
func apart() (plan.Fleet, plan.Policy) {
	f := plan.Fleet{
		Classes: []plan.Class{{CPUs: []string{"v3"}, Machines: []string{"pc"}, Version: 1}, {CPUs: []string{"v3"}, Machines: []string{"pc"}, Version: 2}},
		Shapes:  []plan.Shape{{Name: "m", CPU: "v3", Machine: "pc", MemoryMiB: 4096, VCPUs: 2}},
	}
	k := plan.Cluster{Region: "s/r", FailureDomain: plan.LevelHost}
	for _, at := range []model.Path{"s/r/az1/a/mon1", "s/r/az1/b/mon2", "s/r/az1/c/osd1", "s/r/az1/d/osd2", "s/r/az1/e/osd3", "s/r/az2/a/mon3", "s/r/az2/c/osd4", "s/r/az2/d/osd5", "s/r/az2/e/osd6"} {
		i, h := int32(len(f.Hosts)), plan.Host{Path: at, Change: true, Class: -1, ClassAfter: -1, Ceph: 16, CephAfter: 18, MiBs: 1000}
		if strings.HasPrefix(at.Name(), "mon") {
			k.Mons = append(k.Mons, i)
		} else {
			h.Class, h.ClassAfter, h.VCPUs, h.MemoryMiB = 0, 1, 32, 65536
			k.OSDHosts = append(k.OSDHosts, i)
			f.VMs.Names, f.VMs.Host, f.VMs.Shape = append(f.VMs.Names, "vm-"+at.Name()), append(f.VMs.Host, i), append(f.VMs.Shape, 0)
		}
		f.Hosts = append(f.Hosts, h)
	}
	k.Mgrs = slices.Clone(k.Mons[:2])
	k.Pools = []plan.Pool{{Name: "vms", Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{2, 3, 6, 4, 7, 8}, Count: plan.Ints{8, 8}}}
	f.Clusters = []plan.Cluster{k}
	f.Groups = []plan.Group{{Name: "mon of s/r", Kind: plan.Quorum, Hosts: slices.Clone(k.Mons)}, {Name: "mgr of s/r", Kind: plan.Standby, Hosts: slices.Clone(k.Mgrs)}}
	return f, plan.Policy{Canary: 1, MaxParallel: 2, Method: plan.MethodSlot, Survive: "A+C", Times: plan.Times{Host: 600, Recovery: 60, Settle: 5}}
}

// Where the release of Ceph rises, the hosts of all monitors go before the first one with OSDs, in every zone, and each batch is accepted on top of those before.
func TestMonitorsGoFirst(t *testing.T) {
	f, p := apart()
	f.Clusters[0].Filesystems = []plan.Filesystem{{Name: "home", Ranks: 1}}
	c, err := wave.Solve(f, p)
	if err != nil {
		t.Fatal(err)
	}
	mons, seen := 0, 0
	for i, b := range c.Batches {
		for _, h := range b.Hosts {
			if seen++; slices.Contains(f.Clusters[0].Mons, h) {
				mons++
			} else if mons < 3 {
				t.Errorf("batch %d takes %s, and %d monitors have the new release", i, f.Hosts[h].Path, mons)
			}
		}
		if err := verify.Batch(f, p, b); err != nil {
			t.Errorf("batch %d: %v", i, err)
		}
		wave.Advance(&f, []plan.Batch{b})
	}
	if seen != len(f.Hosts) || c.Grade != "A+C" {
		t.Errorf("%d hosts are changed, grade %s", seen, c.Grade)
	}
	if c.Batches[0].Zone == c.Batches[2].Zone {
		t.Errorf("the third batch is in %s: nothing shows that zones are visited again", c.Batches[2].Zone)
	}
}

// What cannot rise in order is refused, with the place and the reason.
func TestReleasesThatCannotRise(t *testing.T) {
	for name, x := range map[string]struct {
		text   string
		damage func(*plan.Fleet)
	}{
		"a host of both":         {"its OSDs would run Ceph 18 while the monitor of mon2 still has 16", func(f *plan.Fleet) { f.Clusters[0].OSDHosts = append(plan.Ints{0}, f.Clusters[0].OSDHosts...) }},
		"a monitor that stays":   {"the monitor of mon3 stays with 16", func(f *plan.Fleet) { f.Hosts[5].Change, f.Hosts[5].CephAfter = false, 16 }},
		"a monitor that is down": {"is down, and the release of Ceph rises only with all", func(f *plan.Fleet) { f.Hosts[5].Change, f.Hosts[5].Down = false, true }},
		"two monitors":           {"has 2 monitors", func(f *plan.Fleet) { f.Clusters[0].Mons = f.Clusters[0].Mons[:2] }},
		"two ranks":              {"file system home has 2 ranks", func(f *plan.Fleet) { f.Clusters[0].Filesystems = []plan.Filesystem{{Name: "home", Ranks: 2}} }},
		"a follower": {"standbys of file system home follow", func(f *plan.Fleet) {
			f.Clusters[0].Filesystems = []plan.Filesystem{{Name: "home", Ranks: 1, StandbyReplay: true}}
		}},
		"three releases at once":    {"not from 15 to 18", func(f *plan.Fleet) { f.Hosts[2].Ceph = 15 }},
		"a second region beside it": {"changes hosts of s/q as well", func(f *plan.Fleet) { f.Hosts[8].Path = "s/q/az2/e/osd6" }},
	} {
		f, p := apart()
		x.damage(&f)
		var refused *plan.Refusal
		if _, err := wave.Solve(f, p); !errors.As(err, &refused) || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The same hosts without a change of release go zone by zone, as ever.
func TestTheSameReleaseGoesZoneByZone(t *testing.T) {
	f, p := apart()
	for i := range f.Hosts {
		f.Hosts[i].CephAfter = 16
	}
	c, err := wave.Solve(f, p)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(c.Batches, func(a, b plan.Batch) int { return strings.Compare(string(a.Zone), string(b.Zone)) }) {
		t.Error("zones are visited again")
	}
}
