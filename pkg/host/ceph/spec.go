package ceph

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Spec is a cluster as it is wanted.
type Spec struct {
	FSID           string
	Mons           []Mon // all of them, in the order in which they are made
	Network        string
	ClusterNetwork string // empty: the same
	FailureDomain  string // CRUSH type: host, chassis, rack, zone
	Pools          []Pool
	Keys           []Key
	Filesystem     *Filesystem // nil: none that is wanted
	Buckets        string      // pool of what is in the object gateways' buckets; empty: there are none
}

// Mon is a monitor and where it listens.
type Mon struct {
	Name    string
	Address netip.Addr
}

// Pool is a pool as it is wanted: replicated when K is 0.
type Pool struct {
	Name          string
	Size, MinSize int
	K, M          int
	PGs           int // 0: the autoscaler's matter
	Application   string
	LeastPGs      int    // what it begins with, and what the autoscaler leaves it; 0: the autoscaler's matter
	Class         string // CRUSH device class; empty: all
}

// Key is an identity with its rights.
type Key struct {
	Entity string
	Caps   map[string]string
}

// Place is a host in the cluster.
type Place struct {
	Name     string
	Location []Bucket // from the root downwards, the host itself last
	// MemoryTarget is what each OSD may use, in bytes.
	MemoryTarget int64
	Crypt        bool // dm-crypt for new OSDs
	// MDSCache is what its metadata server may keep in memory, in bytes; 0: it has none.
	MDSCache int64
	// Gateway is where its object gateway serves S3; the zero value: it has none.
	Gateway netip.AddrPort
}

// Bucket is a place in the CRUSH tree.
type Bucket struct{ Type, Name string }

// Port is where monitors listen for messenger version 2, the only one spoken here: version 1 knows no encryption.
const Port = 3300

func (m Mon) vector() string { return "[v2:" + netip.AddrPortFrom(m.Address, Port).String() + "]" }

// Conf is the ceph.conf of a host, or of a host that is only a client when the place is nil. All traffic is encrypted.
func Conf(s Spec, p *Place) string {
	var b strings.Builder
	b.WriteString("# Written by nuboctl from the inventory; changes here do not last.\n[global]\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", name, value)
		}
	}
	mons := make([]string, len(s.Mons))
	for i, m := range s.Mons {
		mons[i] = m.vector()
	}
	line("fsid", s.FSID)
	line("mon host", strings.Join(mons, ","))
	line("public network", s.Network)
	line("cluster network", s.ClusterNetwork)
	for _, who := range []string{"cluster", "service", "client"} {
		line("auth "+who+" required", "cephx")
	}
	line("auth allow insecure global id reclaim", "false")
	line("ms bind msgr1", "false")
	for _, who := range []string{"cluster", "service", "client", "mon cluster", "mon service", "mon client"} {
		line("ms "+who+" mode", "secure")
	}
	line("mgr initial modules", "iostat")
	if p == nil {
		return b.String()
	}
	if size := s.most(); size > 0 && size < defaultSize {
		line("osd pool default size", fmt.Sprint(size))
	}
	buckets := make([]string, len(p.Location))
	for i, l := range p.Location {
		buckets[i] = l.Type + "=" + l.Name
	}
	if m, ok := s.mon(p.Name); ok { // one that joins would else announce version 1 too
		b.WriteString("\n[mon." + m.Name + "]\n")
		line("public addrv", m.vector())
	}
	if p.MDSCache > 0 {
		b.WriteString("\n[mds]\n")
		line("mds cache memory limit", fmt.Sprint(p.MDSCache))
	}
	if p.Gateway.IsValid() {
		b.WriteString("\n[" + GatewayKey(p.Name).Entity + "]\n")
		line("rgw frontends", "beast endpoint="+p.Gateway.String())
	}
	b.WriteString("\n[osd]\n")
	line("crush location", strings.Join(buckets, " "))
	line("osd memory target", fmt.Sprint(p.MemoryTarget))
	return b.String()
}

// defaultSize is how many copies the pools have that Ceph makes for itself, unless told otherwise (global.yaml.in, osd_pool_default_size).
const defaultSize = 3

// most is the number of copies of the replicated pool that has most of them; 0 when there is none. Where no pool has three, there may be no room for three,
// and a pool of Ceph's own would never be whole.
func (s Spec) most() (size int) {
	for _, p := range s.Pools {
		if p.K == 0 {
			size = max(size, p.Size)
		}
	}
	return size
}

// name is what Ceph takes for daemons, buckets and pools without quoting; names of pools that are its own begin with a dot.
var name = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)

// Check gives every mistake in a wanted cluster, joined.
func (s Spec) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(s.Mons) == 0 {
		bad("the cluster has no monitor")
	}
	for _, m := range s.Mons {
		if !name.MatchString(m.Name) || !m.Address.IsValid() {
			bad("monitor %q at %s: needs a name of letters, digits, '.', '-', '_' and an address on the cluster's network", m.Name, m.Address)
		}
	}
	for _, p := range s.Pools {
		if !name.MatchString(p.Name) {
			bad("pool %q: needs a name of letters, digits, '.', '-', '_'", p.Name)
		}
		if (p.K == 0 && p.Size < 1) || p.MinSize < 1 {
			bad("pool %q: size %d, min_size %d", p.Name, p.Size, p.MinSize)
		}
	}
	if f := s.Filesystem; f != nil && (!name.MatchString(f.Name) || f.Metadata == "" || len(f.Data) == 0) {
		bad("file system %q: needs a name of letters, digits, '.', '-', '_', a metadata pool and a data pool", f.Name)
	}
	return errors.Join(errs...)
}

// mon gives the monitor of that name.
func (s Spec) mon(name string) (Mon, bool) {
	i := slices.IndexFunc(s.Mons, func(m Mon) bool { return m.Name == name })
	if i < 0 {
		return Mon{}, false
	}
	return s.Mons[i], true
}

// RBDKey is the identity of libvirt's virtual machines: it may use images of these pools, and nothing else.
func RBDKey(entity string, pools []string) Key {
	rights := make([]string, len(pools))
	for i, p := range pools {
		rights[i] = "profile rbd pool=" + p
	}
	all := strings.Join(rights, ", ")
	return Key{Entity: entity, Caps: map[string]string{"mon": "profile rbd", "osd": all, "mgr": all}}
}
