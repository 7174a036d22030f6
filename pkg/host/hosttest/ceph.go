package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// StartCeph runs a real Ceph cluster of one monitor and one OSD in memory, with a pool of one copy, and makes it the host's own: ceph.conf and the
// administrator's key are in /etc/ceph. It needs the Debian packages ceph-mon, ceph-osd and ceph-common. The address is one of the host's.
func (b *Box) StartCeph(t testing.TB, address, pool string) {
	t.Helper()
	etc, dir := filepath.Join(b.Dir, "ceph-etc"), filepath.Join(b.Dir, "ceph")
	for _, d := range []string{"mon", "osd"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fsid := strings.TrimSpace(b.Must(t, "cat", "/proc/sys/kernel/random/uuid"))
	conf := fmt.Sprintf(cephConf, fsid, address, dir)
	if err := os.WriteFile(filepath.Join(etc, "ceph.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	keys := "/etc/ceph/ceph.client.admin.keyring"
	b.Must(t, "ceph-authtool", "--create-keyring", keys, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
	b.Must(t, "ceph-authtool", keys, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
	listen := "[v2:" + address + ":3300]"
	b.Must(t, "ceph-mon", "--mkfs", "-i", "a", "--keyring", keys, "--public-addrv", listen)
	b.Daemon(t, "ceph-mon", "-f", "-i", "a", "--public-addrv", listen)
	b.await(t, "the monitor answers", "ceph", "--connect-timeout", "60", "health")
	id := strings.TrimSpace(b.Must(t, "cat", "/proc/sys/kernel/random/uuid"))
	b.Must(t, "ceph", "osd", "new", id)
	osdKeys := filepath.Join(dir, "osd", "keyring")
	b.Must(t, "ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *", "-o", osdKeys)
	b.Must(t, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", id, "--keyring", osdKeys)
	b.Daemon(t, "ceph-osd", "-f", "-i", "0", "--keyring", osdKeys)
	b.Must(t, "ceph", "osd", "pool", "create", pool, "1")
	b.Must(t, "timeout", "300", "rbd", "pool", "init", pool)
}

// cephConf keeps everything below one directory. The mgr is left out: RBD needs none.
const cephConf = `[global]
fsid = %[1]s
mon_host = [v2:%[2]s:3300]
public_addr = %[2]s
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
osd_objectstore = memstore
memstore_device_bytes = 268435456
run_dir = %[3]s
log_file = %[3]s/$name.log
mon_data = %[3]s/mon
osd_data = %[3]s/osd
[mon]
admin_socket = %[3]s/$name.asok
[osd]
admin_socket = %[3]s/$name.asok
`
