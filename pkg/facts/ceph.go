package facts

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// ClusterThere is the value of plan.AttrCluster where the inventory does not pin the cluster's fsid.
const ClusterThere = "there"

// CephRoles are the roles that make a node part of its region's cluster.
func CephRoles() []model.Role {
	return []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD, model.RoleCephMDS, model.RoleCephRGW}
}

// CephNodes are the nodes of a region with a role in its cluster, in the inventory's order.
func CephNodes(d model.Desired, region model.Path) []model.Node {
	var out []model.Node
	for _, n := range d.Nodes {
		if region.Contains(n.Path) && slices.ContainsFunc(n.Roles, func(r model.Role) bool { return slices.Contains(CephRoles(), r) }) {
			out = append(out, n)
		}
	}
	return out
}

// ClusterValue is the value of plan.AttrCluster once the region's cluster is there.
func ClusterValue(c *model.Ceph) string { return cmp.Or(c.FSID, ClusterThere) }

// RBDClient is the identity under which the virtual machines of a region use its pools.
const RBDClient = "client." + DiskUser

// CephSettings is the digest of what is declared of a region's pools, keys and file system.
func CephSettings(c *model.Ceph) model.Digest {
	said := []any{c.FailureDomain, c.Pools, RBDClient}
	if c.Filesystem != nil { // without one it is what it was before there were any
		said = append(said, c.Filesystem)
	}
	return model.DigestJSON(said)
}

// CrushLocation is where a node belongs in its cluster's CRUSH tree, from the root downwards. Bucket names are unique in a cluster, so they
// carry the places above them, as far as these are below the region.
func CrushLocation(n model.Node) []CrushBucket {
	below := func(p model.Path) string {
		return strings.ReplaceAll(strings.TrimPrefix(string(p), string(n.Path.Region())+"/"), "/", "-")
	}
	out := []CrushBucket{{"root", "default"}, {"zone", below(n.Path.Zone())}, {"rack", below(n.Path.Rack())}}
	if n.Chassis != "" {
		out = append(out, CrushBucket{"chassis", below(n.Chassis)})
	}
	return append(out, CrushBucket{"host", n.Name})
}

// CrushBucket is a place in the CRUSH tree.
type CrushBucket struct{ Type, Name string }

func projectCeph(d model.Desired, c model.ObservedCeph, st plan.State) {
	i := slices.IndexFunc(d.Regions, func(r model.Region) bool { return r.Path == c.Region })
	if i < 0 || d.Regions[i].Ceph == nil || c.Error != "" || c.FSID == "" {
		return
	}
	want := d.Regions[i].Ceph
	set := func(sub plan.Subject, a plan.Attr, v string) { st.Set(plan.Fact{Subject: sub, Attr: a, Value: v}) }
	cluster := plan.CephSubject(c.Region)
	if want.FSID == "" || want.FSID == c.FSID {
		set(cluster, plan.AttrCluster, ClusterValue(want))
	} else {
		set(cluster, plan.AttrCluster, c.FSID)
	}
	set(cluster, plan.AttrSettings, cmp.Or(strings.Join(c.Drift, "; "), string(c.Settings)))
	set(cluster, plan.AttrForeign, strings.Join(c.Foreign, ", "))
	if c.Require > 0 {
		set(cluster, plan.AttrRequire, strconv.Itoa(c.Require))
	}
	if want.Adopted {
		c = adopted(c)
	}
	osds := make(map[model.Path][]model.ObservedOSD)
	for _, o := range c.OSDs {
		osds[o.Node] = append(osds[o.Node], o)
	}
	for _, n := range CephNodes(d, c.Region) {
		sub := plan.NodeSubject(n.Path)
		if n.Leaves() {
			projectLeaving(c, osds[n.Path], n, st)
			set(sub, plan.AttrCeph, daemonsValue(c, n))
			continue
		}
		c.OSDs = osds[n.Path] // what is asked of a node concerns its own; large clusters have ten thousand
		if want.Adopted {
			c.OSDs = placed(c.OSDs, n)
		}
		for _, role := range n.Roles {
			switch role {
			case model.RoleCephMon:
				set(sub, plan.AttrMon, daemonValue(c, n, c.Mons))
			case model.RoleCephMgr:
				set(sub, plan.AttrMgr, daemonValue(c, n, c.Mgrs))
			case model.RoleCephMDS:
				set(sub, plan.AttrMDS, daemonValue(c, n, c.MDSs))
			case model.RoleCephRGW:
				set(sub, plan.AttrRGW, daemonValue(c, n, c.RGWs))
			case model.RoleCephOSD:
				set(sub, plan.AttrOSDs, osdsValue(profileOf(d, n.Profile), c, n))
				set(sub, plan.AttrLost, OSDNames(LostOSDs(c, n)))
			}
		}
		set(sub, plan.AttrCeph, daemonsValue(c, n))
		set(sub, plan.AttrKept, dataValue(c.OSDs))
	}
}

// OSDData is the value of plan.AttrKept of a host: its OSDs by id and by the identity that their data has. Empty when it has none, or one is not known.
func OSDData(osds map[int]string) string {
	words := make([]string, 0, len(osds))
	for _, id := range slices.Sorted(maps.Keys(osds)) {
		if osds[id] == "" {
			return ""
		}
		words = append(words, fmt.Sprintf("osd.%d=%s", id, osds[id]))
	}
	return strings.Join(words, " ")
}

// dataValue is plan.AttrKept of the node whose OSDs these are.
func dataValue(osds []model.ObservedOSD) string {
	by := make(map[int]string, len(osds))
	for _, o := range osds {
		by[o.ID] = o.FSID
	}
	return OSDData(by)
}

// daemonsValue is plan.AttrCeph of a node: whether any of the daemons that it holds runs; empty when it holds none, or nobody looked.
func daemonsValue(c model.ObservedCeph, n model.Node) string {
	for _, h := range c.Hosts {
		switch {
		case h.Node != n.Path || h.Error != "":
		case len(h.Running) > 0:
			return plan.Up
		case len(h.Stores)+len(h.Volumes) > 0:
			return plan.Stopped
		}
	}
	return ""
}

func daemonValue(c model.ObservedCeph, n model.Node, list []model.ObservedDaemon) string {
	for _, d := range list {
		switch {
		case d.Node != n.Path:
		case !d.Up:
			return "down"
		case !configured(c, n):
			return "configured otherwise"
		default:
			return plan.Up
		}
	}
	return ""
}

// configured reports whether the node's ceph.conf is the inventory's; of a host that cannot be looked at nothing else is claimed.
func configured(c model.ObservedCeph, n model.Node) bool {
	for _, h := range c.Hosts {
		if h.Node == n.Path {
			return h.Declared || h.Error != ""
		}
	}
	return true
}

// osdsValue tells whether the node's OSDs are all there and in their place, or what is wrong.
func osdsValue(p model.Profile, c model.ObservedCeph, n model.Node) string {
	var wrong []string
	have := 0
	for _, o := range c.OSDs {
		if o.Node != n.Path || lost(c, o) {
			continue
		}
		have++
		switch place := misplaced(o, n); {
		case !o.Up:
			wrong = append(wrong, fmt.Sprintf("osd.%d is down", o.ID))
		case !o.In:
			wrong = append(wrong, fmt.Sprintf("osd.%d is out", o.ID))
		case place != "":
			wrong = append(wrong, fmt.Sprintf("osd.%d is in %s", o.ID, place))
		}
	}
	for _, disk := range FreeDisks(c, n) {
		wrong = append(wrong, "disk "+cmp.Or(disk.Serial, disk.Name)+" is no OSD")
	}
	if want := max(p.OSDs, 1); have < want && (have > 0 || len(wrong) > 0) {
		wrong = append(wrong, fmt.Sprintf("%d of %d OSDs", have, want))
	}
	if have > 0 && !configured(c, n) {
		wrong = append(wrong, "configured otherwise")
	}
	switch {
	case len(wrong) > 0:
		return strings.Join(wrong, ", ")
	case have == 0:
		return ""
	}
	return plan.Up
}

// misplaced tells where an OSD is in the CRUSH tree when that is not where its node belongs.
func misplaced(o model.ObservedOSD, n model.Node) string {
	want := map[string]string{}
	for _, b := range CrushLocation(n) {
		want[b.Type] = b.Name
	}
	if maps.Equal(want, o.Location) {
		return ""
	}
	var parts []string
	for _, typ := range slices.Sorted(maps.Keys(o.Location)) {
		if o.Location[typ] != want[typ] {
			parts = append(parts, typ+" "+o.Location[typ])
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "another place")
}

// FreeDisks are the disks of a node that its rule makes OSDs, and that are none yet. Whether they may be taken is another question.
func FreeDisks(c model.ObservedCeph, n model.Node) []model.Disk {
	var out []model.Disk
	for _, h := range c.Hosts {
		if h.Node != n.Path {
			continue
		}
		for _, disk := range h.Disks {
			carries := slices.ContainsFunc(h.Volumes, func(v model.ObservedVolume) bool { return v.Device == disk.Name && v.Cluster == c.FSID })
			if n.OSDDevice.Matches(disk) && !n.RootDevice.Matches(disk) && !carries {
				out = append(out, disk)
			}
		}
	}
	return out
}
