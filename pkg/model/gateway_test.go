package model

import (
	"slices"
	"testing"
)

// TestGatewayPools: they follow the declared pool with most copies, hold little, and leave alone what is declared.
func TestGatewayPools(t *testing.T) {
	find := func(c *Ceph, name string) (Pool, bool) {
		list := c.GatewayPools()
		i := slices.IndexFunc(list, func(p Pool) bool { return p.Name == name })
		if i < 0 {
			return Pool{}, false
		}
		return list[i], true
	}
	c := &Ceph{}
	if p, ok := find(c, gatewayData); !ok || p.Size != 3 || p.MinSize != 2 || p.LeastPGs != 0 || c.BucketPool() != gatewayData {
		t.Errorf("with no pool declared: %+v", p)
	}
	c.Pools = []Pool{{Name: "a", Size: 2, MinSize: 1, Application: "rbd"}, {Name: "vms", Size: 4, MinSize: 2, DeviceClass: "ssd", Application: "rbd"},
		{Name: "objects", K: 4, M: 2, MinSize: 5, DeviceClass: "hdd", Application: "rgw"}, {Name: "default.rgw.log", Size: 3, MinSize: 2, Application: "rgw"}}
	if p, ok := find(c, "default.rgw.meta"); !ok || p.Size != 4 || p.DeviceClass != "ssd" || p.LeastPGs == 0 || p.Application != "rgw" {
		t.Errorf("beside declared pools: %+v", p)
	}
	for _, name := range []string{"objects", "default.rgw.log", gatewayData} {
		if _, ok := find(c, name); ok {
			t.Errorf("pool %s is made twice, or needlessly", name)
		}
	}
	if c.BucketPool() != "objects" || len(c.BucketPools()) != 1 {
		t.Errorf("buckets are in %v", c.BucketPools())
	}
}
