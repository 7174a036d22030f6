package fleet

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/host/kvm"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// A copy keeps its mark until the disk at its source is put aside, and all of it may be done again.
func TestRetireDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "a disk.raw")
	for _, name := range []string{disk, disk + copyMark} {
		if err := os.WriteFile(name, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	here := remote.Local{}
	broken := (&remote.Fake{}).Fail("mv", 1, "read-only file system")
	if err := retire(t.Context(), broken, here, disk); err == nil || !there(disk+copyMark) {
		t.Errorf("the source could not be put aside, %v, and the mark is there: %v", err, there(disk+copyMark))
	}
	local := []kvm.LocalDisk{{Kind: "file", Path: disk}, {Kind: "file", Path: disk + "-2"}, {Kind: "block", Path: disk}}
	if left, err := copies(t.Context(), here, local); err != nil || !slices.Equal(left, []string{disk}) {
		t.Errorf("marked: %q, %v", left, err)
	}
	for range 2 {
		if err := retire(t.Context(), here, here, disk); err != nil {
			t.Fatal(err)
		}
		if there(disk) || !there(disk+oldMark) || there(disk+copyMark) {
			t.Errorf("retired: %v, aside %v, mark %v", there(disk), there(disk+oldMark), there(disk+copyMark))
		}
	}
}

// A file that is a disk of another machine is nothing to copy into, whatever stands beside it.
func TestTakenDisk(t *testing.T) {
	one, two := kvm.Observed{}, kvm.Observed{}
	one.Name, two.Name = "one", "two"
	one.Traits.Local = []kvm.LocalDisk{{Kind: "file", Path: "/srv/disk.raw"}}
	domains := []kvm.Observed{two, one}
	if err := taken(domains, "three", "/srv/disk.raw"); err == nil || !strings.Contains(err.Error(), "/srv/disk.raw is a disk of one") {
		t.Error(err)
	}
	if err := taken(domains, "one", "/srv/disk.raw"); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := taken(domains, "three", "/srv/disk.raw2"); err != nil {
		t.Errorf("another file: %v", err)
	}
}
