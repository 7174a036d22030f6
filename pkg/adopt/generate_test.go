package adopt_test

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/host/ceph"
	"github.com/nuboctl/nuboctl/pkg/host/ovs"
	"github.com/nuboctl/nuboctl/pkg/model"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

// generator draws surveys of sites as people build them: what the inventory has words for, and what it has none for.
type generator struct {
	t *rapid.T
	n int // of draws, for their labels
}

func (g *generator) label(what string) string {
	g.n++
	return fmt.Sprintf("%s#%d", what, g.n)
}

func (g *generator) number(what string, from, to int) int {
	return rapid.IntRange(from, to).Draw(g.t, g.label(what))
}

// rarely is true once in so many times.
func (g *generator) rarely(what string, once int) bool { return g.number(what, 1, once) == once }

func (g *generator) one(what string, of ...string) string {
	return rapid.SampledFrom(of).Draw(g.t, g.label(what))
}

const fsid = "6b2f1c1e-0f39-4f0c-8d0a-5a2b1f1f0a01"

func (g *generator) survey() adopt.Survey {
	s := adopt.Survey{FormatVersion: adopt.FormatVersion}
	jumbo := g.number("jumbo", 0, 1) * 9000
	for i := range g.number("hosts", 1, 7) {
		s.Hosts = append(s.Hosts, g.host(i, jumbo))
	}
	for i := range s.Hosts {
		if h := s.Hosts[i]; h.Seen.Libvirt != "" && g.rarely("guest", 2) {
			s.VMs = append(s.VMs, model.ObservedVM{Name: fmt.Sprintf("guest-%d", i), Node: model.Path(h.Name), State: "running", VCPUs: 2, MemoryMiB: 2048})
		}
	}
	if g.number("ceph", 0, 3) > 0 {
		s.Clusters = append(s.Clusters, g.cluster(s.Hosts))
	}
	return s
}

func (g *generator) host(i, jumbo int) adopt.Host {
	h := adopt.Host{Name: fmt.Sprintf("host-%02d", i), Reached: addr(0, i), Domain: "site.test", Cores: 8 * g.number("cores", 1, 2), Memory: 64,
		Serial: g.one("serial", fmt.Sprint("S", i), "Default string", ""), Gateway: netip.MustParseAddr("10.0.0.1"), Roots: []string{"/dev/sda"}}
	h.Seen = model.ObservedHost{Reachable: true, Release: "bookworm", Kernel: "6.1.0"}
	h.Ceph = &ceph.HostState{}
	h.Ceph.Disks = []model.Disk{{Name: "/dev/sda", Serial: fmt.Sprint("ROOT", i)}, {Name: "/dev/sdb", Serial: fmt.Sprint("DATA", i)}}
	if !g.rarely("no libvirt", 4) {
		h.Seen.Libvirt = "9.0.0"
	}
	if g.rarely("bmc", 2) {
		h.BMC = fmt.Sprintf("ipmi://10.9.0.%d", i+10)
	}
	switch {
	case g.rarely("odd name", 12):
		h.Name = g.one("name", "Host_A", "x.y")
	case g.rarely("silent", 12):
		h.Error = "no answer"
	}
	for c := range g.number("cards", 2, 4) {
		h.Links = append(h.Links, adopt.Link{Name: fmt.Sprintf("eno%d", c+1), MAC: fmt.Sprintf("52:54:00:%02x:00:%02x", i, c), MTU: 1500})
	}
	g.layout(&h, i, jumbo)
	return h
}

// addr is the address of a host on a network.
func addr(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(network), byte(host + 11)})
}

func on(a netip.Addr) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(a, 24)} }

// layout gives a host its management address and its bridges.
func (g *generator) layout(h *adopt.Host, i, jumbo int) {
	first := &h.Links[0]
	switch g.one("management", "card", "bridge", "kernel bond", "kernel vlan") {
	case "card":
		first.Addresses = on(h.Reached)
	case "kernel bond":
		first.Master = "bond9"
		h.Links = append(h.Links, adopt.Link{Name: "bond9", Kind: "bond", MTU: 1500, Addresses: on(h.Reached)})
	case "kernel vlan":
		h.Links = append(h.Links, adopt.Link{Name: "eno1.7", Kind: "vlan", VLAN: 7, Below: "eno1", MTU: 1500, Addresses: on(h.Reached)})
	case "bridge":
		b := g.bridge("br-mgmt", []string{"eno1"}, 0)
		h.OVS = &ovs.State{Bridges: []ovs.Bridge{b}}
		h.Links = append(h.Links, adopt.Link{Name: b.Name, Kind: "openvswitch", MTU: 1500, Addresses: on(h.Reached)})
	}
	if g.rarely("libvirt's network", 2) {
		h.Links = append(h.Links, adopt.Link{Name: "virbr0", Kind: "bridge", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.122.1/24")}})
	}
	if g.rarely("no data bridge", 5) {
		return
	}
	if h.OVS == nil {
		h.OVS = &ovs.State{}
	}
	uplinks := []string{"eno2"}
	if len(h.Links) > 2 && h.Links[2].Name == "eno3" && g.rarely("bond", 2) {
		uplinks = append(uplinks, "eno3")
	}
	h.OVS.Bridges = append(h.OVS.Bridges, g.dataBridge(h, i, uplinks, jumbo))
}

func (g *generator) bridge(name string, uplinks []string, mtu int) ovs.Bridge {
	up := ovs.Port{Name: uplinks[0]}
	if len(uplinks) > 1 {
		up.Name, up.BondMode, up.LACP = "bond0", g.one("mode", "", "active-backup", "balance-slb", "balance-tcp"), g.one("lacp", "", "", "active", "passive", "off")
	}
	for _, u := range uplinks {
		up.Interfaces = append(up.Interfaces, ovs.Interface{Name: u, MTURequest: mtu})
	}
	b := ovs.Bridge{Name: name, Ports: []ovs.Port{up}}
	if g.rarely("odd bridge", 6) {
		switch g.one("odd", "netdev", "trunks", "secure", "request") {
		case "netdev":
			b.Datapath = "netdev"
		case "trunks":
			b.Ports[0].Trunks = []int{7, 8}
		case "secure":
			b.FailMode = "secure"
		case "request":
			b.MTURequest = 1400
		}
	}
	return b
}

// dataBridge is a bridge with ports of virtual machines, of the host, and of others.
func (g *generator) dataBridge(h *adopt.Host, i int, uplinks []string, jumbo int) ovs.Bridge {
	b := g.bridge("br-data", uplinks, jumbo)
	for v := range g.number("vlans", 0, 2) {
		p := ovs.Port{Name: fmt.Sprintf("vlan%d", v), Tag: 100 + v, Interfaces: []ovs.Interface{{Name: fmt.Sprintf("vlan%d", v), Type: "internal", MTURequest: jumbo}}}
		link := adopt.Link{Name: p.Name, Kind: "openvswitch", MTU: 1500, Addresses: on(addr(100+v, i))}
		if g.rarely("odd port", 8) {
			switch g.one("port", "untagged", "no address", "other tag", "other MTU", "two addresses", "twice") {
			case "untagged":
				p.Tag = 0
			case "no address":
				link.Addresses = nil
			case "other tag":
				p.Tag = 300
			case "other MTU":
				p.Interfaces[0].MTURequest = 4000
			case "two addresses":
				link.Addresses = append(link.Addresses, on(addr(200, i))...)
			case "twice":
				link.Addresses = on(addr(100+v, 99))
			}
		}
		b.Ports = append(b.Ports, p)
		h.Links = append(h.Links, link)
	}
	if g.rarely("vnet", 2) {
		b.Ports = append(b.Ports, ovs.Port{Name: "vnet0", Tag: 5, Interfaces: []ovs.Interface{{Name: "vnet0", Owner: "52:54:00:aa:00:01"}}})
	}
	if g.rarely("patch", 3) {
		b.Ports = append(b.Ports, ovs.Port{Name: "to-int", Interfaces: []ovs.Interface{{Name: "to-int", Type: "patch"}}})
	}
	if g.rarely("second uplink", 10) {
		b.Ports = append(b.Ports, ovs.Port{Name: "dummy7", Interfaces: []ovs.Interface{{Name: "dummy7"}}})
	}
	return b
}

// cluster is a healthy cluster on some of the hosts.
func (g *generator) cluster(hosts []adopt.Host) adopt.Cluster {
	c := model.ObservedCeph{FSID: fsid, Health: "HEALTH_OK"}
	out := adopt.Cluster{}
	for i := range hosts {
		h := &hosts[i]
		name := model.Path(h.Name)
		h.Ceph.FSID = fsid
		if i < 3 {
			c.Mons = append(c.Mons, model.ObservedDaemon{Name: g.one("mon", "a", h.Name), Node: name, Up: true})
			out.Mons = append(out.Mons, h.Reached)
		}
		if i < 2 {
			c.Mgrs = append(c.Mgrs, model.ObservedDaemon{Name: h.Name, Node: name, Up: true, Active: i == 0})
		}
		if g.rarely("no OSD", 5) {
			continue
		}
		at := map[string]string{"root": g.one("root", "default", "ssd"), "host": h.Name}
		for _, place := range []struct {
			typ   string
			names []string
		}{{"rack", []string{"", "rack1", "Rack_2"}}, {"zone", []string{"", "az1"}}, {"chassis", []string{"", "c1"}}, {"datacenter", []string{"", "dc"}}} {
			if n := g.one(place.typ, place.names...); n != "" {
				at[place.typ] = n
			}
		}
		for k := range g.number("OSDs", 1, 3) {
			o := model.ObservedOSD{ID: 10*i + k, Node: name, FSID: fmt.Sprint(i, k), Up: true, In: true, Class: "ssd", Location: at}
			c.OSDs = append(c.OSDs, o)
			h.Ceph.Volumes = append(h.Ceph.Volumes, model.ObservedVolume{OSD: o.ID, FSID: o.FSID, Cluster: fsid, Device: "/dev/sdb"})
			out.Back = append(out.Back, addr(100, i))
		}
	}
	for k := range g.number("pools", 0, 4) {
		c.Pools = append(c.Pools, g.pool(k))
	}
	for k := range g.number("file systems", 0, 2) {
		c.Filesystems = append(c.Filesystems, model.ObservedFilesystem{Name: fmt.Sprintf("fs%d", k), Metadata: g.one("metadata", "pool0", "pool1"), Data: []string{g.one("data", "pool1", "pool2")},
			MaxMDS: g.number("max_mds", 1, 2), StandbyReplay: g.rarely("standby-replay", 4)})
	}
	c.Pools = append(c.Pools, model.ObservedPool{Name: ".mgr", Size: 3, MinSize: 2, Domain: "host", Application: "mgr"})
	c.Keys = []model.ObservedKey{{Entity: "client.libvirt"}}
	out.Ceph = c
	return out
}

func (g *generator) pool(k int) model.ObservedPool {
	p := model.ObservedPool{Name: fmt.Sprintf("pool%d", k), ID: k + 1, PGs: 32, Size: g.number("size", 1, 3), Domain: g.one("domain", "host", "host", "rack", "osd"),
		Class: g.one("class", "", "", "ssd", "fast"), Application: g.one("application", "rbd", "rbd", "cephfs", "", "rbd,rgw")}
	p.MinSize = g.number("min_size", 1, p.Size)
	if g.rarely("coded", 4) {
		p.K, p.M = 2, 1
		p.Size, p.MinSize = 3, g.number("min_size", 2, 3)
	}
	return p
}
