package world

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// three are three hosts in two zones, with as many placement groups on all of them that one in six is some.
func three(f Faults) *World {
	fleet := plan.Fleet{Classes: []plan.Class{{}}}
	pool := plan.Pool{Name: "vms", Size: 3, MinSize: 2, Data: 1}
	for i, zone := range []string{"a", "a", "b"} {
		fleet.Hosts = append(fleet.Hosts, plan.Host{Path: model.Path(fmt.Sprintf("s/r/%s/k/h%d", zone, i)), Change: true})
	}
	for range 60 {
		pool.Acting, pool.Count = append(pool.Acting, 0, 1, 2), append(pool.Count, 1)
	}
	fleet.Clusters = []plan.Cluster{{Region: "s/r", FailureDomain: plan.LevelHost, OSDHosts: plan.Ints{0, 1, 2}, Pools: []plan.Pool{pool}}}
	return New(fleet, Options{Seed: 1, Faults: f})
}

// missing counts the copies that an observation does not show.
func missing(t *testing.T, w *World) int {
	t.Helper()
	f, err := w.Fleet(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, h := range f.Clusters[0].Pools[0].Acting {
		if h < 0 {
			n++
		}
	}
	return n
}

// TestADiskThatFailsHoldsTheOthers: Ceph refuses, the region is not healthy, and an observation shows copies missing, until they are made anew.
func TestADiskThatFailsHoldsTheOthers(t *testing.T) {
	w := three(Faults{})
	s := storage{w}
	w.LoseOSD(0)
	if n := missing(t, w); n == 0 || n == 60 {
		t.Fatalf("%d copies are missing of 60", n)
	}
	for h, want := range []bool{true, false, false} { // its own host takes no further copy of these
		if err := s.OKToStop(t.Context(), w.desired.Nodes[h]); (err == nil) != want {
			t.Errorf("host %d: %v", h, err)
		}
	}
	if wrong := ill(t, w); len(wrong) != 1 || !strings.Contains(wrong[0], "not active and clean") {
		t.Errorf("%v", wrong)
	}
	w.Time.Until(outAfter + backfillTime + time.Second)
	if n := missing(t, w); n > 0 || len(ill(t, w)) > 0 {
		t.Errorf("%d copies are missing in the end, %v", n, ill(t, w))
	}
	if err := s.OKToStop(t.Context(), w.desired.Nodes[1]); err != nil {
		t.Error(err)
	}
}

// TestADeadDiskWaits for noout to end and for its host to come back, and a host that comes back does not bring its copies.
func TestADeadDiskWaits(t *testing.T) {
	w := three(Faults{})
	if err := (storage{w}).SetNoout(t.Context(), w.desired.Nodes[0], w.Time.Now().Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.LoseOSD(0)
	gone := missing(t, w)
	w.daemonsDown(0, true)
	w.Time.Until(time.Hour)
	w.daemonsUp(0)
	w.Time.Until(3 * time.Hour)
	if n := missing(t, w); n != gone {
		t.Errorf("%d copies are missing, %d were", n, gone)
	}
	w.Time.Until(3*time.Hour + backfillTime + time.Minute)
	if n := missing(t, w); n > 0 {
		t.Errorf("%d copies are missing in the end", n)
	}
}

// TestAZoneThatIsCutOffCountsAsLost: neither hosts nor BMCs answer, and what nobody sees goes on.
func TestAZoneThatIsCutOffCountsAsLost(t *testing.T) {
	w := three(Faults{Split: 1e-9})
	cut := func() (n int) {
		f, err := w.Fleet(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		p := w.Ports(nil)
		for i := range f.Hosts {
			node := w.desired.Nodes[i]
			_, ssh := p.Storage.Observe(t.Context(), node)
			_, bmc := p.Machines.Open(t.Context(), node)
			if (ssh == nil) == f.Hosts[i].Down || (bmc == nil) == f.Hosts[i].Down || f.Hosts[i].Change == f.Hosts[i].Down {
				t.Errorf("%s: %v, %v, %+v", node.Path, ssh, bmc, f.Hosts[i])
			}
			if f.Hosts[i].Down {
				n++
			}
			if !w.Truth.Hosts[i].Up || !w.Truth.Hosts[i].Daemons {
				t.Errorf("%s is down", node.Path)
			}
		}
		return n
	}
	w.split()
	if n := cut(); n != 1 && n != 2 {
		t.Errorf("%d hosts are cut off", n)
	}
	w.Time.Until(41 * time.Minute)
	if n := cut(); n != 0 {
		t.Errorf("%d hosts are still cut off", n)
	}
}

func ill(t *testing.T, w *World) []string {
	t.Helper()
	wrong, err := w.Health(t.Context(), "s/r", nil)
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}
