package profile

import (
	"slices"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// storage lays down what starts a host's Ceph daemons at boot: those whose data is there, whichever slot runs. That a daemon is enabled is kept in a
// slot; its data is not.
func storage(in Input, c *config) {
	ceph := []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD, model.RoleCephMDS, model.RoleCephRGW}
	if !slices.ContainsFunc(in.Node.Roles, func(r model.Role) bool { return slices.Contains(ceph, r) }) {
		return
	}
	c.file("/usr/lib/nubo/ceph", 0o755, "#!/bin/sh\n"+header+bootScript(in.Node.Roles))
	c.unit("nubo-ceph.service", cephUnit)
}

// bootScript is cephScript, for a host with a metadata server or an object gateway with that too: the files of the others stay as they are.
func bootScript(roles []model.Role) string {
	script, stores := cephScript, cephStores
	for _, d := range []struct {
		role model.Role
		kind string
	}{{model.RoleCephMDS, "mds"}, {model.RoleCephRGW, "radosgw"}} {
		if slices.Contains(roles, d.role) {
			stores += " /var/lib/ceph/" + d.kind + "/ceph-*/keyring"
			script += "start " + d.kind + "\n"
		}
	}
	return strings.Replace(script, cephStores, stores, 1)
}

// cephStores is where cephScript looks for what has its data here.
const cephStores = "/var/lib/ceph/mon/ceph-*/keyring /var/lib/ceph/mgr/ceph-*/keyring"

// cephScript does not start a daemon whose release is another than the one that ran last on the host's data while the slot is on trial: a newer one changes
// that data for good. nuboctl starts it when it has found the host good; the release that ran last is kept by it and here (host/ceph, start.sh).
const cephScript = `set -eu
release=$(ceph-osd --version)
release=${release#ceph version }
release=${release%%.*}
kept=/var/lib/nubo/ceph-release
last=$(cat "$kept" 2>/dev/null || true)

# trial: is this slot on trial?
trial() {
	grep -q 'nubo\.try' /proc/cmdline && ! /usr/lib/nubo/nubo-agent slot status | grep -Eq '"booted":"(.)","default_slot":"\1"'
}

# data: has any daemon of Ceph its data here?
data() {
	for store in /var/lib/ceph/mon/ceph-*/keyring /var/lib/ceph/mgr/ceph-*/keyring; do
		if [ -e "$store" ]; then return 0; fi
	done
	lvs --noheadings --options lv_tags 2>/dev/null | grep -q 'ceph\.osd_id='
}

if ! data; then exit 0; fi
if [ -n "$last" ] && [ "$release" -lt "$last" ]; then
	echo "Ceph $release does not start on the data of Ceph $last: boot the other slot, or write this one with Ceph $last or newer" >&2
	exit 1
fi
if [ "$release" != "$last" ] && trial; then
	echo "Ceph $release waits until this slot is declared good: Ceph ${last:-of an unknown release} ran here before, and there is no way back"
	exit 0
fi
echo "$release" >"$kept.new"
sync "$kept.new"
mv -f "$kept.new" "$kept"
sync "${kept%/*}"

# start KIND: the daemons of a kind whose stores are there
start() {
	for store in /var/lib/ceph/"$1"/ceph-*; do
		if [ -e "$store/keyring" ]; then
			systemctl start --no-block "ceph-$1@${store##*/ceph-}.service"
		fi
	done
}

start mon
start mgr
if lvs --noheadings --options lv_tags 2>/dev/null | grep -q 'ceph\.osd_id='; then
	ceph-volume lvm activate --all --no-systemd
	start osd
fi
`

const cephUnit = `# Written by nuboctl.
[Unit]
Description=Ceph daemons of this host
Documentation=file:/usr/lib/nubo/ceph
Wants=network-online.target
After=network-online.target lvm2-monitor.service
RequiresMountsFor=/var/lib/ceph /etc/ceph

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=30min
ExecStart=/usr/lib/nubo/ceph

[Install]
WantedBy=multi-user.target
`
