package fleet

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// region is a cluster of two nodes on a storage network, the second without a monitor.
func region() (*Clusters, model.Region) {
	node := func(name, boot, storage string, roles ...model.Role) model.Node {
		return model.Node{Path: model.Path("lab/r1/az1/a").Join(name), Name: name, Roles: roles, OSDDevice: model.DeviceHints{Serial: "osd-*"}, RootDevice: model.DeviceHints{Serial: "root-*"},
			NICs:  []model.NIC{{Name: "eth0", Network: "provision", Address: netip.MustParsePrefix(boot)}},
			Ports: []model.Port{{Name: "storage0", Network: "storage", Address: netip.MustParsePrefix(storage)}}}
	}
	r := model.Region{Path: "lab/r1", Ceph: &model.Ceph{FailureDomain: "host", Network: "storage", Encrypted: true, Pools: []model.Pool{
		{Name: "vms", Size: 3, MinSize: 2, Application: "rbd"}, {Name: "buckets", K: 4, M: 2, MinSize: 5, Application: "rgw", DeviceClass: "hdd"}}}}
	return &Clusters{Desired: model.Desired{
		Networks: []model.Network{{Name: "provision", CIDR: netip.MustParsePrefix("10.77.0.0/24")}, {Name: "storage", CIDR: netip.MustParsePrefix("10.77.1.0/24")}},
		Regions:  []model.Region{r},
		Nodes: []model.Node{
			node("one", "10.77.0.11/24", "10.77.1.11/24", model.RoleCephMon, model.RoleCephOSD),
			node("two", "10.77.0.12/24", "10.77.1.12/24", model.RoleCompute, model.RoleCephOSD),
		},
	}}, r
}

func TestClusterInCephsWords(t *testing.T) {
	c, r := region()
	s := c.spec(r, "f")
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	want := []ceph.Mon{{Name: "one", Address: netip.MustParseAddr("10.77.1.11")}}
	if diff := cmp.Diff(want, s.Mons, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || s.Network != "10.77.1.0/24" {
		t.Errorf("on network %s, monitors %s", s.Network, diff)
	}
	wantPools := []ceph.Pool{{Name: "vms", Size: 3, MinSize: 2, Application: "rbd"}, {Name: "buckets", K: 4, M: 2, MinSize: 5, Application: "rgw", Class: "hdd"}}
	if diff := cmp.Diff(wantPools, s.Pools); diff != "" {
		t.Error(diff)
	}
	m := member{node: c.Desired.Nodes[1]}
	m.state.Memory = 257<<30 - 1<<20
	m.state.Disks = []model.Disk{{Name: "/dev/sda", Serial: "root-1"}, {Name: "/dev/sdb", Serial: "osd-1"}, {Name: "/dev/sdc", Serial: "osd-2"}}
	wantPlace := ceph.Place{Name: "two", Crypt: true, MemoryTarget: facts.OSDMemoryTarget(256<<30, 2, true),
		Location: []ceph.Bucket{{Type: "root", Name: "default"}, {Type: "zone", Name: "az1"}, {Type: "rack", Name: "az1-a"}, {Type: "host", Name: "two"}}}
	if diff := cmp.Diff(wantPlace, c.place(r, m), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestServersInCephsWords: a node with a metadata server has a key and a limit for its cache; those of a cluster that somebody else made are his.
func TestServersInCephsWords(t *testing.T) {
	c, r := region()
	r.Ceph.Filesystem = &model.Filesystem{Name: "home", Metadata: "meta", Data: []string{"data"}}
	c.Desired.Nodes[1].Roles = append(c.Desired.Nodes[1].Roles, model.RoleCephMDS)
	m := member{node: c.Desired.Nodes[1]}
	m.state.Memory = 64 << 30
	served := func() (keys []string, cache int64) {
		for _, k := range c.spec(r, "f").Keys {
			if strings.HasPrefix(k.Entity, "mds.") {
				keys = append(keys, k.Entity)
			}
		}
		return keys, c.place(r, m).MDSCache
	}
	if keys, cache := served(); !slices.Equal(keys, []string{"mds.two"}) || cache != 4<<30 {
		t.Errorf("keys %q, cache %d", keys, cache)
	}
	if f := c.spec(r, "f").Filesystem; f == nil || f.Name != "home" || f.Data[0] != "data" {
		t.Errorf("%+v", f)
	}
	r.Ceph.Adopted = true
	if keys, cache := served(); len(keys) > 0 || cache != 0 {
		t.Errorf("of an adopted cluster: keys %q, cache %d", keys, cache)
	}
}

// TestNoClusterIsOnlyCertainWhenAllMonitorsHostsAnswer: a silent host may have one.
func TestNoClusterIsOnlyCertainWhenAllMonitorsHostsAnswer(t *testing.T) {
	c, r := region()
	one, two := member{node: c.Desired.Nodes[0]}, member{node: c.Desired.Nodes[1]}
	if o, err := (answer{}).of(r, []member{one, two}); err != nil || !o.Absent {
		t.Errorf("all answer and have nothing: %+v %v", o, err)
	}
	two.err = errors.New("connection refused")
	if o, err := (answer{}).of(r, []member{one, two}); err != nil || !o.Absent {
		t.Errorf("one without a monitor is silent: %+v %v", o, err)
	}
	one.err = errors.New("connection refused")
	if o, err := (answer{}).of(r, []member{one, two}); err == nil || o.Absent || !strings.Contains(err.Error(), "lab/r1/az1/a/one: connection refused") {
		t.Errorf("the monitor's host is silent: %+v %v", o, err)
	}
}

// TestFounder: a cluster is made where there is none, gone on with where it was begun, left to start where it is, and never made beside another.
func TestFounder(t *testing.T) {
	mon := func(name, fsid string) member {
		m := member{node: model.Node{Path: model.Path("lab/r1/az1/a/" + name), Name: name, Roles: []model.Role{model.RoleCephMon}}}
		if m.state.FSID = fsid; fsid != "" {
			m.state.Stores = []string{"mon." + name}
		}
		return m
	}
	other := mon("two", "f")
	other.node.Roles = []model.Role{model.RoleCephOSD}
	carries := func(m member, cluster string, consent ...string) member {
		m.node.Consent = consent
		m.state.Disks = []model.Disk{{Name: "/dev/sdb", Serial: "osd-01"}}
		m.state.Volumes = []model.ObservedVolume{{OSD: 4, Cluster: cluster, Device: "/dev/sdb"}}
		return m
	}
	silent := mon("two", "")
	silent.err = errors.New("no route to host")
	for name, c := range map[string]struct {
		members []member
		fsid    string
		there   bool
		refused string
	}{
		"nothing":                       {members: []member{mon("one", ""), mon("two", "")}},
		"begun":                         {members: []member{mon("one", "f"), mon("two", "")}},
		"begun, as declared":            {members: []member{mon("one", "f"), mon("two", "")}, fsid: "f"},
		"begun, as another":             {members: []member{mon("one", "g"), mon("two", "")}, fsid: "f", refused: "one has a monitor of the cluster g"},
		"there":                         {members: []member{mon("one", "f"), mon("two", "f"), mon("three", "")}, there: true},
		"two clusters":                  {members: []member{mon("one", "f"), mon("two", "g")}, refused: "two has a monitor of the cluster g", there: false},
		"the first has lost its own":    {members: []member{mon("one", ""), mon("two", "f")}, refused: "two has a monitor of the cluster f"},
		"a monitor where none belongs":  {members: []member{mon("one", "f"), other}, refused: "two has a monitor of the cluster f"},
		"one is silent":                 {members: []member{mon("one", ""), silent}, refused: "no route to host"},
		"nobody is to have one":         {members: nil, refused: "no node has the role ceph-mon"},
		"OSDs, and no monitor":          {members: []member{mon("one", ""), carries(mon("two", ""), "g")}, refused: "two has osd.4 of the cluster g on /dev/sdb"},
		"OSDs of the one declared":      {members: []member{carries(mon("one", ""), "f")}, fsid: "f", refused: "one has osd.4 of the cluster f"},
		"OSDs that may be lost":         {members: []member{mon("one", ""), carries(mon("two", ""), "g", "osd-01")}},
		"OSDs of the one begun":         {members: []member{mon("one", "f"), carries(mon("two", ""), "f")}},
		"there, and one more is silent": {members: []member{mon("one", "f"), mon("three", "f"), silent}, there: true, refused: "no route to host"},
	} {
		first, there, err := founder(c.members, c.fsid)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || there != c.there || first.node.Name != "one" {
			t.Errorf("%s: there %v at %q, %v", name, there, first.node.Name, err)
		}
	}
}

func TestHostNamesBecomePaths(t *testing.T) {
	c, _ := region()
	m := member{node: c.Desired.Nodes[0]}
	m.state.Volumes = []model.ObservedVolume{{OSD: 4, FSID: "u4", Device: "/dev/sdb"}}
	m.state.Disks = []model.Disk{{Name: "/dev/sdb", Serial: "osd-1"}}
	o := model.ObservedCeph{Mons: []model.ObservedDaemon{{Name: "one", Node: "one"}}, Mgrs: []model.ObservedDaemon{{Name: "x", Node: "stranger"}},
		OSDs: []model.ObservedOSD{{ID: 4, FSID: "u4", Node: "one"}}}
	c.name(&o, []member{m})
	want := model.ObservedCeph{Mons: []model.ObservedDaemon{{Name: "one", Node: "lab/r1/az1/a/one"}}, Mgrs: []model.ObservedDaemon{{Name: "x", Node: "stranger"}},
		OSDs: []model.ObservedOSD{{ID: 4, FSID: "u4", Node: "lab/r1/az1/a/one", Device: "osd-1"}}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
}

func TestNewFSID(t *testing.T) {
	if a, b := uuid(), uuid(); a == b || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(a) {
		t.Errorf("%s, %s", a, b)
	}
}

// An OSD that is out is taken in again when its disk is in the machine; one whose disk is elsewhere, or gone, is not touched, nor is one that is in.
func TestMarkedOSDs(t *testing.T) {
	var m member
	m.state.Volumes = []model.ObservedVolume{{OSD: 1, FSID: "a"}, {OSD: 2, FSID: "b"}}
	seen := model.ObservedCeph{OSDs: []model.ObservedOSD{{ID: 1, FSID: "a"}, {ID: 2, FSID: "b", In: true}, {ID: 3, FSID: "c"}}}
	if got := marked(seen, m); !slices.Equal(got, []int{1}) {
		t.Errorf("%v are taken in", got)
	}
}
