package ceph

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// twoServers is what Ceph 16 and 18 tell of a file system with a server that holds its rank, one that follows its journal, one that stands by, and one that was not
// heard of, as far as it is read.
const twoServers = `{"epoch":9,"default_fscid":1,"standbys":[
	{"gid":4307,"name":"files-03","rank":-1,"state":"up:standby"},
	{"gid":4309,"name":"files-04","rank":-1,"state":"up:standby","laggy_since":"2026-11-23T03:00:00.000000+0000"}],
	"filesystems":[{"id":1,"mdsmap":{"fs_name":"files","flags":50,"max_mds":1,"in":[0],"up":{"mds_0":4301},"data_pools":[3,4],"metadata_pool":2,
	"info":{"gid_4301":{"gid":4301,"name":"files-01","rank":0,"state":"up:active"},"gid_4305":{"gid":4305,"name":"files-02","rank":0,"state":"up:standby-replay"}}}}]}`

func filesOf(t *testing.T, text string) dump {
	t.Helper()
	var d dump
	for raw, into := range map[string]any{text: &d.FS,
		`{"pools":[{"pool":2,"pool_name":"meta"},{"pool":3,"pool_name":"data"},{"pool":4,"pool_name":"big"}]}`: &d.OSD,
		`[{"name":"files-01","hostname":"files-01","ceph_version_short":"18.2.7"}]`:                            &d.MDSMeta} {
		if err := json.Unmarshal([]byte(raw), into); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestServersAndFilesystems(t *testing.T) {
	d := filesOf(t, twoServers)
	want := []model.ObservedDaemon{{Name: "files-01", Node: "files-01", Up: true, Active: true, Version: "18.2.7"}, {Name: "files-02", Node: "files-02", Up: true},
		{Name: "files-03", Node: "files-03", Up: true}, {Name: "files-04", Node: "files-04"}}
	if diff := cmp.Diff(want, d.mdss()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]model.ObservedFilesystem{{Name: "files", Metadata: "meta", Data: []string{"data", "big"}, MaxMDS: 1, Ranks: 1, StandbyReplay: true}}, d.filesystems()); diff != "" {
		t.Error(diff)
	}
	spare := d.FS.standbys()
	slices.Sort(spare)
	if diff := cmp.Diff([]string{"files-02", "files-03"}, spare); diff != "" {
		t.Error(diff)
	}
	if gid, of := d.FS.held("files-01"); gid != 4301 || of != "files" {
		t.Errorf("files-01 holds %d of %q", gid, of)
	}
	if gid, _ := d.FS.held("files-02"); gid != 0 {
		t.Error("a server that follows a journal holds a rank")
	}
	for text, served := range map[string]bool{twoServers: true, strings.Replace(twoServers, "up:active", "up:replay", 1): false,
		strings.Replace(twoServers, `"in":[0]`, `"in":[0,1]`, 1): false, strings.Replace(twoServers, `"in":[0]`, `"in":[]`, 1): false} {
		if d := filesOf(t, text); d.FS.Filesystems[0].Map.served() != served {
			t.Errorf("served is %t, not %t: %s", !served, served, text)
		}
	}
	failed := filesOf(t, strings.Replace(twoServers, `"flags":50`, `"flags":19`, 1))
	if f := failed.filesystems()[0]; !f.Failed || !f.StandbyReplay { // one still follows
		t.Errorf("%+v", f)
	}
}

func TestFilesystemDrift(t *testing.T) {
	s := spec()
	s.Pools, s.Keys, s.Filesystem = nil, nil, &Filesystem{Name: "files", Metadata: "meta", Data: []string{"data", "big"}}
	good := model.ObservedFilesystem{Name: "files", Metadata: "meta", Data: []string{"data", "big"}, MaxMDS: 1, Ranks: 1}
	for name, c := range map[string]struct {
		damage  func(*model.ObservedCeph)
		want    string
		command string // empty: it is refused
	}{
		"as declared": {func(*model.ObservedCeph) {}, "", ""},
		"a pool more": {func(o *model.ObservedCeph) { o.Filesystems[0].Data = []string{"data", "big", "mine"} }, "", ""},
		"another file system": {func(o *model.ObservedCeph) {
			o.Filesystems = append(o.Filesystems, model.ObservedFilesystem{Name: "mine", MaxMDS: 3})
		}, "", ""},
		"none":             {func(o *model.ObservedCeph) { o.Filesystems = nil }, "file system files is not there", `"prefix":"fs new"`},
		"two ranks":        {func(o *model.ObservedCeph) { o.Filesystems[0].MaxMDS = 2 }, "max_mds is 2, not 1", `"val":"1","var":"max_mds"`},
		"followers":        {func(o *model.ObservedCeph) { o.Filesystems[0].StandbyReplay = true }, "standbys follow its journal", `"val":"false","var":"allow_standby_replay"`},
		"taken down":       {func(o *model.ObservedCeph) { o.Filesystems[0].Failed = true }, "it was taken down", `"val":"true","var":"joinable"`},
		"a pool less":      {func(o *model.ObservedCeph) { o.Filesystems[0].Data = []string{"data"} }, "pool big is none of its data pools", `"pool":"big","prefix":"fs add_data_pool"`},
		"other names":      {func(o *model.ObservedCeph) { o.Filesystems[0].Metadata = "x" }, "its metadata pool is x, not meta", ""},
		"other first pool": {func(o *model.ObservedCeph) { o.Filesystems[0].Data = []string{"big", "data"} }, "its first data pool is big, not data", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := model.ObservedCeph{Filesystems: []model.ObservedFilesystem{good}}
			c.damage(&o)
			changes := Diff(o, s)
			if c.want == "" {
				if len(changes) > 0 {
					t.Errorf("%v", texts(changes))
				}
				return
			}
			if len(changes) != 1 || !strings.Contains(changes[0].String(), c.want) || (changes[0].Refused != "") != (c.command == "") {
				t.Fatalf("%v", texts(changes))
			}
			text, err := json.Marshal(changes[0].Commands)
			if err != nil || !strings.Contains(string(text), c.command) {
				t.Errorf("%s, %v", text, err)
			}
		})
	}
	if got := Foreign(model.ObservedCeph{Filesystems: []model.ObservedFilesystem{good, {Name: "mine"}}}, s); !slices.Equal(got, []string{"file system mine"}) {
		t.Errorf("foreign are %q", got)
	}
}

// TestMDS: a host with a metadata server has a limit for it in ceph.conf; its key reaches no pool but those of file systems; its unit and directory are found.
func TestMDS(t *testing.T) {
	p := place()
	plain := Conf(spec(), &p)
	p.MDSCache = 1 << 30
	with := Conf(spec(), &p)
	if strings.Replace(with, "\n[mds]\nmds cache memory limit = 1073741824\n", "", 1) != plain || with == plain {
		t.Errorf("ceph.conf with a metadata server:\n%s", with)
	}
	if k := MDSKey("files-01"); k.Entity != "mds.files-01" || k.Caps["mon"] != "profile mds" || strings.Contains(k.Caps["osd"], "allow *") || !own(k.Entity) {
		t.Errorf("%+v", k)
	}
	d, err := parseDaemons([]byte("\n==stores\n/var/lib/ceph/mds/ceph-files-01\n\n==units\nceph-mds@files-01.service loaded active running\n\n==volumes\n"), "f")
	if err != nil || d.MDS != "files-01" || !MDSRuns("files-01", d.Running) || MDSRuns("files-02", d.Running) {
		t.Errorf("%+v, %v", d, err)
	}
}
