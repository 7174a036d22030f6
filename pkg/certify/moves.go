package certify

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// place is a host, and its NUMA cells.
type place struct{ host, cells int32 }

// moves are the virtual machines that were given a destination, in the order of what happened to them. An observation takes time: a machine that began to
// move after it was looked at, and may have arrived since, must not be placed a second time.
type moves struct {
	now    int // counts what ends
	failed int // when a move failed last
	of     map[string]move
}

type move struct {
	place
	ended int // 0: under way
}

func newMoves() moves { return moves{of: map[string]move{}} }

func (m *moves) begin(vm string, to place) { m.of[vm] = move{place: to} }

func (m *moves) end(vm string, err error) {
	m.now++
	if err != nil {
		m.failed = m.now
		delete(m.of, vm) // where it is, the next observation tells
		return
	}
	x := m.of[vm]
	x.ended = m.now
	m.of[vm] = x
}

// apply puts the machines of an observation that are under way, or have arrived since it began, where they go.
func (m *moves) apply(f *plan.Fleet, began int) {
	f.VMs.Host, f.VMs.Cells = slices.Clone(f.VMs.Host), slices.Clone(f.VMs.Cells)
	for i, name := range f.VMs.Names {
		x, ok := m.of[name]
		if !ok || (x.ended > 0 && x.ended <= began) {
			continue
		}
		if f.VMs.Host[i] = x.host; len(f.VMs.Cells) > 0 {
			f.VMs.Cells[i] = x.cells
		}
	}
}
