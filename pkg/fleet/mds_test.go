package fleet_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/facts"
	"github.com/nuboctl/nuboctl/pkg/fleet"
	"github.com/nuboctl/nuboctl/pkg/host/hosttest"
	"github.com/nuboctl/nuboctl/pkg/model"
	"github.com/nuboctl/nuboctl/pkg/ops"
	"github.com/nuboctl/nuboctl/pkg/plan"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// fileSite is a real cluster and two hosts that serve a file system from it.
type fileSite struct {
	*threeHosts
	nodes    []model.Node // of the metadata servers
	clusters *fleet.Clusters
	storage  *fleet.Storage
}

// TestFilesystem gives a real cluster metadata servers on two hosts of their own, and a file system, by their ops; has clients write and read through it; and stops,
// starts, breaks and removes the servers.
func TestFilesystem(t *testing.T) {
	t.Parallel()
	h := newFileSite(t)
	driver := ops.New(ops.World{Desired: h.desired, Clusters: h.clusters, Storage: h.storage})
	region := plan.CephSubject("lab/r1")
	there := []plan.Fact{{Subject: region, Attr: plan.AttrCluster, Value: "there"}}
	for _, n := range h.nodes {
		sub := plan.NodeSubject(n.Path)
		h.do(driver, plan.Op{ID: plan.ID(plan.CephMDS, sub), Kind: plan.CephMDS, Target: sub, Pre: there, Post: []plan.Fact{{Subject: sub, Attr: plan.AttrMDS, Value: plan.Up}}})
	}
	settings := facts.CephSettings(h.desired.Regions[0].Ceph)
	h.do(driver, plan.Op{ID: plan.ID(plan.CephSettle, region), Kind: plan.CephSettle, Target: region, Pre: there,
		Post: []plan.Fact{{Subject: region, Attr: plan.AttrSettings, Value: string(settings)}}})
	if o := h.seen(h.clusters); o.Settings != settings || len(o.Filesystems) != 1 || o.Filesystems[0].Data[0] != "files-data" || slices.ContainsFunc(o.Foreign, func(s string) bool { return strings.Contains(s, "file") }) {
		h.Fatalf("once it is settled: %+v, foreign %q, drift %q", o.Filesystems, o.Foreign, o.Drift)
	}
	h.ceph("fs", "authorize", "files", "client.ann", "/", "rw")

	h.write(h.boxes[2], "/notes.txt", "first")
	h.reads(h.gates[0], "/notes.txt", "first")
	if stored := h.boxes[0].Must(h.T, "rados", "-p", "files-data", "ls"); strings.TrimSpace(stored) == "" {
		h.Error("nothing is in the declared data pool")
	}
	h.mayLittle(h.gates[1], "mds."+h.nodes[1].Name, "/var/lib/ceph/mds/ceph-"+h.nodes[1].Name+"/keyring")

	// A drain has the standby take over and stops the host's daemons; the only one left may not stop; a start brings the first back, as a standby.
	first := h.serving()
	second := 1 - first
	h.sees(h.storage, h.nodes[first], "the metadata server is in service", daemons(plan.Up))
	remotetest.Within(h.Context(), h.T, cephLimit, "the server that has a standby may stop", func() bool { return h.storage.OKToStop(h.Context(), h.nodes[first]) == nil })
	if err := h.storage.SetDaemons(h.Context(), h.nodes[first], false); err != nil {
		h.Fatal(err)
	}
	h.sees(h.storage, h.nodes[first], "all daemons have stopped", daemons(plan.Stopped))
	if got := h.serving(); got != second {
		h.Errorf("%s serves", h.nodes[got].Name)
	}
	h.reads(h.boxes[2], "/notes.txt", "first")
	h.write(h.boxes[2], "/more.txt", "second")
	remotetest.Within(h.Context(), h.T, cephLimit, "the last metadata server may not stop", func() bool {
		err := h.storage.OKToStop(h.Context(), h.nodes[second])
		return err != nil && strings.Contains(err.Error(), "mds ok-to-stop")
	})
	if err := h.storage.SetDaemons(h.Context(), h.nodes[first], true); err != nil {
		h.Fatal(err)
	}
	h.sees(h.storage, h.nodes[first], "all daemons are back", daemons(plan.Up))
	h.reads(h.gates[first], "/more.txt", "second")
	h.drifts(first)
	h.leaves(second)
}

// newFileSite has hosts that know how to start a metadata server, and none that does.
func newFileSite(t *testing.T) *fileSite {
	h := &fileSite{threeHosts: newThreeHosts(t, "files-01", "files-02")}
	d := h.desired
	d.Networks = []model.Network{{Name: "storage", CIDR: netip.MustParsePrefix("198.51.100.0/24")}}
	c := *d.Regions[0].Ceph
	c.Network = "storage"
	c.Pools = []model.Pool{{Name: "vms", Size: 3, MinSize: 2, PGs: 8, Application: "rbd"}, {Name: "files-meta", Size: 3, MinSize: 2, PGs: 8, Application: "cephfs"},
		{Name: "files-data", Size: 3, MinSize: 2, PGs: 8, Application: "cephfs"}, {Name: "files-more", Size: 2, MinSize: 1, PGs: 8, Application: "cephfs"}}
	c.Filesystem = &model.Filesystem{Name: "files", Metadata: "files-meta", Data: []string{"files-data", "files-more"}}
	d.Regions = []model.Region{{Path: "lab/r1", Ceph: &c}}
	d.Nodes = slices.Concat(h.threeHosts.nodes, h.outside)
	for i := range d.Nodes {
		d.Nodes[i].NICs = []model.NIC{{Name: "eth9", Network: "storage", Address: netip.MustParsePrefix(hosttest.SiteAddr(i) + "/24")}}
	}
	h.nodes = d.Nodes[3:]
	for i, box := range h.gates {
		h.nodes[i].Roles = []model.Role{model.RoleCephMDS}
		// As Debian's unit starts it, but for the account; log and socket stay in the host's directory.
		box.Service("ceph-mds@"+h.nodes[i].Name+".service", "ceph-mds", "-f", "--cluster", "ceph", "--id", h.nodes[i].Name,
			"--log-file", filepath.Join(box.Dir, "mds.log"), "--admin-socket", filepath.Join(box.Dir, "mds.asok"))
	}
	h.desired = d
	h.ceph("config", "set", "global", "mds_beacon_grace", "120") // a busy machine's servers are not missed
	h.clusters = &fleet.Clusters{Desired: d, Links: h.links, Epoch: 5, Log: slog.New(slog.DiscardHandler)}
	h.storage = &fleet.Storage{Desired: d, Links: h.links, Epoch: 5, Log: slog.New(slog.DiscardHandler), Owner: "ann"}
	return h
}

// serving waits until one server holds the file system's rank, and tells which.
func (h *fileSite) serving() (at int) {
	h.Helper()
	remotetest.Within(h.Context(), h.T, cephLimit, "one metadata server holds the rank", func() bool {
		o := h.seen(h.clusters)
		active := slices.DeleteFunc(o.MDSs, func(d model.ObservedDaemon) bool { return !d.Up || !d.Active })
		if len(active) != 1 {
			return false
		}
		at = slices.IndexFunc(h.nodes, func(n model.Node) bool { return n.Path == active[0].Node })
		return at >= 0
	})
	return at
}

// client is a file system's client with ann's rights. It mounts anew, as another one would.
const client = `
import cephfs, sys
key, action, path, text = sys.argv[1:]
fs = cephfs.LibCephFS(auth_id="ann", conffile="/etc/ceph/ceph.conf", conf={"key": key, "client_mount_timeout": "300", "log_to_file": "false"})
fs.mount()
if action == "write":
    fd = fs.open(path, "w", 0o644)
    fs.write(fd, text.encode(), 0)
    fs.fsync(fd, False)
else:
    fd = fs.open(path, "r")
    sys.stdout.write(fs.read(fd, 0, 1000).decode())
fs.close(fd)
fs.shutdown()
`

func (h *fileSite) client(box *hosttest.Box, words ...string) string {
	h.Helper()
	key := strings.TrimSpace(h.ceph("auth", "get-key", "client.ann"))
	return box.Must(h.T, append([]string{"timeout", fmt.Sprint(2 * cephLimit.Seconds()), "/usr/bin/python3", "-c", client, key}, words...)...)
}

func (h *fileSite) write(box *hosttest.Box, path, text string) {
	h.Helper()
	h.client(box, "write", path, text)
}

func (h *fileSite) reads(box *hosttest.Box, path, want string) {
	h.Helper()
	if got := h.client(box, "read", path, ""); got != want {
		h.Errorf("%s holds %q, not %q", path, got, want)
	}
}

// mayLittle: a daemon with this key may ask, and not do what the administrator may.
func (h *fileSite) mayLittle(box *hosttest.Box, entity, keyring string) {
	h.Helper()
	own := []string{"ceph", "--connect-timeout", "120", "--name", entity, "--keyring", keyring}
	box.Must(h.T, append(own, "mds", "stat")...)
	for _, forbidden := range [][]string{{"osd", "pool", "create", "mine"}, {"auth", "ls"}, {"osd", "set", "noout"}, {"config-key", "set", "a", "b"}} {
		box.Must(h.T, "bash", "-c", "! "+strings.Join(slices.Concat(own, forbidden), " ")+" 2>/dev/null")
	}
}

// drifts: what somebody changed by hand is seen, and put right.
func (h *fileSite) drifts(standby int) {
	n := h.nodes[standby]
	h.ceph("auth", "caps", "mds."+n.Name, "mon", "allow *", "osd", "allow *", "mds", "allow *")
	h.gates[standby].Must(h.T, "systemctl", "stop", "ceph-mds@"+n.Name+".service")
	o := h.seen(h.clusters)
	if len(o.Drift) != 1 || !strings.Contains(o.Drift[0], "mds."+n.Name+" has other rights") {
		h.Errorf("of a key with too many rights is told %q", o.Drift)
	}
	if slices.ContainsFunc(o.MDSs, func(d model.ObservedDaemon) bool { return d.Node == n.Path && d.Up }) {
		h.Errorf("a metadata server that was stopped counts as one that stands by: %+v", o.MDSs)
	}
	if err := h.clusters.Ensure(h.Context(), n, model.RoleCephMDS); err != nil {
		h.Fatal(err)
	}
	h.whole("both servers are there, with their own rights")

	h.ceph("fs", "set", "files", "max_mds", "2")
	h.ceph("fs", "set", "files", "allow_standby_replay", "true")
	told := strings.Join(h.seen(h.clusters).Drift, "; ")
	if !strings.Contains(told, "max_mds is 2, not 1") || !strings.Contains(told, "allow_standby_replay") {
		h.Errorf("of a second rank and followers is told %q", told)
	}
	if err := h.clusters.Settle(h.Context(), "lab/r1"); err != nil {
		h.Fatal(err)
	}
	h.whole("one server serves, and the other only stands by")
	h.ceph("fs", "fail", "files")
	if told := h.seen(h.clusters).Drift; len(told) != 1 || !strings.Contains(told[0], "taken down") {
		h.Errorf("of a file system that was taken down is told %q", told)
	}
	if err := h.clusters.Settle(h.Context(), "lab/r1"); err != nil {
		h.Fatal(err)
	}
	h.whole("the file system is served again")
	h.reads(h.boxes[2], "/notes.txt", "first")
}

// whole waits until nothing differs: one rank, that is held, and a standby.
func (h *fileSite) whole(what string) {
	h.Helper()
	remotetest.Within(h.Context(), h.T, cephLimit, what, func() bool {
		o := h.seen(h.clusters)
		up := slices.DeleteFunc(slices.Clone(o.MDSs), func(d model.ObservedDaemon) bool { return !d.Up })
		active := slices.DeleteFunc(slices.Clone(up), func(d model.ObservedDaemon) bool { return !d.Active })
		return len(o.Drift) == 0 && o.Settings != "" && len(up) == 2 && len(active) == 1 && o.Filesystems[0].Ranks == 1 && !o.Filesystems[0].StandbyReplay
	})
}

// leaves: a node with a metadata server goes for good, whether that serves or not; the files stay.
func (h *fileSite) leaves(at int) {
	n := h.nodes[at]
	h.desired.Nodes[3+at].State = model.Retired
	leaving := fleet.Departures{Clusters: &fleet.Clusters{Desired: h.desired, Links: h.links, Epoch: 6, Log: slog.New(slog.DiscardHandler)}}
	if err := leaving.Leave(h.Context(), n); err != nil {
		h.Fatal(err)
	}
	if got := h.serving(); got == at {
		h.Errorf("%s serves, which has left", n.Name)
	}
	h.reads(h.boxes[2], "/more.txt", "second")
	h.gates[at].Must(h.T, "test", "!", "-e", "/var/lib/ceph/mds/ceph-"+n.Name)
	if strings.Contains(h.ceph("auth", "ls"), "mds."+n.Name) {
		h.Error("its key is still there")
	}
}
