package monitor_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/order"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/sim/monitor"
	"github.com/nuboctl/nuboctl/pkg/sim/vtime"
	"github.com/nuboctl/nuboctl/pkg/sim/world"
)

// fleet has two zones of three racks with one host each, and one more host in the first rack; host 3 is changed already.
func fleet() plan.Fleet {
	f := plan.Fleet{
		Classes: []plan.Class{{CPUs: []string{"v"}, Machines: []string{"m"}, Version: 1}, {CPUs: []string{"v", "w"}, Machines: []string{"m"}, Version: 2},
			{CPUs: []string{"v"}, Machines: []string{"m"}, Version: 2}},
		Shapes: []plan.Shape{{Name: "s", CPU: "v", Machine: "m", MemoryMiB: 4096, VCPUs: 4}, {Name: "w", CPU: "w", Machine: "m", MemoryMiB: 4096, VCPUs: 4},
			{Name: "p", CPU: "v", Machine: "m", MemoryMiB: 4096, VCPUs: 4, Cells: 1}},
	}
	for _, p := range []model.Path{"s/r/az1/a/h0", "s/r/az1/a/h1", "s/r/az1/b/h2", "s/r/az1/c/h3", "s/r/az2/d/h4", "s/r/az2/e/h5"} {
		f.Hosts = append(f.Hosts, plan.Host{Path: p, Change: true, ClassAfter: 1, VCPUs: 8, MemoryMiB: 1 << 16, MiBs: 1000, Cells: []plan.Cell{{CPUs: 4, HugeMiB: 4096}}})
	}
	f.Hosts[3].Change, f.Hosts[3].Class = false, 1
	add := func(host, shape int32, cells int32) {
		f.VMs.Names = append(f.VMs.Names, string(rune('a'+len(f.VMs.Names))))
		f.VMs.Host, f.VMs.Shape, f.VMs.Cells = append(f.VMs.Host, host), append(f.VMs.Shape, shape), append(f.VMs.Cells, cells)
	}
	add(0, 0, 0) // a
	add(1, 0, 0) // b
	add(2, 0, 0) // c, in a group with a
	add(3, 1, 0) // d needs the newer class
	add(1, 0, 0) // e: h1 is full
	add(0, 2, 1) // f is pinned
	add(1, 2, 1) // g too, in the only cell of h1
	f.VMs.Fixed, f.VMs.Consent = plan.Ints{1, 2}, plan.Ints{2}
	f.Apart = []plan.Apart{{Level: plan.LevelRack, Name: "db", VMs: plan.Ints{0, 2}}}
	f.Groups = []plan.Group{{Kind: plan.Quorum, Name: "mon", Hosts: plan.Ints{0, 2, 4}}, {Kind: plan.Standby, Name: "mgr", Hosts: plan.Ints{0, 3}},
		{Kind: plan.Standby, Name: "gateway", Hosts: plan.Ints{1, 5}}, {Kind: plan.Key, Name: "name servers", Hosts: plan.Ints{2}}}
	f.Clusters = []plan.Cluster{{Region: "s/r", FailureDomain: plan.LevelRack, OSDHosts: plan.Ints{0, 1, 2, 3, 4}, Pools: []plan.Pool{
		{Name: "vms", Size: 3, MinSize: 2, Data: 1, Acting: plan.Ints{0, 2, 3, 1, 2, 4}, Count: plan.Ints{1, 1}}, {Name: "tmp", Size: 2, MinSize: 1, Data: 1, Acting: plan.Ints{0, 3}, Count: plan.Ints{1}}}}}
	return f
}

// desk acts on a world as a careless tool would.
type desk struct {
	t *testing.T
	w *world.World
	m *monitor.Monitor
	ops.World
}

func (d desk) do(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) node(i int) model.Node { return d.Desired.Nodes[i] }

func (d desk) stop(hosts ...int) {
	for _, h := range hosts {
		d.do(d.Storage.SetDaemons(context.Background(), d.node(h), false))
	}
}

func (d desk) move(vm string, from, to int) {
	d.do(d.Guests.Migrate(context.Background(), vm, d.node(from), d.node(to), func(plan.Progress) {}))
}

// lay installs a machine, whatever is on it.
func (d desk) lay(h int) {
	n := d.node(h)
	m, err := d.Machines.Open(context.Background(), n)
	d.do(err)
	d.do(m.SetPower(context.Background(), model.PowerOff))
	d.do(d.Installs.Arm(context.Background(), n, order.Reinstall, facts.HostSpec(n.Image.Digest, n.Config), func(string, int64, int64) {}))
	d.do(m.SetBoot(context.Background(), facts.NetBoot))
	d.do(m.SetPower(context.Background(), model.PowerOn))
	d.w.Time.Until(d.w.Time.Since() + time.Hour)
}

func (d desk) boot(h int) { d.do(d.Slots.BootOnce(context.Background(), d.node(h))) }

// dead makes the copy of a placement group on a host one whose OSD has failed.
func (d desk) dead(host int32, pg int) {
	x := &d.w.Truth.PGs[pg]
	x.Dead |= 1 << slices.Index(x.Hosts, host)
	x.Behind |= x.Dead
}

// TestTheMonitorSeesWhoIsLeftBehind: a cluster is told to start no OSD of an older release while a host has one, which then does not come up any more.
func TestTheMonitorSeesWhoIsLeftBehind(t *testing.T) {
	f := fleet()
	f.Clusters[0].Require = 16
	for i := range f.Hosts {
		f.Hosts[i].Ceph, f.Hosts[i].CephAfter = 16, 18
	}
	w := world.New(f, world.Options{Careless: true})
	m := monitor.New(1, w.Time.Now())
	w.Watch(m)
	d := desk{t, w, m, w.Ports(nil)}
	d.do(d.Clusters.Require(t.Context(), "s/r", 18))
	n := len(m.Violations)
	d.do(d.Storage.SetDaemons(t.Context(), d.node(4), false))
	d.do(d.Storage.SetDaemons(t.Context(), d.node(4), true))
	w.Time.Until(time.Hour)
	behind := 0
	for _, v := range m.Violations {
		if v.Invariant == monitor.Left {
			behind++
		}
	}
	if n != 4 || behind != 5 || w.Truth.Hosts[4].Daemons {
		t.Errorf("%d hosts are left behind, %d in the end: %+v", n, behind, m.Violations)
	}
}

// TestTheMonitorSeesHarm does each harm once. A monitor that misses one is none; and it sees no other where only one is done.
func TestTheMonitorSeesHarm(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(desk)
		want []string
	}{
		{"nothing", func(desk) {}, nil},
		{"one host, with care", func(d desk) { d.stop(2); d.w.Time.Until(time.Hour) }, nil},
		{"a restart under a virtual machine", func(d desk) { d.stop(1); d.boot(1) }, []string{monitor.Stopped}},
		{"a machine is held against its owner's will", func(d desk) { d.do(d.Guests.Hold(t.Context(), "b", d.node(1))) }, []string{monitor.Stopped}},
		{"a machine is held with consent", func(d desk) {
			d.do(d.Guests.Hold(t.Context(), "c", d.node(2)))
			d.do(d.Guests.Release(t.Context(), "c", d.node(2)))
		}, nil},
		{"a held machine is forgotten", func(d desk) { d.do(d.Guests.Hold(t.Context(), "c", d.node(2))) }, []string{monitor.Stopped}},
		{"two racks of one placement group", func(d desk) { d.stop(2, 3) }, []string{monitor.Inactive, monitor.Domain}},
		{"two hosts of one rack", func(d desk) { d.stop(0, 1) }, nil},
		{"the last complete copy", func(d desk) { d.stop(0, 3) }, []string{monitor.Inactive, monitor.Complete, monitor.Standby, monitor.Domain}},
		{"two of three monitors", func(d desk) { d.stop(0, 4) }, []string{monitor.Quorum, monitor.Domain, monitor.Zones}},
		{"the last gateway", func(d desk) { d.boot(5); d.stop(1); d.w.Truth.Hosts[1].Guests = nil; d.boot(1) }, []string{monitor.Standby, monitor.Zones}},
		{"the only name server", func(d desk) { d.stop(2); d.w.Truth.Hosts[2].Guests = nil; d.boot(2) }, []string{monitor.Key}},
		{"a copy whose disk has failed, and the host of its sibling", func(d desk) { d.dead(0, 0); d.stop(2) }, []string{monitor.Inactive}},
		{"a disk that has failed, on the host that goes", func(d desk) { d.dead(2, 0); d.stop(2) }, nil},
		{"a full host", func(d desk) { d.move("a", 0, 1) }, []string{monitor.Capacity}},
		{"a full cell", func(d desk) { d.move("f", 0, 1) }, []string{monitor.Capacity}},
		{"a member of its group is there", func(d desk) { d.move("a", 0, 2) }, []string{monitor.Apart}},
		{"to a host without its processor", func(d desk) { d.move("d", 3, 2) }, []string{monitor.Version, monitor.Suits}},
		{"to another zone", func(d desk) { d.move("a", 0, 5) }, []string{monitor.Zones}},
		{"a host that is changed", func(d desk) { d.w.Truth.Hosts[3].Guests = nil; d.stop(3); d.boot(3) }, []string{monitor.Twice}},
		{"a host is laid down with care", func(d desk) { d.stop(4); d.lay(4) }, nil},
		{"a host is laid down under a virtual machine", func(d desk) { d.stop(1); d.lay(1) }, []string{monitor.Emptied, monitor.Stopped}},
		{"a host that is changed is laid down", func(d desk) { d.w.Truth.Hosts[3].Guests = nil; d.stop(3); d.lay(3) }, []string{monitor.Twice}},
		{"a host is laid down, and once more", func(d desk) { d.stop(4); d.lay(4); d.stop(4); d.lay(4) }, []string{monitor.Erased, monitor.Twice}},
		{"a host is laid down, and nothing says that this is one-way", func(d desk) { d.m.OneWay = func(model.Path) bool { return false }; d.stop(4); d.lay(4) }, []string{monitor.Back}},
		{"the old slot is given up before the daemons run on the new one", func(d desk) {
			d.w.Truth.Hosts[3].Daemons = false
			d.do(d.Slots.Commit(t.Context(), d.node(3)))
		}, []string{monitor.Back}},
		{"noout over night", func(d desk) { d.do(d.Storage.SetNoout(t.Context(), d.node(1), d.Clock.Now().Add(12*time.Hour))) }, []string{monitor.Flags}},
		{"a cordon for ever", func(d desk) {
			d.do(d.Cordons.SetCordon(t.Context(), d.node(1), ops.Mark{Until: d.Clock.Now().Add(1000 * time.Hour)}))
		}, []string{monitor.Flags}},
		{"a cordon that is left", func(d desk) {
			d.do(d.Cordons.SetCordon(t.Context(), d.node(3), ops.Mark{Until: d.Clock.Now().Add(time.Hour)}))
		}, []string{monitor.Flags}},
		{"a cordon on a host that was left out", func(d desk) {
			d.do(d.Cordons.SetCordon(t.Context(), d.node(1), ops.Mark{Until: d.Clock.Now().Add(time.Hour)}))
		}, nil},
		{"to a host whose storage network is cut", func(d desk) { d.w.Cut([]int32{3}, false); d.move("a", 0, 3) }, []string{monitor.Reach}},
		{"a host that is cut off is stopped", func(d desk) { d.w.Cut([]int32{3}, false); d.stop(3) }, nil},
		{"the host of a sibling of a copy that is cut off", func(d desk) { d.w.Cut([]int32{3}, false); d.stop(2) }, []string{monitor.Inactive}},
		{"a monitor beside one that is cut off", func(d desk) { d.w.Cut([]int32{4}, true); d.stop(0) }, []string{monitor.Quorum}},
		{"two racks are cut off", func(d desk) { d.w.Cut([]int32{2}, true); d.w.Cut([]int32{3}, false) }, nil},
		{"a cordon that is left where nobody gets", func(d desk) {
			d.do(d.Cordons.SetCordon(t.Context(), d.node(3), ops.Mark{Until: d.Clock.Now().Add(time.Hour)}))
			d.w.Cut([]int32{3}, true)
		}, nil},
		{"a fault takes two racks", func(d desk) {
			d.w.Lose(2)
			d.w.Lose(3)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := monitor.New(1, vtime.Epoch)
			w := world.New(fleet(), world.Options{Watch: m, Careless: true})
			d := desk{t: t, w: w, m: m, World: w.Ports(nil)}
			c.do(d)
			m.End(&w.Truth, w.Time.Now(), true)
			var got []string
			for _, v := range m.Violations {
				if !slices.Contains(got, v.Invariant) {
					got = append(got, v.Invariant)
				}
				if v.Seed != 1 || v.Detail == "" {
					t.Errorf("%+v does not say enough", v)
				}
			}
			slices.Sort(got)
			if slices.Sort(c.want); !slices.Equal(got, c.want) {
				t.Errorf("it saw %q, want %q: %+v", got, c.want, m.Violations)
			}
		})
	}
}
