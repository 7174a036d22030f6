// Package plan holds the vocabulary of plans: facts, ops, stages, and the file they are kept in. It is plain data with no effect on
// anything: a plan can be printed, compared, signed, stored, and checked by code that did not make it.
package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Subject is what a fact is about: "node:PATH", "vm:NAME", "ceph:REGION" or "batch:NUMBER".
type Subject string

// NodeSubject is the subject of a node.
func NodeSubject(p model.Path) Subject { return Subject("node:" + string(p)) }

// VMSubject is the subject of a virtual machine.
func VMSubject(name string) Subject { return Subject("vm:" + name) }

// BatchSubject is the subject of a rollout's batch by its index in the certificate. Its name, as everything that people read, counts from 1.
func BatchSubject(i int) Subject { return Subject("batch:" + strconv.Itoa(i+1)) }

// CephSubject is the subject of a region's Ceph cluster.
func CephSubject(region model.Path) Subject { return Subject("ceph:" + string(region)) }

// Ceph returns the region of the cluster, and whether the subject is one.
func (s Subject) Ceph() (model.Path, bool) {
	p, ok := strings.CutPrefix(string(s), "ceph:")
	return model.Path(p), ok
}

// Batch returns the index of the batch in the certificate, from 0, and whether the subject is one.
func (s Subject) Batch() (int, bool) {
	text, ok := strings.CutPrefix(string(s), "batch:")
	n, err := strconv.Atoi(text)
	return n - 1, ok && err == nil && n > 0
}

// Node returns the node's path, and whether the subject is a node.
func (s Subject) Node() (model.Path, bool) {
	p, ok := strings.CutPrefix(string(s), "node:")
	return model.Path(p), ok
}

// VM returns the virtual machine's name, and whether the subject is one.
func (s Subject) VM() (string, bool) { return strings.CutPrefix(string(s), "vm:") }

// Attr is the name of one property of a subject.
type Attr string

// The attributes a plan reasons about. A value that is not known, or not there, is the empty string.
const (
	AttrMachine Attr = "machine" // serial number behind the BMC, "any" where the inventory names none
	AttrPower   Attr = "power"   // on, off
	AttrBoot    Attr = "boot"    // "network" while the next boot is from the network
	AttrOrder   Attr = "order"   // digest of the host specification that an armed order would install
	AttrInstall Attr = "install" // started, installed: how far that order is
	AttrHost    Attr = "host"    // digest of the host specification that the running host was installed from
	AttrOVS     Attr = "ovs"     // digest of the bridges
	AttrKVM     Attr = "kvm"     // "ready" when libvirt answers and can run machines
	AttrFiles   Attr = "files"   // of the host: "as laid down", or which are not
	AttrDisks   Attr = "disks"   // Ceph pools that its virtual machines may have disks in, "POOL,POOL"
	AttrMove    Attr = "move"    // address at which it takes virtual machines from other hosts
	AttrFormer  Attr = "former"  // serial number of the machine that the node was last installed on, while another one is to be behind it
	AttrVM      Attr = "spec"    // of a VM: digest under which it was defined
	AttrRuns    Attr = "runs"    // of a VM: the node that runs it
)

// The attributes of a Ceph cluster and of what its nodes are in it. A value that is neither empty nor the one that is wanted says in words what is
// there instead.
const (
	AttrCluster  Attr = "cluster"  // of a region: its cluster's fsid, or "there" where the inventory leaves that open
	AttrSettings Attr = "settings" // of a region: digest of pools and keys
	AttrForeign  Attr = "foreign"  // of a region: pools and keys that the inventory does not name; no op changes it
	AttrRequire  Attr = "require"  // of a region: the major release of Ceph below which none of its OSDs starts, by its number
	AttrMon      Attr = "mon"      // "up": in quorum
	AttrMgr      Attr = "mgr"      // "up"
	AttrMDS      Attr = "mds"      // "up": it serves a file system, or stands by
	AttrRGW      Attr = "rgw"      // "up": it serves S3
	AttrOSDs     Attr = "osds"     // "up": every disk that is to be one is an OSD, in service and in its place
	AttrLost     Attr = "lost"     // OSDs of a node whose disks are not in its machine any more, "osd.3,osd.4"
)

// The attributes of a node that leaves (model.Node.State).
const (
	AttrData   Attr = "data"   // "in": the cluster has OSDs of it that are in; "out": all are out; "none": it has none, and no bucket
	AttrEmpty  Attr = "empty"  // "yes": all placement groups are clean, and none needs its OSDs
	AttrMember Attr = "member" // "none", or which daemons the cluster counts: "mon, mgr"
	AttrWiped  Attr = "wiped"  // "yes": disks that it consents to hold nothing; otherwise those that do, by serial number
)

// Anew is the value of AttrHost of a node whose host is to be laid down again although it may be as desired. It does not answer, or is emptied first.
const Anew = "to be laid anew"

// The attributes of a rollout. A specification is the digest of image and configuration that AttrHost holds.
const (
	AttrIdle    Attr = "idle"    // the specification that the idle slot holds, complete
	AttrDefault Attr = "default" // the specification of the slot that boots by default
	AttrCordon  Attr = "cordon"  // "set", or "drained" when it is the mark of a drain and not of a rollout
	AttrGuests  Attr = "guests"  // "none" once the host is drained; unknown while it may be used
	AttrNoout   Attr = "noout"   // "set" for the host's bucket
	AttrCeph    Attr = "ceph"    // "up" or "stopped": the host's daemons; absent on hosts without any
	AttrKept    Attr = "kept"    // the OSDs whose data its disks hold, "osd.ID=FSID osd.ID=FSID"

	AttrStaged   Attr = "staged"   // digest of the snapshot whose packages are on the host and can be installed
	AttrPackages Attr = "packages" // digest of the snapshot that was installed last, in the slot that runs

	AttrCertified Attr = "certified" // of a batch: "yes"
	AttrGate      Attr = "gate"      // of a batch: "open"
	AttrBaked     Attr = "baked"     // of a batch: "yes"
)

// The values of AttrCordon and AttrNoout, AttrGuests, AttrCeph, AttrData, AttrCertified and AttrBaked, and AttrGate.
const (
	Set     = "set"
	Drained = "drained"
	None    = "none"
	Up      = "up"
	Stopped = "stopped"
	In      = "in"
	Out     = "out"
	Yes     = "yes"
	Open    = "open"
)

// Fact is one property of one subject.
type Fact struct {
	Attr    Attr    `json:"attr"`
	Subject Subject `json:"subject"`
	Value   string  `json:"value"`
}

// State is everything a plan knows: subject → attribute → value. Empty values are not kept.
type State map[Subject]map[Attr]string

// Get returns the value of an attribute, empty when nothing is known.
func (s State) Get(sub Subject, a Attr) string { return s[sub][a] }

// Has reports whether the fact holds.
func (s State) Has(f Fact) bool { return s.Get(f.Subject, f.Attr) == f.Value }

// Set records a fact in place; an empty value removes it.
func (s State) Set(f Fact) {
	if f.Value == "" {
		delete(s[f.Subject], f.Attr)
		if len(s[f.Subject]) == 0 {
			delete(s, f.Subject)
		}
		return
	}
	if s[f.Subject] == nil {
		s[f.Subject] = map[Attr]string{}
	}
	s[f.Subject][f.Attr] = f.Value
}

// Clone returns an independent copy.
func (s State) Clone() State {
	out := make(State, len(s))
	for sub, facts := range s {
		out[sub] = maps.Clone(facts)
	}
	return out
}

// With returns a copy in which the facts hold.
func (s State) With(facts ...Fact) State {
	out := s.Clone()
	for _, f := range facts {
		out.Set(f)
	}
	return out
}

// Change is one attribute of one subject that differs between two states; empty means absent.
type Change struct {
	Attr    Attr    `json:"attr"`
	From    string  `json:"from,omitempty"`
	Subject Subject `json:"subject"`
	To      string  `json:"to,omitempty"`
}

// Diff lists what differs, sorted by subject and attribute.
func Diff(before, after State) []Change {
	subjects := map[Subject]bool{}
	for s := range before {
		subjects[s] = true
	}
	for s := range after {
		subjects[s] = true
	}
	var out []Change
	for _, sub := range slices.Sorted(maps.Keys(subjects)) {
		attrs := map[Attr]bool{}
		for a := range before[sub] {
			attrs[a] = true
		}
		for a := range after[sub] {
			attrs[a] = true
		}
		for _, a := range slices.Sorted(maps.Keys(attrs)) {
			from, to := before.Get(sub, a), after.Get(sub, a)
			if from != to {
				out = append(out, Change{Attr: a, From: from, Subject: sub, To: to})
			}
		}
	}
	return out
}
