package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrState says that the state partition of a disk, which is not to be lost, cannot be kept. Nothing was written.
var ErrState = errors.New("the state partition cannot be kept")

// attrKept is set on a state partition that was there before the table was written: what it holds is older than the nonce in the disk's GUID. The
// bit is the first of those that UEFI leaves to the partition's type, whose users give it no meaning.
const attrKept = "GUID:48"

// Kept reports whether the table says that its state partition is older than its nonce.
func Kept(table []Extent) bool {
	return slices.ContainsFunc(table, func(p Extent) bool { return p.Name == PartState && slices.Contains(strings.Fields(p.Attrs), attrKept) })
}

// Keeping is the layout of a disk whose partitions stay where they are, under a new nonce. wish is the size that the slots should have, in GiB; 0: as
// they are. The error wraps ErrState.
func Keeping(table []Extent, wish int, nonce string) (Layout, error) {
	l := Layout{Nonce: nonce, Laid: table}
	want := l.Partitions()
	if len(table) != len(want) {
		return l, fmt.Errorf("%w: the disk has %d partitions, a disk of nubo's has %d", ErrState, len(table), len(want))
	}
	for i, p := range want {
		if table[i].Name != p.Name || !strings.HasSuffix(table[i].Node, fmt.Sprint(p.Number)) {
			return l, fmt.Errorf("%w: partition %d (%s) is called %q, not %q", ErrState, p.Number, table[i].Node, table[i].Name, p.Name)
		}
		if p.Name == PartA {
			l.SlotGiB = int(table[i].Size * table[i].Sector / gib)
		}
	}
	if wish != 0 && wish != l.SlotGiB {
		return l, fmt.Errorf("%w: the profile wants slots of %d GiB, and those on the disk have %d GiB", ErrState, wish, l.SlotGiB)
	}
	return l, nil
}
