package inventory

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// filesystem reads what metadata servers serve.
func (b *builder) filesystem(ceph *object) *model.Filesystem {
	list := ceph.all("filesystem")
	if len(list) == 0 {
		return nil
	}
	o := list[0]
	b.note(string(ceph.parent.path)+"/ceph/filesystem/"+o.name, o)
	f := &model.Filesystem{Name: o.name, Metadata: o.str("metadata"), Data: o.strs("data")}
	if !poolPattern.MatchString(f.Name) {
		b.errorf(o.where("name"), "use letters, digits, dots, hyphens and underscores", "%q is no name for a file system", f.Name)
	}
	if o.has("data") && len(f.Data) == 0 {
		b.errorf(o.where("data"), "name one pool at least", "filesystem %s has no pool for what is in files", f.Name)
	}
	return f
}

// checkFilesystem compares a file system with the pools and with the nodes that are to serve it.
func (b *builder) checkFilesystem(o *object, r *model.Region, nodes []*model.Node) {
	servers := 0
	for _, n := range nodes {
		if hasRole(n, model.RoleCephMDS) {
			servers++
		}
	}
	f := r.Ceph.Filesystem
	if f == nil {
		if servers > 0 && !r.Ceph.Adopted {
			b.warnf(o.at(), `add to it: filesystem "NAME" { metadata = …, data = […] }`, "the nodes with role ceph-mds in %s only stand by: its ceph block has no filesystem", r.Path)
		}
		return
	}
	at := b.inv.objects[string(r.Path)+"/ceph/filesystem/"+f.Name]
	switch {
	case r.Ceph.Adopted:
	case servers == 0:
		b.errorf(at.at(), `give the role "ceph-mds" to two nodes`, "nobody serves filesystem %s: no node of %s has the role ceph-mds", f.Name, r.Path)
	case servers == 1:
		b.warnf(at.at(), `give the role "ceph-mds" to two nodes`, "filesystem %s stops when the one node with role ceph-mds does", f.Name)
	}
	b.checkFilePools(at, r.Ceph, f)
}

// checkFilePools: each pool is there, for files, and for one purpose; names, directories and the first data pool are kept in copies, since Ceph cannot have them otherwise.
func (b *builder) checkFilePools(at *object, c *model.Ceph, f *model.Filesystem) {
	check := func(attr string, n int, name string, copies bool) {
		where := at.where(attr)
		if attr == "data" {
			where = at.whereElement(attr, n)
		}
		i := slices.IndexFunc(c.Pools, func(p model.Pool) bool { return p.Name == name })
		switch {
		case name == "":
		case i < 0:
			b.errorf(where, "declare it in the ceph block: pool \""+name+"\" { application = \"cephfs\" }", "filesystem %s: there is no pool %s", f.Name, name)
		case c.Pools[i].Application != "cephfs":
			b.errorf(where, `write into the pool: application = "cephfs"`, "filesystem %s: pool %s is for %s", f.Name, name, c.Pools[i].Application)
		case copies && c.Pools[i].K > 0:
			b.errorf(where, "use a replicated pool here; erasure-coded ones may follow the first in data", "filesystem %s: pool %s is erasure-coded", f.Name, name)
		case attr == "data" && (name == f.Metadata || slices.Contains(f.Data[:n], name)):
			b.errorf(where, "name each pool once", "filesystem %s: pool %s is named twice", f.Name, name)
		}
	}
	check("metadata", 0, f.Metadata, true)
	for i, name := range f.Data {
		check("data", i, name, i == 0)
	}
}
