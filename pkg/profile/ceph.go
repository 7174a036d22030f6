package profile

import (
	"slices"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// storage lays down what starts a host's Ceph daemons at boot: those whose data is there, whichever slot runs. That a daemon is enabled is kept in a
// slot; its data is not.
func storage(in Input, c *config) {
	ceph := []model.Role{model.RoleCephMon, model.RoleCephMgr, model.RoleCephOSD}
	if !slices.ContainsFunc(in.Node.Roles, func(r model.Role) bool { return slices.Contains(ceph, r) }) {
		return
	}
	c.file("/usr/lib/nubo/ceph", 0o755, "#!/bin/sh\n"+header+cephScript)
	c.unit("nubo-ceph.service", cephUnit)
}

const cephScript = `set -eu

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
