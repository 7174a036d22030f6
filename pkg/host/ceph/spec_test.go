package ceph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

func spec() Spec {
	return Spec{FSID: "5f1c1f1e-93cf-4a3a-9d3a-000000000001", Network: "10.77.0.0/24", FailureDomain: "host",
		Mons: []Mon{{"blade-01", netip.MustParseAddr("10.77.0.11")}, {"blade-02", netip.MustParseAddr("fd00::12")}},
		Pools: []Pool{
			{Name: "vms", Size: 3, MinSize: 2, Application: "rbd"},
			{Name: "objects", K: 2, M: 1, MinSize: 2, Application: "rgw", PGs: 8, Class: "hdd"},
		},
		Keys: []Key{RBDKey("client.libvirt", []string{"vms"})}}
}

func place() Place {
	return Place{Name: "blade-01", MemoryTarget: 939524096, Location: []Bucket{{"root", "default"}, {"zone", "az1"}, {"rack", "az1-a"}, {"host", "blade-01"}}}
}

func TestConf(t *testing.T) {
	p := place()
	want := `# Written by nuboctl from the inventory; changes here do not last.
[global]
fsid = 5f1c1f1e-93cf-4a3a-9d3a-000000000001
mon host = [v2:10.77.0.11:3300],[v2:[fd00::12]:3300]
public network = 10.77.0.0/24
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
ms bind msgr1 = false
ms cluster mode = secure
ms service mode = secure
ms client mode = secure
ms mon cluster mode = secure
ms mon service mode = secure
ms mon client mode = secure
mgr initial modules = iostat

[mon.blade-01]
public addrv = [v2:10.77.0.11:3300]

[osd]
crush location = root=default zone=az1 rack=az1-a host=blade-01
osd memory target = 939524096
`
	if diff := cmp.Diff(want, Conf(spec(), &p)); diff != "" {
		t.Error(diff)
	}
	if client := Conf(spec(), nil); !strings.HasPrefix(want, client) || strings.Contains(client, "[osd]") {
		t.Errorf("a client's:\n%s", client)
	}
}

// TestPoolsOfCephsOwn: where no replicated pool has three copies, those that Ceph makes for itself have no more than ours either.
func TestPoolsOfCephsOwn(t *testing.T) {
	p := place()
	plain := Conf(spec(), &p)
	s := spec()
	s.Pools[0].Size = 2
	want := strings.Replace(plain, "iostat\n", "iostat\nosd pool default size = 2\n", 1)
	if diff := cmp.Diff(want, Conf(s, &p)); diff != "" {
		t.Error(diff)
	}
	s.Pools = append(s.Pools, Pool{Name: "images", Size: 4, MinSize: 2})
	if diff := cmp.Diff(plain, Conf(s, &p)); diff != "" {
		t.Errorf("with a pool of four copies: %s", diff)
	}
	s.Pools = s.Pools[1:2]
	if diff := cmp.Diff(plain, Conf(s, &p)); diff != "" {
		t.Errorf("with an erasure-coded pool only: %s", diff)
	}
}

// TestGateway: a host with an object gateway has its address in ceph.conf, and pools that hold little begin small.
func TestGateway(t *testing.T) {
	p := place()
	plain := Conf(spec(), &p)
	p.Gateway = netip.MustParseAddrPort("10.77.0.11:7480")
	with := Conf(spec(), &p)
	section := "\n[client.rgw.blade-01]\nrgw frontends = beast endpoint=10.77.0.11:7480\n"
	if strings.Replace(with, section, "", 1) != plain || with == plain {
		t.Errorf("ceph.conf with a gateway:\n%s", with)
	}
	s := spec()
	s.Pools = []Pool{{Name: ".rgw.root", Size: 3, MinSize: 2, LeastPGs: 8, Application: "rgw"}}
	text, err := json.Marshal(s.create(s.Pools[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"pg_num":8`, `"val":"8","var":"pg_num_min"`, `"app":"rgw"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not among %s", want, text)
		}
	}
	if GatewayKey("blade-01").Caps["mon"] != "allow r" {
		t.Error("a gateway may change what monitors keep")
	}
}

// texts are what a difference is told as.
func texts(list []Change) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.String())
	}
	return out
}

func TestDiff(t *testing.T) {
	s := spec()
	wanted := model.ObservedCeph{
		Pools: []model.ObservedPool{{Name: "objects", Size: 3, MinSize: 2, K: 2, M: 1, PGs: 8, Domain: "host", Class: "hdd", Application: "rgw"},
			{Name: "vms", Size: 3, MinSize: 2, PGs: 64, Domain: "host", Application: "rbd"}},
		Keys: []model.ObservedKey{{Entity: "client.libvirt", Caps: s.Keys[0].Caps}, {Entity: "osd.0"}, {Entity: "client.admin"}},
	}
	for _, tc := range []struct {
		name   string
		change func(o *model.ObservedCeph)
		want   []string
	}{
		{"as wanted", func(*model.ObservedCeph) {}, nil},
		{"nothing there", func(o *model.ObservedCeph) { *o = model.ObservedCeph{} },
			[]string{"pool vms is not there", "pool objects is not there", "key client.libvirt is not there"}},
		{"a pool changed by hand", func(o *model.ObservedCeph) { o.Pools[1].Size, o.Pools[1].MinSize = 2, 1 },
			[]string{"pool vms: size is 2, not 3", "pool vms: min_size is 1, not 2"}},
		{"another rule", func(o *model.ObservedCeph) { o.Pools[1].Domain = "osd" }, []string{"pool vms: it spreads over osd, not host"}},
		{"another code", func(o *model.ObservedCeph) { o.Pools[0].M = 2 },
			[]string{"pool objects: it has k 2 and m 2, not 2 and 1 (how a pool is coded cannot be changed: make another pool and move the data)"}},
		{"fewer groups", func(o *model.ObservedCeph) { o.Pools[0].PGs = 4 }, []string{"pool objects: it has 4 placement groups, not 8"}},
		{"other rights", func(o *model.ObservedCeph) { o.Keys[0].Caps = map[string]string{"mon": "allow *"} }, []string{"key client.libvirt has other rights: mon 'allow *'"}},
		{"no application", func(o *model.ObservedCeph) { o.Pools[1].Application = "" }, []string{"pool vms: it is not enabled for rbd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := wanted
			seen.Pools, seen.Keys = append([]model.ObservedPool(nil), wanted.Pools...), append([]model.ObservedKey(nil), wanted.Keys...)
			tc.change(&seen)
			if diff := cmp.Diff(tc.want, texts(Diff(seen, s))); diff != "" {
				t.Error(diff)
			}
		})
	}
	wanted.Pools = append(wanted.Pools, model.ObservedPool{Name: ".mgr"}, model.ObservedPool{Name: "theirs"})
	wanted.Keys = append(wanted.Keys, model.ObservedKey{Entity: "client.theirs"})
	if diff := cmp.Diff([]string{"pool theirs", "key client.theirs"}, Foreign(wanted, s)); diff != "" {
		t.Error(diff)
	}
}

// TestCommands holds what is told to a cluster in the order in which it is told.
func TestCommands(t *testing.T) {
	var got []string
	for _, c := range Diff(model.ObservedCeph{}, spec()) {
		for _, command := range c.Commands {
			text, err := json.Marshal(command)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(text))
		}
	}
	want := []string{
		`{"format":"json","name":"nubo-host","prefix":"osd crush rule create-replicated","root":"default","type":"host"}`,
		`{"format":"json","pg_num":32,"pgp_num":32,"pool":"vms","pool_type":"replicated","prefix":"osd pool create","rule":"nubo-host","size":3}`,
		`{"format":"json","pool":"vms","prefix":"osd pool set","val":"2","var":"min_size"}`,
		`{"app":"rbd","format":"json","pool":"vms","prefix":"osd pool application enable"}`,
		`{"format":"json","name":"nubo-objects","prefix":"osd erasure-code-profile set","profile":["k=2","m=1","crush-failure-domain=host","crush-device-class=hdd"]}`,
		`{"autoscale_mode":"off","erasure_code_profile":"nubo-objects","format":"json","pg_num":8,"pgp_num":8,"pool":"objects","pool_type":"erasure","prefix":"osd pool create"}`,
		`{"format":"json","pool":"objects","prefix":"osd pool set","val":"2","var":"min_size"}`,
		`{"app":"rgw","format":"json","pool":"objects","prefix":"osd pool application enable"}`,
		`{"caps":["mgr","profile rbd pool=vms","mon","profile rbd","osd","profile rbd pool=vms"],"entity":"client.libvirt","format":"json","prefix":"auth get-or-create"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMoves(t *testing.T) {
	var got []string
	for _, c := range place().moves() {
		got = append(got, fmt.Sprint(c["prefix"], " ", c["name"], " ", c["type"], " ", c["args"]))
	}
	want := []string{
		"osd crush add-bucket az1 zone <nil>", "osd crush move az1 <nil> [root=default]",
		"osd crush add-bucket az1-a rack <nil>", "osd crush move az1-a <nil> [zone=az1]",
		"osd crush add-bucket blade-01 host <nil>", "osd crush move blade-01 <nil> [rack=az1-a]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheckGivesEveryMistake(t *testing.T) {
	s := Spec{Pools: []Pool{{Name: "a b", Size: 3, MinSize: 2}, {Name: "none"}}}
	err := s.Check()
	for _, text := range []string{"no monitor", `"a b"`, `"none"`} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is missing in %v", text, err)
		}
	}
	if err := spec().Check(); err != nil {
		t.Error(err)
	}
}

// TestKeysTravelOnStdin: no key is in a command line, an error or a value that is printed.
func TestKeysTravelOnStdin(t *testing.T) {
	const key = "AQDabcdefghijklmnopqrstuvwxyzABCDEFGHI=="
	ring := Secret("[client.bootstrap-osd]\n\tkey = " + key + "\n")
	h := (&remote.Fake{}).Fail("nubo-ceph", notEmpty, "/dev/vdb is not empty: ext4, and it says "+key).Answer("stat", "").Answer("write", "")
	err := EnsureOSD(t.Context(), h, place(), model.Disk{Name: "/dev/vdb", Serial: "osd-01"}, ring, false)
	if !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), `consent = ["osd-01"]`) {
		t.Errorf("a disk with data: %v", err)
	}
	if err := EnsureMon(t.Context(), h.Answer("nubo-ceph", ""), spec(), place(), ring); err != nil {
		t.Error(err)
	}
	fed := 0
	for _, c := range h.Calls() {
		if strings.Contains(c.Line, key) {
			t.Errorf("the key is in %q", c.Line)
		}
		if strings.Contains(c.Stdin, key) {
			fed++
		}
	}
	if fed != 2 {
		t.Errorf("the key was read %d times, want twice: for the OSD, and as the file of the administrator", fed)
	}
	if text := fmt.Sprintf("%v %s %#v", ring, ring, ring); strings.Contains(text, "AQ") {
		t.Error(text)
	}
}

func TestNoAdminKey(t *testing.T) {
	h := (&remote.Fake{}).Fail("read", 44, "")
	if _, err := AdminKeyring(t.Context(), h); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestAskTellsSilenceFromRefusal(t *testing.T) {
	if _, err := Observe(context.Background(), (&remote.Fake{}).Fail("python3", noAnswer, "timed out")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("no quorum: %v", err)
	}
	if _, err := Observe(context.Background(), (&remote.Fake{}).Fail("python3", 1, "ImportError")); err == nil || errors.Is(err, ErrNoAnswer) {
		t.Errorf("a broken program: %v", err)
	}
	h := (&remote.Fake{}).Answer("python3", `[{"code":-22,"text":"pool vms: invalid","out":""}]`)
	if err := tell(t.Context(), h, cmd("osd pool set", "pool", "vms", "var", "size", "val", "9"), cmd("status")); err == nil || !strings.Contains(err.Error(), "ceph osd pool set vms size 9: pool vms: invalid (error 22)") {
		t.Error(err)
	}
}

// TestScripts: every script is well-formed.
func TestScripts(t *testing.T) {
	for name, text := range map[string]string{"create": createScript, "mon": monScript, "mgr": mgrScript, "osd": osdScript, "host": hostScript, "activate": activateScript, "rgw": rgwScript, "mds": mdsScript, "leave": leaveScript, "start": startScript, "stop": stopScript, "daemons": daemonsScript} {
		if out, err := exec.Command("sh", "-nc", text).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
