package synthetic

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// pgsPerOSD is what Ceph's autoscaler aims at (mon_target_pg_per_osd).
const pgsPerOSD = 100

// defaultOSDGiB is the size of a disk of which the inventory does not say it; half of each is used.
const defaultOSDGiB = 4 << 10

// osd is an OSD with the number of the failure domain that it lies in.
type osd struct {
	id     int32
	domain int32
	class  string
}

// cluster is a region's healthy cluster: every OSD up and in, every monitor in quorum, every placement group complete.
func cluster(d model.Desired, r model.Region, profiles map[string]model.Profile, seed uint64) (model.ObservedCeph, error) {
	c := model.ObservedCeph{Region: r.Path, FSID: r.Ceph.FSID, Health: "HEALTH_OK"}
	if c.FSID == "" {
		sum := model.DigestBytes([]byte("cluster of " + string(r.Path))).Hex()
		c.FSID = sum[:8] + "-" + sum[8:12] + "-4" + sum[13:16] + "-a" + sum[17:20] + "-" + sum[20:32]
	}
	var all []osd
	domains := map[model.Path]int32{}
	for _, n := range d.Nodes {
		if !r.Path.Contains(n.Path) {
			continue
		}
		if slices.Contains(n.Roles, model.RoleCephMon) {
			c.Mons = append(c.Mons, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Version: cephVersion})
		}
		if slices.Contains(n.Roles, model.RoleCephMgr) {
			c.Mgrs = append(c.Mgrs, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Active: len(c.Mgrs) == 0, Version: cephVersion})
		}
		if slices.Contains(n.Roles, model.RoleCephMDS) {
			c.MDSs = append(c.MDSs, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Active: len(c.MDSs) == 0, Version: cephVersion})
		}
		if slices.Contains(n.Roles, model.RoleCephRGW) {
			c.RGWs = append(c.RGWs, model.ObservedDaemon{Name: n.Name, Node: n.Path, Up: true, Version: cephVersion})
		}
		if !slices.Contains(n.Roles, model.RoleCephOSD) {
			continue
		}
		p := profiles[n.Profile]
		where := domainOf(n, r.Ceph.FailureDomain)
		if _, ok := domains[where]; !ok {
			domains[where] = int32(len(domains))
		}
		location, class := location(n), classOf(p, r.Ceph.Pools)
		for range max(p.OSDs, 1) {
			id := len(c.OSDs)
			all = append(all, osd{int32(id), domains[where], class})
			c.OSDs = append(c.OSDs, model.ObservedOSD{ID: id, Node: n.Path, Up: true, In: true, Class: class, Location: location, Version: cephVersion,
				Bytes: int64(cmp.Or(p.OSDGiB, defaultOSDGiB)) << 30, Used: int64(cmp.Or(p.OSDGiB, defaultOSDGiB)) << 29})
		}
	}
	var errs []error
	for i, p := range r.Ceph.Pools {
		pool, err := pool(r, i, p, all, seed)
		c.Pools, errs = append(c.Pools, pool), append(errs, err)
	}
	if f := r.Ceph.Filesystem; f != nil {
		c.Filesystems = []model.ObservedFilesystem{{Name: f.Name, Metadata: f.Metadata, Data: f.Data, MaxMDS: 1, Ranks: 1}}
	}
	return c, errors.Join(errs...)
}

func domainOf(n model.Node, level string) model.Path {
	switch level {
	case plan.LevelZone:
		return n.Path.Zone()
	case plan.LevelRack:
		return n.Path.Rack()
	case plan.LevelChassis:
		if n.Chassis != "" {
			return n.Chassis
		}
	}
	return n.Path
}

func location(n model.Node) map[string]string {
	at := map[string]string{"root": "default", "host": n.Name, "rack": slug(n.Path.Rack()), "zone": slug(n.Path.Zone())}
	if n.Chassis != "" {
		at["chassis"] = slug(n.Chassis)
	}
	return at
}

// classOf is the device class that Ceph would give the disks which a profile's hints ask for.
func classOf(p model.Profile, pools []model.Pool) string {
	if r := p.OSDDevice.Rotational; r != nil && *r {
		return "hdd"
	}
	if slices.ContainsFunc(pools, func(p model.Pool) bool { return p.DeviceClass == "nvme" }) {
		return "nvme"
	}
	return "ssd"
}

func pool(r model.Region, number int, p model.Pool, all []osd, seed uint64) (model.ObservedPool, error) {
	o := model.ObservedPool{Name: p.Name, ID: number + 1, Size: p.Size, MinSize: p.MinSize, K: p.K, Domain: r.Ceph.FailureDomain, Class: p.DeviceClass}
	if p.K > 0 {
		o.Size = p.K + p.M
	}
	var osds []osd
	domains := map[int32]bool{}
	for _, x := range all {
		if p.DeviceClass == "" || x.class == p.DeviceClass {
			osds = append(osds, x)
			domains[x.domain] = true
		}
	}
	if len(domains) < o.Size {
		return o, fmt.Errorf("region %s: pool %s wants %d failure domains (%s) with OSDs, and there are %d", r.Path, p.Name, o.Size, o.Domain, len(domains))
	}
	if o.PGs = p.PGs; o.PGs == 0 {
		sharing := 0
		for _, q := range r.Ceph.Pools {
			if q.DeviceClass == p.DeviceClass {
				sharing++
			}
		}
		o.PGs = nearestPower(len(osds) * pgsPerOSD / o.Size / sharing)
	}
	o.Acting = make([]int32, 0, o.PGs*o.Size)
	base := mix(seed ^ uint64(number+1)<<48)
	for _, c := range []byte(r.Path) {
		base = mix(base ^ uint64(c))
	}
	for pg := range o.PGs {
		o.Acting = place(o.Acting, osds, o.Size, mix(base^uint64(pg)))
	}
	return o, nil
}

// place appends one placement group's OSDs, each of another failure domain. An OSD drawn with equal chances and drawn again when its domain is taken has
// the distribution that CRUSH's straw2 buckets give when weights are numbers of disks: domains by their weight, without replacement.
func place(acting []int32, osds []osd, size int, h uint64) []int32 {
	first := len(acting)
	taken := make([]int32, 0, 16)
	for draw := uint64(0); len(acting)-first < size; draw++ {
		x := osds[bits.RotateLeft64(mix(h+draw), 7)%uint64(len(osds))]
		if slices.Contains(taken, x.domain) {
			continue
		}
		taken, acting = append(taken, x.domain), append(acting, x.id)
	}
	return acting
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// nearestPower is the power of two nearest to n, 32 at least.
func nearestPower(n int) int {
	if n < 32 {
		return 32
	}
	low := 1 << (bits.Len(uint(n)) - 1)
	if n-low > 2*low-n {
		return 2 * low
	}
	return low
}
