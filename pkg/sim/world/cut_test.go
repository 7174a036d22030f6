package world

import (
	"errors"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// ring is a region of three racks with one host each, a monitor and a copy of everything on every host, and one machine.
func ring() *World {
	f := plan.Fleet{
		Classes: []plan.Class{{CPUs: []string{"v3"}, Machines: []string{"pc"}}}, Shapes: []plan.Shape{{Name: "m", CPU: "v3", Machine: "pc", MemoryMiB: 4096, VCPUs: 2}},
		Clusters: []plan.Cluster{{Region: "s/r", FailureDomain: plan.LevelRack, OSDHosts: plan.Ints{0, 1, 2},
			Pools: []plan.Pool{{Name: "vms", Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{0, 1, 2}, Count: plan.Ints{8}}}}},
		Groups: []plan.Group{{Name: "mon", Kind: plan.Quorum, Hosts: plan.Ints{0, 1, 2}}},
		VMs:    plan.VMs{Names: []string{"a"}, Host: plan.Ints{0}, Shape: plan.Ints{0}},
	}
	for _, p := range []model.Path{"s/r/z/a/h", "s/r/z/b/h", "s/r/z/c/h"} {
		f.Hosts = append(f.Hosts, plan.Host{Path: p, VCPUs: 16, MemoryMiB: 65536, Change: true})
	}
	return New(f, Options{Seed: 1, Faults: Faults{Slow: time.Second}})
}

// A host whose storage network is cut answers, and its daemons and its machines are of no use to anybody until it is back and has caught up.
func TestAHostWithoutItsStorageNetwork(t *testing.T) {
	w := ring()
	s, n := storage{w}, w.desired.Nodes
	serving := func(want, complete int) {
		t.Helper()
		if got, whole := w.Truth.Serving(&w.Truth.PGs[0]); got != want || whole != complete {
			t.Errorf("%d copies serve and %d of them are complete; want %d and %d", got, whole, want, complete)
		}
	}
	w.Cut([]int32{2}, false)
	serving(2, 2)
	if c, err := s.Observe(t.Context(), n[2]); err != nil || c.Daemons != "" {
		t.Errorf("its daemons are %q, %v; they run, and are not in service", c.Daemons, err)
	}
	if err := s.OKToStop(t.Context(), n[0]); err == nil {
		t.Error("Ceph lets another host go beside it")
	}
	if err := w.Stoppable(t.Context(), n[0]); err == nil {
		t.Error("a monitor may go beside one that is out of quorum")
	}
	if err := (guests{w}).Migrate(t.Context(), "a", n[0], n[2], func(plan.Progress) {}); err == nil {
		t.Error("a machine moves to where its disks are not")
	}
	if _, err := w.Fleet(t.Context(), nil); err == nil {
		t.Error("a monitor is out of quorum, and a plan is made")
	}
	if wrong, _ := w.Health(t.Context(), "s/r", nil); len(wrong) == 0 {
		t.Error("the region is well")
	}
	w.Mend([]int32{2}, false)
	serving(3, 2)
	w.Time.Until(w.Time.Since() + 5*time.Minute)
	serving(3, 3)
}

// Behind its uplink a host does not answer either; with two of three cut off from each other there is no quorum, and nobody can tell anything.
func TestWithoutAQuorumNobodyCanTell(t *testing.T) {
	w := ring()
	w.Cut([]int32{1}, true)
	if _, err := (storage{w}).Observe(t.Context(), w.desired.Nodes[1]); err == nil || errors.Is(err, errNobody) {
		t.Errorf("it answers behind its uplink: %v", err)
	}
	if _, err := (storage{w}).Observe(t.Context(), w.desired.Nodes[0]); err != nil {
		t.Error(err)
	}
	w.Cut([]int32{2}, false)
	if _, err := (storage{w}).Observe(t.Context(), w.desired.Nodes[0]); !errors.Is(err, errNobody) {
		t.Errorf("got %v", err)
	}
	if err := (storage{w}).SetNoout(t.Context(), w.desired.Nodes[0], w.Time.Now().Add(time.Hour)); !errors.Is(err, errNobody) {
		t.Errorf("noout without a quorum: %v", err)
	}
	if serving, _ := w.Truth.Serving(&w.Truth.PGs[0]); serving != 0 {
		t.Errorf("%d copies serve without monitors", serving)
	}
	// The first was away while the others went on, the second while the first was back.
	w.Mend([]int32{1}, true)
	w.Mend([]int32{2}, false)
	if serving, complete := w.Truth.Serving(&w.Truth.PGs[0]); serving != 3 || complete != 1 {
		t.Errorf("%d serve, %d are complete", serving, complete)
	}
	w.Time.Until(w.Time.Since() + 5*time.Minute)
	if _, complete := w.Truth.Serving(&w.Truth.PGs[0]); complete != 3 {
		t.Errorf("%d are complete in the end", complete)
	}
}

// What is under way over a network that is cut stays where it was.
func TestAMoveIsCut(t *testing.T) {
	w := ring()
	w.Time.After(time.Second, func() { w.Cut([]int32{1}, false) })
	var err error
	done := false
	w.Time.Go(func() {
		err = guests{w}.Migrate(t.Context(), "a", w.desired.Nodes[0], w.desired.Nodes[1], func(plan.Progress) {})
		done = true
	})
	w.Time.Until(10 * time.Minute)
	if vm := w.Truth.VMs[0]; !done || !errors.Is(err, errAborted) || vm.Host != 0 || vm.State != Running || errors.Is(err, ops.ErrNoRoom) {
		t.Errorf("done %v, %v; it is on host %d", done, err, vm.Host)
	}
}
