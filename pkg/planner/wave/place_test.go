package wave_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/plan/plantest"
	"github.com/nuboctl/nuboctl/pkg/planner/wave"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
	"github.com/nuboctl/nuboctl/pkg/verify"
)

// advanced is a fleet after the first batches of its certificate.
func advanced(c plan.Certificate, batches int) plan.Fleet {
	f := c.Fleet
	f.Hosts, f.VMs.Host, f.VMs.Cells = slices.Clone(f.Hosts), slices.Clone(f.VMs.Host), slices.Clone(f.VMs.Cells)
	for _, b := range c.Batches[:batches] {
		for _, h := range b.Hosts {
			f.Hosts[h].Change, f.Hosts[h].Class = false, f.Hosts[h].ClassAfter
		}
		for i, v := range b.Moves.VM {
			f.VMs.Host[v] = b.Moves.To[i]
			if len(b.Moves.Cells) > 0 {
				f.VMs.Cells[v] = b.Moves.Cells[i]
			}
		}
	}
	return f
}

// A batch that is solved again from the fleet that its certificate foresaw holds; and from a fleet in which machines have gone, others have moved and a
// host has died it holds in the verifier's eyes, or is refused.
func TestPlacedAgainABatchHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, p := plantest.Fleet(rapid.Uint64().Draw(t, "seed"), plantest.Small)
		c, ok := solve(t, f, p)
		if !ok {
			t.Skip("refused")
		}
		i := rapid.IntRange(0, len(c.Batches)-1).Draw(t, "batch")
		now := advanced(c, i)
		again, err := wave.Place(now, p, c.Batches[i])
		if err != nil {
			t.Fatalf("the foreseen fleet: %v", err)
		}
		if err := verify.Batch(now, p, again); err != nil {
			t.Fatalf("the foreseen fleet: %v", err)
		}
		if want := c.Batches[i].Moves; len(c.Batches[i].Stops) == 0 && (!slices.Equal(again.Moves.VM, want.VM) || !slices.Equal(again.Moves.To, want.To)) {
			t.Fatalf("the foreseen fleet: machines were to go\n%v, and go\n%v", want, again.Moves)
		}
		disturb(t, &now, c.Batches[i])
		again, err = wave.Place(now, p, c.Batches[i])
		var r *plan.Refusal
		if errors.As(err, &r) {
			return
		}
		if err := verify.Batch(now, p, again); err != nil {
			t.Fatalf("a disturbed fleet: %v", err)
		}
	})
}

// disturb moves virtual machines between hosts of the same class where there is room to spare, and may kill a host.
func disturb(t *rapid.T, f *plan.Fleet, b plan.Batch) {
	memory, vcpus := make([]int64, len(f.Hosts)), make([]int64, len(f.Hosts))
	for v, h := range f.VMs.Host {
		if s := f.Shapes[f.VMs.Shape[v]]; s.Cells == 0 {
			memory[h], vcpus[h] = memory[h]+s.MemoryMiB, vcpus[h]+s.VCPUs
		}
	}
	for range rapid.IntRange(0, 40).Draw(t, "moves") {
		v := rapid.IntRange(0, len(f.VMs.Host)-1).Draw(t, "vm")
		to := int32(rapid.IntRange(0, len(f.Hosts)-1).Draw(t, "to"))
		s, from := f.Shapes[f.VMs.Shape[v]], f.VMs.Host[v]
		if s.Cells > 0 || f.Hosts[to].Class != f.Hosts[from].Class || f.Hosts[to].Down || f.Hosts[from].Down || f.Hosts[to].Path.Zone() != f.Hosts[from].Path.Zone() ||
			slices.Contains(f.VMs.Fixed, int32(v)) || memory[to]+s.MemoryMiB > f.Hosts[to].MemoryMiB || vcpus[to]+s.VCPUs > f.Hosts[to].VCPUs {
			continue
		}
		memory[from], vcpus[from] = memory[from]-s.MemoryMiB, vcpus[from]-s.VCPUs
		memory[to], vcpus[to] = memory[to]+s.MemoryMiB, vcpus[to]+s.VCPUs
		f.VMs.Host[v] = to
	}
	if dies := int32(rapid.IntRange(0, 3*len(f.Hosts)).Draw(t, "dies")); int(dies) < len(f.Hosts) {
		f.Hosts[dies].Down, f.Hosts[dies].Change = true, false
	}
}
