package facts_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

const (
	one   = model.Path("s/r/z/a/one")
	two   = model.Path("s/r/z/a/two")
	three = model.Path("s/r/z/b/three")
	store = model.Path("s/r/z/b/store")
)

// rack is a small region: three hypervisors that also keep data, one of which has the new image already, and one host for storage alone.
func rack() (model.Desired, model.Observed) {
	fresh := model.DigestBytes([]byte("new"))
	hyper := model.Profile{Name: "hyper", CPUModel: "Icelake-Server", CPUOvercommit: 4, OSDs: 2, Bridges: []model.Bridge{{Name: "br-ex", VLANs: []model.BridgeVLAN{{Network: "storage"}}}}}
	d := model.Desired{
		Regions:  []model.Region{{Path: "s/r", Ceph: &model.Ceph{FailureDomain: "host"}}},
		Racks:    []model.Place{{Path: "s/r/z/a", UplinkMiBs: 5000}, {Path: "s/r/z/b"}},
		Profiles: []model.Profile{hyper, {Name: "store"}},
	}
	o := model.Observed{Ceph: []model.ObservedCeph{{Region: "s/r"}}}
	c := &o.Ceph[0]
	for i, p := range []model.Path{one, two, store, three} {
		n := model.Node{Path: p, Name: p.Name(), Profile: "hyper", Cores: 10, MemoryGiB: 128, Image: model.ImageRef{Name: "debian", Digest: fresh},
			Roles: []model.Role{model.RoleCompute, model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD}}
		h := model.ObservedHost{Reachable: true, Image: image, Libvirt: "11", QEMU: "7.2.15"}
		switch p {
		case store:
			n.Profile, n.Roles, h.Libvirt, h.QEMU = "store", []model.Role{model.RoleCephOSD, model.RoleCephRGW}, "", ""
		case three:
			h.Image, h.QEMU = fresh, "10.0.2"
		}
		d.Nodes = append(d.Nodes, n)
		o.Nodes = append(o.Nodes, model.ObservedNode{Path: p, Host: h})
		if p != store {
			c.Mons = append(c.Mons, model.ObservedDaemon{Name: n.Name, Node: p, Up: true})
			c.Mgrs = append(c.Mgrs, model.ObservedDaemon{Name: n.Name, Node: p, Up: true})
		}
		for k := range 2 {
			c.OSDs = append(c.OSDs, model.ObservedOSD{ID: 2*i + k, Node: p, Up: true, In: true})
		}
	}
	// The first two groups lie on the same hosts; the third has two copies on one host; the fourth a copy on an OSD that is down.
	c.OSDs[7].Up = false
	c.Pools = []model.ObservedPool{{Name: "vms", Size: 3, MinSize: 2, PGs: 4, Acting: []int32{0, 2, 4, 5, 1, 3, 0, 1, 2, 0, 2, 7}}}
	guest := func(name string, on model.Path) model.ObservedVM {
		return model.ObservedVM{Name: name, Node: on, State: "running", VCPUs: 2, MemoryMiB: 4096, CPUModel: "Haswell", Machine: "pc-q35-7.2", Networks: []string{"br-ex"}, DirtyMiBs: 13}
	}
	o.VMs = []model.ObservedVM{guest("c", two), guest("a", one), guest("b", one), guest("d", three), guest("off", one)}
	o.VMs[0].Machine, o.VMs[0].Fixed, o.VMs[0].OnDrain = "pc-q35-rhel9.2.0", "a passed-through card", "stop_start"
	o.VMs[1].CPUModel, o.VMs[1].AntiAffinity = "host-passthrough", "web@rack"
	o.VMs[3].AntiAffinity = "web@rack"
	o.VMs[4].State = "shutoff"
	return d, o
}

func older(n model.Node) bool { return n.Path != three }

// TestRoomBesideOSDsThatNobodyCounts: a host's OSDs take their memory also where its profile does not say how many they are.
func TestRoomBesideOSDsThatNobodyCounts(t *testing.T) {
	d, o := rack()
	room := func() int64 {
		f, err := facts.Fleet(d, o, older)
		if err != nil {
			t.Fatal(err)
		}
		return f.Hosts[0].MemoryMiB
	}
	for i := range d.Nodes {
		d.Nodes[i].MemoryGiB = 512 // of which each OSD takes at most 16
	}
	counted := room()
	d.Profiles[0].OSDs = 0
	if got := room(); got != counted {
		t.Errorf("two OSDs leave %d MiB where the profile counts them, and %d where it does not", counted, got)
	}
	d.Profiles[0].OSDs = 1
	if got := room(); got != counted {
		t.Errorf("two OSDs leave %d MiB where the profile counts them, and %d where it counts one", counted, got)
	}
}

func TestFleet(t *testing.T) {
	d, o := rack()
	f, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	// 128 GiB less 8 for the system, 2 for tables, 10 for two OSDs, 4 and 2 for monitor and manager.
	room := plan.Host{Path: one, Change: true, Class: 0, ClassAfter: 1, VCPUs: 40, MemoryMiB: (128-16)<<10 - 32767, MiBs: 1000}
	other, stays, plain := room, room, plan.Host{Path: store, Change: true, Class: -1, ClassAfter: -1}
	other.Path, stays.Path = two, three
	stays.Change, stays.Class, stays.ClassAfter = false, 1, 1
	rhel := []string{"pc-q35-7.2", "pc-q35-rhel9.2.0"}
	cpus, nets := []string{"Haswell", "Icelake-Server", "host-passthrough:Icelake-Server"}, []string{"br-ex", "storage"}
	want := plan.Fleet{
		Hosts:   []plan.Host{room, other, plain, stays},
		Classes: []plan.Class{{CPUs: cpus, Machines: rhel, Networks: nets, Version: 1}, {CPUs: cpus, Machines: rhel[:1], Networks: nets, Version: 2}},
		Shapes: []plan.Shape{
			{Name: "2x4096", CPU: "host-passthrough:Icelake-Server", Machine: "pc-q35-7.2", MemoryMiB: 4096, VCPUs: 2, Networks: nets[:1], DirtyMiBs: 15},
			{Name: "2x4096", CPU: "Haswell", Machine: "pc-q35-7.2", MemoryMiB: 4096, VCPUs: 2, Networks: nets[:1], DirtyMiBs: 15},
			{Name: "2x4096", CPU: "Haswell", Machine: "pc-q35-rhel9.2.0", MemoryMiB: 4096, VCPUs: 2, Networks: nets[:1], DirtyMiBs: 15},
		},
		VMs:   plan.VMs{Names: []string{"a", "b", "c", "d"}, Host: plan.Ints{0, 0, 1, 3}, Shape: plan.Ints{0, 1, 2, 1}, Fixed: plan.Ints{2}, Consent: plan.Ints{2}},
		Apart: []plan.Apart{{Name: "s/r/web@rack", Level: plan.LevelRack, VMs: plan.Ints{0, 3}}},
		Clusters: []plan.Cluster{{Region: "s/r", FailureDomain: plan.LevelHost, OSDHosts: plan.Ints{0, 1, 2, 3}, Mons: plan.Ints{0, 1, 3}, Mgrs: plan.Ints{0, 1, 3}, Pools: []plan.Pool{
			{Name: "vms", Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{0, 1, 2, -1, 0, 1}, Count: plan.Ints{2, 2}}}}},
		Groups: []plan.Group{{Kind: plan.Quorum, Name: "mon of s/r", Hosts: plan.Ints{0, 1, 3}}, {Kind: plan.Standby, Name: "mgr of s/r", Hosts: plan.Ints{0, 1, 3}},
			{Kind: plan.Standby, Name: "ceph-rgw of s/r", Hosts: plan.Ints{2}}},
		Links: []plan.Link{{Name: "uplink of s/r/z/a", MiBs: 5000, Hosts: plan.Ints{0, 1}}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
}

// An image that no observed host runs counts as newer than all that were seen.
func TestFleetUnknownImage(t *testing.T) {
	d, o := rack()
	d.Nodes[0].Image.Digest = model.DigestBytes([]byte("newer still"))
	f, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	if c := f.Classes[f.Hosts[0].ClassAfter]; c.Version != 3 || cmp.Diff(c.Machines, []string{"pc-q35-7.2"}) != "" {
		t.Errorf("%+v", c)
	}
}

// A cordoned host has room for what is there, and for nothing more.
func TestFleetCordoned(t *testing.T) {
	d, o := rack()
	d.Profiles[0].NUMACells, d.Profiles[0].PinnedCores, d.Profiles[0].HugePagesGiB = 2, 4, 8
	o.VMs = append(o.VMs, model.ObservedVM{Name: "pinned", Node: three, State: "running", VCPUs: 1, MemoryMiB: 1024, NUMACells: 1, CPUModel: "Haswell", Machine: "pc-q35-7.2"})
	open, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 3} {
		o.Nodes[i].Host.Cordoned = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	}
	f, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	for i, used := range map[int]plan.Host{
		0: {VCPUs: 4, MemoryMiB: 8192, Cells: []plan.Cell{{}, {}}},
		3: {VCPUs: 2, MemoryMiB: 4096, Cells: []plan.Cell{{CPUs: 1, HugeMiB: 1024}, {}}},
	} {
		h := &open.Hosts[i]
		h.VCPUs, h.MemoryMiB, h.Cells = used.VCPUs, used.MemoryMiB, used.Cells
	}
	if diff := cmp.Diff(open, f); diff != "" {
		t.Error(diff)
	}
}

// A host none of whose OSDs is up may have lost its storage network: nothing is sent there. With one of them up, it is the other disk.
func TestFleetWithoutItsStorageNetwork(t *testing.T) {
	d, o := rack()
	o.Ceph[0].OSDs[0].Up = false
	if f, err := facts.Fleet(d, o, older); err != nil || f.Hosts[0].VCPUs != 40 {
		t.Errorf("%v, %+v", err, f.Hosts[0])
	}
	o.Ceph[0].OSDs[1].Up = false
	f, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	if h := f.Hosts[0]; h.Down || h.VCPUs != 4 || h.MemoryMiB != 8192 {
		t.Errorf("it has room for more than runs there: %+v", h)
	}
}

func TestFleetDown(t *testing.T) {
	for name, damage := range map[string]func(*model.Observed){
		"does not answer": func(o *model.Observed) { o.Nodes[0].Host.Reachable = false },
		"libvirt silent":  func(o *model.Observed) { o.Nodes[0].Host.Libvirt = "" },
		"not observed":    func(o *model.Observed) { o.Nodes = o.Nodes[1:] },
	} {
		d, o := rack()
		damage(&o)
		f, err := facts.Fleet(d, o, older)
		if err != nil || !f.Hosts[0].Down || f.Hosts[0].Change || f.Hosts[1].Down || f.Hosts[2].Down {
			t.Errorf("%s: %v, %+v", name, err, f.Hosts)
		}
	}
}

// Everything that is not known well enough to reason from is said at once.
func TestFleetUnknown(t *testing.T) {
	d, o := rack()
	d.Regions = append(d.Regions, model.Region{Path: "s/q", Ceph: &model.Ceph{}}, model.Region{Path: "s/p", Ceph: &model.Ceph{}})
	o.Ceph = append(o.Ceph, model.ObservedCeph{Region: "s/p", Error: "no monitor answers"})
	o.Ceph[0].Mons[1].Up = false
	o.Ceph[0].OSDs = append(o.Ceph[0].OSDs, model.ObservedOSD{ID: 99, Node: "s/r/z/a/stranger", Up: true})
	o.Ceph[0].Pools[0].PGs = 5
	o.VMs = append(o.VMs, model.ObservedVM{Name: "a", Node: two, State: "running"}, model.ObservedVM{Name: "pinned", Node: two, State: "running", VCPUs: 2, MemoryMiB: 64, NUMACells: 2})
	_, err := facts.Fleet(d, o, older)
	if err == nil {
		t.Fatal("nothing is complained of")
	}
	for _, word := range []string{"region s/q: its Ceph cluster was not observed", "no monitor answers", "mon.two on " + string(two) + " is out of quorum", "osd.99 is up on", "12 OSD ids",
		"virtual machine a is on " + string(one), "pinned to 2 NUMA cells"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing in:\n%v", word, err)
		}
	}
}

func TestPin(t *testing.T) {
	cells := []plan.Cell{{CPUs: 8, HugeMiB: 8192}, {CPUs: 10, HugeMiB: 8192}, {CPUs: 4, HugeMiB: 1024}}
	if mask, ok := facts.Pin(cells, 2, 7, 8191); !ok || mask != 3 || cells[0] != (plan.Cell{CPUs: 4, HugeMiB: 4096}) || cells[1] != (plan.Cell{CPUs: 6, HugeMiB: 4096}) {
		t.Errorf("%b %v %+v", mask, ok, cells)
	}
	if mask, ok := facts.Pin(cells, 1, 4, 4096); !ok || mask != 2 {
		t.Errorf("the emptiest is not taken: %b %v", mask, ok)
	}
	if _, ok := facts.Pin(cells, 3, 3, 3); ok && cells[2].CPUs != 3 {
		t.Errorf("%+v", cells)
	}
	before := cells[0]
	if _, ok := facts.Pin(cells, 2, 100, 1); ok || cells[0] != before {
		t.Errorf("more than there is was taken: %+v", cells)
	}
}

// TestKeyServices finds what lives on nodes alone: a server elsewhere makes a service no group.
func TestKeyServices(t *testing.T) {
	d, o := rack()
	d.Cloud = model.Cloud{Domain: "example.test", DNS: []string{"10.0.0.11", "10.0.0.12"}, NTP: []string{"one.example.test", "ntp.example.org"}}
	for i := range d.Nodes {
		d.Nodes[i].NICs = []model.NIC{{Name: "eth0", Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}), 24)}}
	}
	d.Nodes[2].Ports = []model.Port{{Name: "br-ex", Address: netip.MustParsePrefix("10.1.0.9/24")}}
	d.Networks = []model.Network{
		{Name: "near", NTP: []string{"two"}, Relay: &model.Relay{Via: "ops@10.1.0.9:2222", Address: netip.MustParseAddr("10.0.0.11")}},
		{Name: "far", DNS: []netip.Addr{netip.MustParseAddr("10.0.0.14"), netip.MustParseAddr("9.9.9.9")}, Relay: &model.Relay{Address: netip.MustParseAddr("10.0.0.1")}},
		{Name: "own", Relay: &model.Relay{Address: netip.MustParseAddr("10.0.0.14")}},
	}
	f, err := facts.Fleet(d, o, func(model.Node) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	at := func(names ...model.Path) plan.Ints {
		var out plan.Ints
		for i, h := range f.Hosts {
			for _, n := range names {
				if h.Path == n {
					out = append(out, int32(i))
				}
			}
		}
		return out
	}
	var got []plan.Group
	for _, g := range f.Groups {
		if g.Kind == plan.Key {
			got = append(got, g)
		}
	}
	want := []plan.Group{
		{Kind: plan.Key, Name: "name servers", Hosts: at(one, two)},
		{Kind: plan.Key, Name: "time servers of network near", Hosts: at(two)},
		{Kind: plan.Key, Name: "relay of network near", Hosts: at(store)},
		{Kind: plan.Key, Name: "relay of network own", Hosts: at(three)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
