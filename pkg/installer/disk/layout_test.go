package disk

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func TestScript(t *testing.T) {
	l, err := NewLayout(12<<30, 0, testNonce)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sfdisk.txt", l.Script())
}

func TestLayoutSizes(t *testing.T) {
	for _, c := range []struct {
		sizeGiB int64
		wish    int
		slots   int
		err     error
	}{
		{7, 0, 0, ErrTooSmall}, {8, 0, 3, nil}, {12, 0, 3, nil}, {40, 0, 8, nil}, {960, 0, 24, nil}, {12, 5, 5, nil}, {12, 6, 0, ErrTooSmall}, {100, 40, 40, nil},
	} {
		l, err := NewLayout(c.sizeGiB<<30, c.wish, testNonce)
		if !errors.Is(err, c.err) || l.SlotGiB != c.slots {
			t.Errorf("%d GiB, wish %d: slots of %d GiB, %v; want %d, %v", c.sizeGiB, c.wish, l.SlotGiB, err, c.slots, c.err)
		}
	}
}

// Every accepted layout fits on its disk and leaves the state partition its least size.
func TestLayoutFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1<<45).Draw(t, "size")
		l, err := NewLayout(size, rapid.IntRange(0, 100).Draw(t, "slot"), testNonce)
		if err != nil {
			return
		}
		var sum int64
		for _, p := range l.Partitions() {
			sum += p.SizeMiB
		}
		if (sum+stateMiB+2)*mib > size {
			t.Fatalf("%d MiB on a disk of %d", sum+stateMiB+2, size/mib)
		}
	})
}

func TestHolds(t *testing.T) {
	l := Layout{SlotGiB: 4}
	if err := l.Holds(3 << 30); err != nil {
		t.Error(err)
	}
	if err := l.Holds(3<<30 + 1); !errors.Is(err, ErrTooSmall) {
		t.Errorf("got %v", err)
	}
}

func TestNamesAreStable(t *testing.T) {
	if got := FSUUID(testNonce, PartA); len(got) != 36 || got[14] != '8' {
		t.Errorf("not a UUID of version 8: %s", got)
	}
	seen := map[string]bool{}
	for _, p := range (Layout{}).Partitions() {
		for _, id := range []string{PartUUID(testNonce, p.Name), FSUUID(testNonce, p.Name), PartUUID("ff", p.Name)} {
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
		}
		if Number(p.Name) != p.Number {
			t.Errorf("Number(%s) = %d", p.Name, Number(p.Name))
		}
	}
	if PartPath("/dev/vda", 3) != "/dev/vda3" || PartPath("/dev/nvme0n1", 3) != "/dev/nvme0n1p3" {
		t.Error("partition names")
	}
}
