package adopt

import (
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// TestFileable: what an inventory has words for, and why it does not for others.
func TestFileable(t *testing.T) {
	pools := []model.Pool{{Name: "meta", Size: 3, Application: "cephfs"}, {Name: "data", Size: 3, Application: "cephfs"}, {Name: "big", K: 4, M: 2, Application: "cephfs"}, {Name: "vms", Size: 3, Application: "rbd"}}
	for name, c := range map[string]struct {
		damage func(*model.ObservedFilesystem)
		want   string
	}{
		"one that is":           {func(*model.ObservedFilesystem) {}, ""},
		"a strange name":        {func(f *model.ObservedFilesystem) { f.Name = "a b" }, "no name that the inventory takes"},
		"no pool":               {func(f *model.ObservedFilesystem) { f.Data = nil }, "no data pool"},
		"two ranks":             {func(f *model.ObservedFilesystem) { f.MaxMDS = 2 }, "max_mds 2"},
		"a pool of disks":       {func(f *model.ObservedFilesystem) { f.Data[1] = "vms" }, "pool vms is not among"},
		"a default pool coded":  {func(f *model.ObservedFilesystem) { f.Data = []string{"big"} }, "pool big is erasure-coded"},
		"names among the files": {func(f *model.ObservedFilesystem) { f.Data = []string{"meta"} }, "pool meta serves two purposes"},
	} {
		f := model.ObservedFilesystem{Name: "home", Metadata: "meta", Data: []string{"data", "big"}, MaxMDS: 1}
		c.damage(&f)
		if err := fileable(pools, f); (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
