package ceph

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// captured are the answers of a real cluster (Ceph 18.2.7 of Debian 13: one monitor, one OSD, its manager restarting, keys taken out).
func captured(t testing.TB) map[string]json.RawMessage {
	t.Helper()
	return answersIn(t, "testdata/one-osd.json")
}

func answersIn(t testing.TB, file string) map[string]json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecode(t *testing.T) {
	answers := captured(t)
	got, err := Decode(answers)
	if err != nil {
		t.Fatal(err)
	}
	want := model.ObservedCeph{
		FSID: "5f1c1f1e-93cf-4a3a-9d3a-000000000001", Health: "HEALTH_WARN", Require: 18, Unsure: "no manager answers",
		Mons: []model.ObservedDaemon{{Name: "blade-01", Node: "blade-01", Up: true}},
		OSDs: []model.ObservedOSD{{ID: 0, Node: "blade-01", FSID: "37596e71-fc64-4d10-a853-b2776bdb5ea4", Up: true, In: true, Class: "hdd", Version: "18.2.7",
			Location: map[string]string{"root": "default", "zone": "az1", "rack": "az1-a", "host": "blade-01"}}},
		Pools: []model.ObservedPool{
			{Name: "objects", ID: 2, Size: 3, MinSize: 2, K: 2, M: 1, PGs: 8, Domain: "osd", Application: "rgw"},
			{Name: "vms", ID: 1, Size: 3, MinSize: 2, PGs: 32, Domain: "host", Application: "rbd"},
		},
	}
	got.Checks, got.Keys = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for prefix := range answers {
		if strings.HasSuffix(prefix, "metadata") {
			continue
		}
		without := captured(t)
		delete(without, prefix)
		if _, err := Decode(without); err == nil || !strings.Contains(err.Error(), prefix) {
			t.Errorf("without an answer to %s: %v", prefix, err)
		}
	}
}

// TestDecodeRegion: what package ceph itself made on three real hosts is as it was wanted, and every placement group is on each of them once.
func TestDecodeRegion(t *testing.T) {
	got, err := Decode(answersIn(t, "testdata/region.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := spec()
	s.Pools[1].Class = ""
	s.Keys[0].Entity = "client.nubo-vms"
	if changes := Diff(got, s); len(changes) > 0 || got.Health != "HEALTH_OK" || got.Checks != nil || Foreign(got, s) != nil {
		t.Errorf("%s %v, to do %v, foreign %v", got.Health, got.Checks, texts(changes), Foreign(got, s))
	}
	wantMgrs := []model.ObservedDaemon{{Name: "blade-01", Node: "blade-01", Up: true, Active: true, Version: "18.2.7"}, {Name: "blade-02", Node: "blade-02", Up: true, Version: "18.2.7"}}
	if diff := cmp.Diff(wantMgrs, got.Mgrs); diff != "" || len(got.Mons) != 3 || len(got.OSDs) != 3 {
		t.Errorf("%d monitors, %d OSDs, managers %s", len(got.Mons), len(got.OSDs), diff)
	}
	for _, m := range got.Mons {
		if !m.Up {
			t.Errorf("%s is out of quorum", m.Name)
		}
	}
	for _, p := range got.Pools {
		if len(p.Acting) != p.PGs*p.Size || p.Unclean != 0 {
			t.Errorf("pool %s: %d places for %d placement groups of %d, %d unclean", p.Name, len(p.Acting), p.PGs, p.Size, p.Unclean)
		}
		for i := 0; i < len(p.Acting); i += p.Size {
			if set := slices.Sorted(slices.Values(p.Acting[i : i+p.Size])); !slices.Equal(set, []int32{0, 1, 2}) {
				t.Errorf("pool %s: a placement group is on %v", p.Name, set)
			}
		}
	}
}

// TestServiceMap is what Ceph 16 and 18 tell of object gateways, as far as it is read.
func TestServiceMap(t *testing.T) {
	var m serviceMap
	raw := `{"epoch":7,"services":{"rgw":{"daemons":{"summary":"","4213":{"gid":4213,"metadata":{"id":"gate-02","hostname":"gate-02","ceph_version_short":"18.2.7"}},
		"4199":{"gid":4199,"metadata":{"id":"gate-01","hostname":"gate-01","ceph_version_short":"18.2.7"}},
		"4177":{"gid":4177,"metadata":{"id":"gate-01","hostname":"gate-01","ceph_version_short":"18.2.7"}}}},"rbd-mirror":{"daemons":{"summary":""}}}}`
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatal(err)
	}
	want := []model.ObservedDaemon{{Name: "gate-01", Node: "gate-01", Up: true, Version: "18.2.7"}, {Name: "gate-02", Node: "gate-02", Up: true, Version: "18.2.7"}}
	if diff := cmp.Diff(want, m.gateways()); diff != "" {
		t.Error(diff)
	}
	if got := (serviceMap{}).gateways(); got != nil {
		t.Errorf("of no gateway: %v", got)
	}
}

// TestGatewayFound: unit and directory of a gateway are those of its host.
func TestGatewayFound(t *testing.T) {
	d, err := parseDaemons([]byte("\n==stores\n/var/lib/ceph/radosgw/ceph-rgw.gate-01\n\n==units\nceph-radosgw@rgw.gate-01.service loaded active running\n\n==volumes\n"), "f")
	if err != nil || d.Gateway != "gate-01" || !GatewayRuns("gate-01", d.Running) || GatewayRuns("gate-02", d.Running) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDecodeKeepsNoKey(t *testing.T) {
	got, err := Decode(answersIn(t, "testdata/region.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "AQ") || !slices.ContainsFunc(got.Keys, func(k model.ObservedKey) bool { return k.Entity == "client.bootstrap-osd" }) {
		t.Errorf("keys observed: %s", text)
	}
}

func TestPlacement(t *testing.T) {
	answers := captured(t)
	answers["pg dump"] = json.RawMessage(`{"pg_ready":true,"pg_stats":[
		{"pgid":"1.0","state":"active+clean","acting":[2,0,1]},
		{"pgid":"1.1","state":"active+clean+scrubbing+deep","acting":[0,1,2]},
		{"pgid":"1.2","state":"active+undersized+degraded","acting":[0]},
		{"pgid":"2.0","state":"active+undersized","acting":[0,2147483647,1]},
		{"pgid":"12.0","state":"down","acting":[]}]}`)
	got, err := Decode(answers)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{2, 0, 1, 0, 1, 2, 0, -1, -1}, got.Pools[1].Acting); diff != "" || got.Pools[1].Unclean != 1 {
		t.Errorf("vms, %d unclean: %s", got.Pools[1].Unclean, diff)
	}
	if diff := cmp.Diff([]int32{0, -1, 1}, got.Pools[0].Acting); diff != "" || got.Pools[0].Unclean != 1 {
		t.Errorf("objects, %d unclean: %s", got.Pools[0].Unclean, diff)
	}
}

func FuzzDecode(f *testing.F) {
	for prefix, raw := range captured(f) {
		f.Add(prefix, []byte(raw))
	}
	f.Fuzz(func(t *testing.T, prefix string, raw []byte) {
		answers := captured(t)
		answers[prefix] = raw
		got, err := Decode(answers)
		if err != nil {
			return
		}
		for _, p := range got.Pools {
			if p.Size > 0 && len(p.Acting)%p.Size != 0 {
				t.Errorf("pool %s of size %d has %d places", p.Name, p.Size, len(p.Acting))
			}
		}
	})
}

func TestParseHost(t *testing.T) {
	text, err := os.ReadFile("testdata/host.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseHost(text)
	if err != nil {
		t.Fatal(err)
	}
	want := model.ObservedCephHost{
		FSID: "5f1c1f1e-93cf-4a3a-9d3a-000000000001", Stores: []string{"mon.blade-01", "mgr.blade-01"}, Running: []string{"mgr.blade-01", "mon.blade-01", "osd.0"},
		Volumes: []model.ObservedVolume{{OSD: 0, FSID: "37596e71-fc64-4d10-a853-b2776bdb5ea4", Cluster: "5f1c1f1e-93cf-4a3a-9d3a-000000000001", Device: "/dev/vdb"}},
		Disks: []model.Disk{
			{Name: "/dev/vda", Serial: "root-01", Vendor: "0x1af4", SizeBytes: 16 << 30, Rotational: true, Transport: "virtio", Signatures: []string{"PMBR", "gpt"}},
			{Name: "/dev/vdb", Serial: "osd-01", Vendor: "0x1af4", SizeBytes: 10 << 30, Rotational: true, Transport: "virtio", Signatures: []string{"LVM2_member"}},
		},
	}
	if diff := cmp.Diff(want, got.ObservedCephHost); diff != "" {
		t.Error(diff)
	}
	if len(got.ConfSum) != 64 || got.Memory != 2977656<<10 {
		t.Errorf("ceph.conf %q, memory %d", got.ConfSum, got.Memory)
	}
}

func FuzzParseHost(f *testing.F) {
	text, err := os.ReadFile("testdata/host.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, raw []byte) { _, _ = ParseHost(raw) })
}
