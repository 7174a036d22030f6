package wave

import (
	"math/bits"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

// wishes are a batch's moves by virtual machine.
func wishes(m plan.Moves) map[int32]move {
	out := make(map[int32]move, len(m.VM))
	for i, v := range m.VM {
		w := move{vm: v, to: m.To[i]}
		if len(m.Cells) > 0 {
			w.has = m.Cells[i]
		}
		out[v] = w
	}
	return out
}

func (k *packing) wished(v int32) bool {
	_, ok := k.wishes[v]
	return ok
}

// grant moves a virtual machine to where it is wished to go, when it can go there.
func (k *packing) grant(v int32) bool {
	w, ok := k.wishes[v]
	if !ok {
		return false
	}
	l, s := k.c.local[w.to], k.shape(v)
	from := k.class[k.c.local[k.at[v]]]
	if k.c.zoneOf[w.to] != k.z || slices.Contains(k.batch, l) || k.treeOf(l) == nil || from < 0 || !k.c.runs(k.c.f.VMs.Shape[v], from, k.class[l]) {
		return false
	}
	if s.Cells > 0 && !holds(k.cells[l], s, w.has) || s.Cells == 0 && (k.free[l].memory < s.MemoryMiB || k.free[l].vcpus < s.VCPUs) || !k.fits(v, s, l) {
		return false
	}
	k.enterCells(v, l, w.has)
	return true
}

// holds reports whether a pinned shape fits into these cells.
func holds(cells []plan.Cell, s *plan.Shape, mask int32) bool {
	part := share(s)
	for m := mask; m != 0; m &= m - 1 {
		if i := bits.TrailingZeros32(uint32(m)); i >= len(cells) || cells[i].CPUs < part.CPUs || cells[i].HugeMiB < part.HugeMiB {
			return false
		}
	}
	return bits.OnesCount32(uint32(mask)) == s.Cells
}
