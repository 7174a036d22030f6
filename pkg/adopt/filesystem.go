package adopt

import (
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// filesystem is the cluster's file system in the inventory's words, which have room for one; others are left out, and told.
func (x *describer) filesystem(r *region, list []model.ObservedFilesystem) {
	for _, f := range list {
		err := fileable(r.ceph.Pools, f)
		if err == nil && r.ceph.Filesystem != nil {
			err = fmt.Errorf("the inventory names one file system a cluster, and it names %s", r.ceph.Filesystem.Name)
		}
		if err != nil {
			x.remark("file system "+f.Name, "it is left out, and nuboctl leaves it alone: %v", err)
			continue
		}
		r.ceph.Filesystem = &model.Filesystem{Name: f.Name, Metadata: f.Metadata, Data: f.Data}
	}
}

// fileable says why an inventory with these pools does not take a file system.
func fileable(pools []model.Pool, f model.ObservedFilesystem) error {
	if !poolName.MatchString(f.Name) {
		return fmt.Errorf("%q is no name that the inventory takes", f.Name)
	}
	if len(f.Data) == 0 {
		return fmt.Errorf("it has no data pool")
	}
	if f.MaxMDS != 1 || f.StandbyReplay || f.Failed {
		return fmt.Errorf("it has max_mds %d, standby-replay %t and is taken down %t, and the inventory knows one rank and plain standbys", f.MaxMDS, f.StandbyReplay, f.Failed)
	}
	all := append([]string{f.Metadata}, f.Data...)
	for i, name := range all {
		k := slices.IndexFunc(pools, func(p model.Pool) bool { return p.Name == name && p.Application == "cephfs" })
		switch {
		case k < 0:
			return fmt.Errorf("its pool %s is not among those that are described for cephfs", name)
		case i < 2 && pools[k].K > 0:
			return fmt.Errorf("its pool %s is erasure-coded, and the inventory wants copies there", name)
		case slices.Contains(all[:i], name):
			return fmt.Errorf("its pool %s serves two purposes", name)
		}
	}
	return nil
}
