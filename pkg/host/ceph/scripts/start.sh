# start [good]: start this host's Ceph daemons: the monitor, the manager, all OSDs that its disks carry, the metadata server, the object gateway. Exit 75: the slot is on trial and has another
# release of Ceph than the one that was stopped. Once that has started there is no way back, so the slot has to be declared good before.
version=$(ceph-osd --version 2>/dev/null || ceph-mon --version)
version=${version#ceph version }
release=${version%%.*}
last=$(cat /var/lib/nubo/ceph-release 2>/dev/null || true)
if [ -n "$last" ] && [ "$release" -lt "$last" ]; then
	echo "Ceph $release does not start on the data of Ceph $last" >&2
	exit 76
fi
if [ "${1-}" != good ] && [ "$release" != "$last" ] && grep -q 'nubo\.try' /proc/cmdline; then
	if ! /usr/lib/nubo/nubo-agent slot status | grep -Eq '"booted":"(.)","default_slot":"\1"'; then exit 75; fi
fi
echo "$release" >/var/lib/nubo/ceph-release.new
sync /var/lib/nubo/ceph-release.new
mv -f /var/lib/nubo/ceph-release.new /var/lib/nubo/ceph-release
sync /var/lib/nubo
start() {
	for store in /var/lib/ceph/"$1"/ceph-*; do
		if [ -e "$store/keyring" ]; then
			systemctl reset-failed "ceph-$1@${store##*/ceph-}.service" 2>/dev/null || true
			systemctl start --no-block "ceph-$1@${store##*/ceph-}.service"
		fi
	done
}
# closed: is there an OSD whose directory is not filled yet? The host's boot may have done it, and ceph-volume looks at every disk for seconds.
closed() {
	for id in $(lvs --noheadings --options lv_tags 2>/dev/null | sed -n 's/.*ceph\.osd_id=\([0-9]*\).*/\1/p'); do
		if [ ! -e "/var/lib/ceph/osd/ceph-$id/keyring" ]; then return 0; fi
	done
	return 1
}
start mon
start mgr
if closed; then ceph-volume lvm activate --all --no-systemd >&2; fi
start osd
start mds
start radosgw
