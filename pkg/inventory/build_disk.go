package inventory

import (
	"path"
	"regexp"

	"github.com/nuboctl/nuboctl/pkg/model"
)

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// vmDisk reads a disk of a virtual machine, and looks for its pool in the region of the machine's node.
func (b *builder) vmDisk(o *object, vm string, node *model.Node) model.VMDisk {
	k := model.VMDisk{Name: o.name, Pool: o.str("pool"), SizeGiB: o.num("size_gib"), Source: o.str("source"), SHA256: o.str("sha256")}
	if o.has("size_gib") && k.SizeGiB < 1 {
		b.errorf(o.where("size_gib"), "give at least 1", "disk %s of vm %s has %d GiB", k.Name, vm, k.SizeGiB)
	}
	if o.written("source") != o.written("sha256") {
		b.errorf(o.at(), "give both: sha256sum FILE prints the digest", "disk %s of vm %s has one of source and sha256", k.Name, vm)
	}
	if o.has("sha256") && !sha256Pattern.MatchString(k.SHA256) {
		b.errorf(o.where("sha256"), "write the 64 hexadecimal digits that sha256sum prints", "%q is no SHA-256", k.SHA256)
	}
	if o.has("source") && path.Clean(k.Source) != k.Source {
		b.errorf(o.where("source"), "write it as "+path.Clean(k.Source), "source %q is not in its simplest form", k.Source)
	}
	if node != nil && k.Pool != "" {
		b.diskPool(o, node.Path.Region(), k)
	}
	return k
}

// diskPool finds the pool, and what keeps it from holding disks.
func (b *builder) diskPool(o *object, region model.Path, k model.VMDisk) {
	known := map[string]bool{}
	for _, r := range b.d.Regions {
		if r.Path != region || r.Ceph == nil {
			continue
		}
		for _, p := range r.Ceph.Pools {
			known[p.Name] = true
			switch {
			case p.Name != k.Pool:
			case p.K > 0:
				b.errorf(o.where("pool"), "use a replicated pool", "pool %s is erasure-coded and cannot hold the index of a disk", p.Name)
			case p.Application != "rbd":
				b.errorf(o.where("pool"), `use a pool with application "rbd"`, "pool %s is for %s", p.Name, p.Application)
			}
		}
	}
	if !known[k.Pool] {
		b.errorf(o.where("pool"), didYouMean(k.Pool, keysOf(known), "add a pool to the ceph block of "+string(region)), "region %s has no pool %q", region, k.Pool)
	}
}
