package facts_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/plan"
)

// TestServersThatCouldTakeOver: a metadata server that is down is no standby, and what a rise of Ceph's release depends on is told of every file system.
func TestServersThatCouldTakeOver(t *testing.T) {
	d, o := rack()
	for i := range d.Nodes {
		d.Nodes[i].Roles = append(slices.Clone(d.Nodes[i].Roles), model.RoleCephMDS)
		o.Ceph[0].MDSs = append(o.Ceph[0].MDSs, model.ObservedDaemon{Name: d.Nodes[i].Name, Node: d.Nodes[i].Path, Up: i != 1, Active: i == 0})
	}
	o.Ceph[0].Filesystems = []model.ObservedFilesystem{{Name: "work", MaxMDS: 1, Ranks: 2}, {Name: "home", MaxMDS: 3, Ranks: 1, StandbyReplay: true}}
	f, err := facts.Fleet(d, o, older)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(f.Groups, func(g plan.Group) bool { return g.Name == "ceph-mds of s/r" })
	if i < 0 || f.Groups[i].Kind != plan.Standby || len(f.Groups[i].Hosts) != 3 {
		t.Errorf("groups: %+v", f.Groups)
	}
	for _, h := range f.Groups[max(i, 0)].Hosts {
		if f.Hosts[h].Path == o.Ceph[0].MDSs[1].Node {
			t.Errorf("%s counts, and its metadata server is down", f.Hosts[h].Path)
		}
	}
	want := []plan.Filesystem{{Name: "home", Ranks: 3, StandbyReplay: true}, {Name: "work", Ranks: 2}}
	if diff := cmp.Diff(want, f.Clusters[0].Filesystems); diff != "" {
		t.Error(diff)
	}
}

// TestFilesystemIsPartOfTheSettings: what is declared of it, and nothing where there is none.
func TestFilesystemIsPartOfTheSettings(t *testing.T) {
	c := model.Ceph{FailureDomain: "host", Pools: []model.Pool{{Name: "vms", Size: 3, MinSize: 2}}}
	plain := facts.CephSettings(&c)
	if want := model.DigestJSON([]any{c.FailureDomain, c.Pools, facts.RBDClient}); plain != want {
		t.Errorf("without a file system it is %s, not %s", plain, want)
	}
	c.Filesystem = &model.Filesystem{Name: "home", Metadata: "meta", Data: []string{"data"}}
	with := facts.CephSettings(&c)
	c.Filesystem = &model.Filesystem{Name: "home", Metadata: "meta", Data: []string{"data", "big"}}
	if more := facts.CephSettings(&c); with == plain || more == with {
		t.Errorf("%s, %s, %s", plain, with, more)
	}
}

// TestMDSCache: a sixteenth of the memory, within bounds.
func TestMDSCache(t *testing.T) {
	for memory, want := range map[int64]int64{1 << 30: 256 << 20, 16 << 30: 1 << 30, 64 << 30: 4 << 30, 512 << 30: 4 << 30} {
		if got := facts.MDSCache(memory); got != want {
			t.Errorf("of %d bytes: %d, not %d", memory, got, want)
		}
	}
}
