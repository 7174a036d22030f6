package facts

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// defaultMigrationMiBs is assumed of a network card of which the inventory says nothing: 10 Gbit/s, less what else goes over it.
const defaultMigrationMiBs = 1000

// Fleet reduces an observation to what a rollout's safety depends on. change tells which nodes the rollout takes out of service.
//
// A host that does not answer, that was not observed, or that should run virtual machines and whose libvirt is silent, is Down, and not changed. A host's VCPUs are
// its cores without the pinned ones times the profile's overcommit, which is stated over all its cores; its MemoryMiB are without huge pages and
// without what it keeps for itself (ownMemory). One that is cordoned, adopted, or leaves, has room for what is there and for nothing more: it refuses the rest.
// What is not known well enough to reason from is an error; all such are reported.
func Fleet(d model.Desired, o model.Observed, change func(model.Node) bool) (plan.Fleet, error) {
	return FleetFor(d, o, Changes{Nodes: change})
}

// Changes say what becomes of the hosts of a fleet.
type Changes struct {
	// Nodes tells which are taken out of service.
	Nodes func(model.Node) bool
	// Image is what a changed node runs afterwards; nil: the image that the inventory names.
	Image func(model.Node) model.Digest
	// QEMU are the versions that images bring, as far as they are known beside those of the observed hosts.
	QEMU map[model.Digest]string
	// Ceph are the major releases that images bring, as far as they are known; of others the daemons tell.
	Ceph map[model.Digest]int
	// Back tells that hosts go back to something older: a QEMU that is not known is then older than all others, otherwise newer.
	Back bool
	// InPlace tells that changed hosts keep their image and get packages; Brings is the QEMU among these, empty: they keep theirs.
	InPlace bool
	Brings  string
	// Drain tells that hosts are drained only: they stay what they are.
	Drain bool
	// Leaving are the hosts that virtual machines are being moved off. One that is on its way from there counts where it goes, one that is on its way
	// between others takes room at both. Nil: nothing may be on its way.
	Leaving map[model.Path]bool
}

// FleetFor is Fleet for changes other than to what the inventory names.
func FleetFor(d model.Desired, o model.Observed, c Changes) (plan.Fleet, error) {
	b := newFleet(d, o, c)
	b.hosts()
	b.machines()
	b.cordons()
	b.classes()
	b.links()
	for _, r := range d.Regions {
		b.cluster(r)
		b.groups(r.Path)
	}
	b.keys()
	return b.out, errors.Join(b.errs...)
}

type fleet struct {
	d        model.Desired
	o        model.Observed
	to       Changes
	nodes    []model.Node // sorted by path: as Hosts
	index    map[model.Path]int32
	seen     map[model.Path]*model.ObservedHost
	profiles map[string]model.Profile
	shapes   []shapeKey
	runs     map[kind][]bool    // what was seen to run on hosts of a kind: by shape
	releases map[model.Path]int // of Ceph, that daemons of a node say they run
	out      plan.Fleet
	errs     []error
}

func newFleet(d model.Desired, o model.Observed, c Changes) *fleet {
	b := &fleet{d: d, o: o, to: c, nodes: d.Nodes, index: make(map[model.Path]int32, len(d.Nodes)),
		seen: make(map[model.Path]*model.ObservedHost, len(o.Nodes)), profiles: make(map[string]model.Profile, len(d.Profiles)), runs: map[kind][]bool{}, releases: daemonReleases(o.Ceph)}
	byPath := func(a, b model.Node) int { return comparePaths(a.Path, b.Path) }
	if !slices.IsSortedFunc(b.nodes, byPath) {
		b.nodes = slices.Clone(b.nodes)
		slices.SortFunc(b.nodes, byPath)
	}
	for i, n := range b.nodes {
		b.index[n.Path] = int32(i)
	}
	for i := range o.Nodes {
		b.seen[o.Nodes[i].Path] = &o.Nodes[i].Host
	}
	for _, p := range d.Profiles {
		b.profiles[p.Name] = p
	}
	return b
}

func (b *fleet) wrong(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

func (b *fleet) hosts() {
	b.out.Hosts = make([]plan.Host, len(b.nodes))
	osds := map[model.Path]int{}
	for _, c := range b.o.Ceph {
		for _, o := range c.OSDs {
			osds[o.Node]++
		}
	}
	for i, n := range b.nodes {
		down := b.down(n)
		h := plan.Host{Path: n.Path, Chassis: n.Chassis, Change: !down && b.to.Nodes(n), Class: -1, ClassAfter: -1, Down: down}
		if Carries(n) {
			p := b.profiles[n.Profile]
			p.OSDs = max(p.OSDs, osds[n.Path]) // each is told to use its part, whether the inventory counts it or not
			Room(&h, n, p)
		}
		b.release(&h, n)
		b.out.Hosts[i] = h
	}
}

// release fills in which Ceph a host has, and will have, where it has a part in a cluster: what its image brings, and where nobody knows that image any more, what its daemons say.
func (b *fleet) release(h *plan.Host, n model.Node) {
	seen := b.seen[n.Path]
	if seen == nil || !slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(CephRoles(), r) }) {
		return
	}
	h.Ceph = cmp.Or(b.to.Ceph[seen.Image], b.releases[n.Path])
	if h.CephAfter = h.Ceph; h.Change && !b.to.Drain && !b.to.InPlace {
		image := n.Image.Digest
		if b.to.Image != nil {
			image = b.to.Image(n)
		}
		h.CephAfter = b.to.Ceph[image]
	}
}

// daemonReleases are the lowest releases of Ceph that the daemons of nodes say they run.
func daemonReleases(all []model.ObservedCeph) map[model.Path]int {
	out := map[model.Path]int{}
	hear := func(node model.Path, version string) {
		if v := numbers(version); len(v) > 0 && (out[node] == 0 || v[0] < out[node]) {
			out[node] = v[0]
		}
	}
	for _, c := range all {
		for _, d := range slices.Concat(c.Mons, c.Mgrs) {
			hear(d.Node, d.Version)
		}
		for _, d := range c.OSDs {
			hear(d.Node, d.Version)
		}
	}
	return out
}

func (b *fleet) down(n model.Node) bool {
	h := b.seen[n.Path]
	return h == nil || !h.Reachable || (Carries(n) && h.Libvirt == "")
}

// Carries reports whether virtual machines run on a node.
func Carries(n model.Node) bool { return slices.Contains(n.Roles, model.RoleCompute) }

// Room fills in what virtual machines may use of a host; see Fleet.
func Room(h *plan.Host, n model.Node, p model.Profile) {
	over := p.CPUOvercommit
	if over == 0 {
		over = 1
	}
	h.VCPUs = int64(float64(max(n.Cores-p.PinnedCores, 0)) * over)
	h.MemoryMiB = max(int64(n.MemoryGiB-p.HugePagesGiB)<<10-ownMemory(n, p), 0)
	h.MiBs = defaultMigrationMiBs
	if p.MigrationMiBs > 0 {
		h.MiBs = int64(p.MigrationMiBs)
	}
	for range p.NUMACells {
		h.Cells = append(h.Cells, plan.Cell{CPUs: int64(p.PinnedCores / p.NUMACells), HugeMiB: int64(p.HugePagesGiB/p.NUMACells) << 10})
	}
}

// offline are the hosts with several OSDs of which Ceph counts none as up: their storage network may be cut while they answer, and a machine that is moved there
// has no disks. Of a single OSD that is down nobody can tell whether it is the disk.
func (b *fleet) offline() map[model.Path]bool {
	all, up, out := map[model.Path]int{}, map[model.Path]bool{}, map[model.Path]bool{}
	for _, c := range b.o.Ceph {
		for _, o := range c.OSDs {
			all[o.Node]++
			up[o.Node] = up[o.Node] || o.Up
		}
	}
	for n, many := range all {
		out[n] = many > 1 && !up[n]
	}
	return out
}

// cordons leave hosts that take no virtual machines no room for any: those with the mark, those that somebody else laid down, which are not prepared for moves, and
// those whose OSDs are all down.
func (b *fleet) cordons() {
	used, offline := map[int32]*plan.Host{}, b.offline()
	for i, n := range b.nodes {
		if h := b.seen[n.Path]; (h != nil && (!h.Cordoned.IsZero() || n.Leaves())) || n.Adopted || offline[n.Path] {
			used[int32(i)] = &plan.Host{Cells: make([]plan.Cell, len(b.out.Hosts[i].Cells))}
		}
	}
	if len(used) == 0 {
		return
	}
	for i, host := range b.out.VMs.Host {
		if u := used[host]; u != nil {
			b.use(u, i)
		}
	}
	for i, u := range used {
		h := &b.out.Hosts[i]
		h.VCPUs, h.MemoryMiB = min(h.VCPUs, u.VCPUs), min(h.MemoryMiB, u.MemoryMiB)
		for c := range h.Cells {
			h.Cells[c].CPUs, h.Cells[c].HugeMiB = min(h.Cells[c].CPUs, u.Cells[c].CPUs), min(h.Cells[c].HugeMiB, u.Cells[c].HugeMiB)
		}
	}
}

// use adds what a virtual machine needs.
func (b *fleet) use(u *plan.Host, vm int) {
	k := b.shapes[b.out.VMs.Shape[vm]]
	if k.cells == 0 {
		u.VCPUs += int64(k.vcpus)
		u.MemoryMiB += int64(k.memory)
		return
	}
	n := int64(k.cells)
	for c := range u.Cells {
		if b.out.VMs.Cells[vm]&(1<<c) != 0 {
			u.Cells[c].CPUs += (int64(k.vcpus) + n - 1) / n
			u.Cells[c].HugeMiB += (int64(k.memory) + n - 1) / n
		}
	}
}

// links are the uplinks of racks of which the inventory tells the speed.
func (b *fleet) links() {
	for _, r := range b.d.Racks {
		if r.UplinkMiBs <= 0 {
			continue
		}
		l := plan.Link{Name: "uplink of " + string(r.Path), MiBs: int64(r.UplinkMiBs)}
		for i, n := range b.nodes {
			if r.Path.Contains(n.Path) && Carries(n) {
				l.Hosts = append(l.Hosts, int32(i))
			}
		}
		if len(l.Hosts) > 0 {
			b.out.Links = append(b.out.Links, l)
		}
	}
}
