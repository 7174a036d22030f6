package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// StartCluster runs a real Ceph cluster on the hosts of a Site, as services that their systemctl knows: on each a monitor and an OSD in memory, called
// like the host and numbered from 0, on the first two a manager, and pools of three copies, of which two must be there. It needs the Debian packages
// ceph-mon, ceph-mgr, ceph-osd and ceph-common.
func StartCluster(t testing.TB, boxes []*Box, names []string, pools ...string) {
	t.Helper()
	first := boxes[0]
	fsid := strings.TrimSpace(first.Must(t, "cat", "/proc/sys/kernel/random/uuid"))
	var hosts []string
	monmap := filepath.Join(first.Dir, "monmap") // with real names from the start: Ceph 16 aborts when monitors learn theirs (ConnectionTracker)
	tool := []string{"monmaptool", "--create", "--fsid", fsid}
	for i := range boxes {
		hosts = append(hosts, "[v2:"+SiteAddr(i)+":3300]")
		tool = append(tool, "--addv", names[i], hosts[i])
	}
	first.Must(t, append(tool, monmap)...)
	admin := "/etc/ceph/ceph.client.admin.keyring"
	first.Must(t, "ceph-authtool", "--create-keyring", admin, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
	first.Must(t, "ceph-authtool", admin, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *")
	key, err := os.ReadFile(filepath.Join(first.Dir, "ceph-etc", filepath.Base(admin)))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range boxes {
		conf := fmt.Sprintf(clusterConf, fsid, strings.Join(hosts, ","), SiteAddr(i), b.Dir)
		for name, text := range map[string][]byte{"ceph.conf": []byte(conf), filepath.Base(admin): key} {
			if err := os.WriteFile(filepath.Join(b.Dir, "ceph-etc", name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		store := "/var/lib/ceph/mon/ceph-" + names[i]
		b.Must(t, "mkdir", "-p", store)
		b.Must(t, "ceph-mon", "--mkfs", "-i", names[i], "--keyring", admin, "--monmap", monmap)
		unit := "ceph-mon@" + names[i] + ".service"
		b.Service(unit, "ceph-mon", "-f", "-i", names[i])
		b.Must(t, "systemctl", "start", unit)
	}
	first.await(t, "the monitors have a quorum", "sh", "-c", fmt.Sprintf(`ceph --connect-timeout 60 quorum_status | tr -d " " | grep -q '"quorum":\[%s\]'`, join(len(boxes))))
	for i, b := range boxes {
		if i < 2 {
			b.addManager(t, names[i])
		}
		b.AddOSD(t, i)
	}
	first.await(t, "a manager is active, and another stands by", "sh", "-c", `ceph --connect-timeout 60 mgr dump --format json | grep -q '"available":true.*"standbys":\[{'`)
	first.await(t, "all OSDs are up", "sh", "-c", fmt.Sprintf("ceph --connect-timeout 60 osd stat | grep -q ' %d up'", len(boxes)))
	first.await(t, "the manager has made its own pool", "sh", "-c", `ceph --connect-timeout 60 osd pool ls | grep -qE '^(\.mgr|device_health_metrics)$'`)
	for _, p := range pools {
		first.Must(t, "ceph", "osd", "pool", "create", p, "8", "8", "replicated", "--autoscale-mode=off")
	}
	first.Clean(t)
}

func join(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return strings.Join(out, ",")
}

// Clean waits until all placement groups that the pools of the host's cluster have are active and clean: the manager, which knows them, hears of a new pool a
// moment after the monitors have made it, and of a new size when the OSDs tell.
func (b *Box) Clean(t testing.TB) {
	t.Helper()
	b.await(t, "all placement groups are clean", "sh", "-c", `{ ceph --connect-timeout 60 osd dump -f json; ceph --connect-timeout 60 pg dump pgs_brief -f json; } 2>/dev/null | python3 -c '
import json, sys
text, read = sys.stdin.read().lstrip(), json.JSONDecoder().raw_decode
osds, end = read(text)
groups, _ = read(text[end:].lstrip())
size = {p["pool"]: p["size"] for p in osds["pools"]}
groups = groups.get("pg_stats", groups) if isinstance(groups, dict) else groups
whole = [g for g in groups if g["state"] == "active+clean" and len(g["acting"]) == size.get(int(g["pgid"].split(".")[0]))]
sys.exit(not whole or len(whole) < len(groups) or len(groups) != sum(p["pg_num"] for p in osds["pools"]))'`)
}

func (b *Box) addManager(t testing.TB, name string) {
	t.Helper()
	home := "/var/lib/ceph/mgr/ceph-" + name
	b.Must(t, "mkdir", "-p", home)
	b.Must(t, "ceph", "auth", "get-or-create", "mgr."+name, "mon", "allow profile mgr", "osd", "allow *", "mds", "allow *", "-o", home+"/keyring")
	unit := "ceph-mgr@" + name + ".service"
	b.Service(unit, "ceph-mgr", "-f", "-i", name)
	b.Must(t, "systemctl", "start", unit)
}

// AddOSD makes an OSD in memory on a host of a cluster, whose number must be free, and starts it.
func (b *Box) AddOSD(t testing.TB, id int) {
	t.Helper()
	home := fmt.Sprintf("/var/lib/ceph/osd/ceph-%d", id)
	uuid := strings.TrimSpace(b.Must(t, "cat", "/proc/sys/kernel/random/uuid"))
	b.Must(t, "rm", "-rf", home) // of one that had the number before
	b.Must(t, "mkdir", "-p", home)
	b.Must(t, "ceph", "osd", "new", uuid, fmt.Sprint(id))
	b.Must(t, "ceph", "auth", "get-or-create", fmt.Sprintf("osd.%d", id), "mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd", "-o", home+"/keyring")
	b.Must(t, "ceph-osd", "-i", fmt.Sprint(id), "--mkfs", "--osd-uuid", uuid)
	unit := fmt.Sprintf("ceph-osd@%d.service", id)
	b.Service(unit, "ceph-osd", "-f", "-i", fmt.Sprint(id))
	b.Must(t, "systemctl", "start", unit)
}

// clusterConf is the ceph.conf of a host: nothing of it is outside of the host's own directories.
const clusterConf = `[global]
fsid = %[1]s
mon_host = %[2]s
public_addr = %[3]s
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_objectstore = memstore
memstore_device_bytes = 134217728
osd_memory_target = 939524096
mon_allow_pool_size_one = true
run_dir = %[4]s
log_file = %[4]s/$name.log
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[mon]
admin_socket = %[4]s/$name.asok
[mgr]
admin_socket = %[4]s/$name.asok
[osd]
admin_socket = %[4]s/$name.asok
`
