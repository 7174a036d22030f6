package plantest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
)

// What the contract of plan.Fleet says of order and indexes holds for every fleet, and no host is fuller than it is large.
func TestFleetsAreWellFormed(t *testing.T) {
	for seed := range uint64(60) {
		f, p := plantest.Fleet(seed, plantest.Small)
		if !slices.IsSortedFunc(f.Hosts, func(a, b plan.Host) int { return strings.Compare(string(a.Path), string(b.Path)) }) {
			t.Fatalf("seed %d: hosts are not sorted", seed)
		}
		if !slices.IsSorted(f.VMs.Names) || len(f.VMs.Host) != len(f.VMs.Names) || len(f.VMs.Shape) != len(f.VMs.Names) || len(f.VMs.Names) == 0 {
			t.Fatalf("seed %d: the columns of virtual machines are not sorted, or of different lengths", seed)
		}
		vcpus, memory := make([]int64, len(f.Hosts)), make([]int64, len(f.Hosts))
		for i, h := range f.VMs.Host {
			if s := f.Shapes[f.VMs.Shape[i]]; s.Cells == 0 {
				vcpus[h], memory[h] = vcpus[h]+s.VCPUs, memory[h]+s.MemoryMiB
			}
		}
		for i, h := range f.Hosts {
			if vcpus[i] > h.VCPUs || memory[i] > h.MemoryMiB {
				t.Errorf("seed %d: %s is overfull", seed, h.Path)
			}
		}
		for _, a := range f.Apart {
			if len(a.VMs) < 2 || !slices.IsSorted(a.VMs) {
				t.Errorf("seed %d: group %s is %v", seed, a.Name, a.VMs)
			}
		}
		if p.Survive == "" {
			t.Errorf("seed %d: no grade is asked for", seed)
		}
	}
}

func TestTheSameSeedGivesTheSameFleet(t *testing.T) {
	digest := func(seed uint64) model.Digest {
		f, p := plantest.Fleet(seed, plantest.Medium)
		return model.DigestJSON([]any{f, p})
	}
	first, again := digest(7), digest(7)
	if first != again {
		t.Error("two fleets of a seed differ")
	}
	if first == digest(8) {
		t.Error("the seed changes nothing")
	}
}
