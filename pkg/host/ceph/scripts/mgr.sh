# mgr NAME: a manager with a key of its own; the admin's key stands already.
umask 077
home=/var/lib/ceph/mgr/ceph-$1
if [ ! -s "$home/keyring" ]; then
	tmp=$(mktemp /var/lib/ceph/tmp/nubo.XXXXXXXXXX)
	trap 'rm -f -- "$tmp"' EXIT
	ceph --connect-timeout 120 auth get-or-create "mgr.$1" mon 'allow profile mgr' osd 'allow *' mds 'allow *' --out-file "$tmp" >&2
	chown ceph:ceph "$tmp"
	install -d -o ceph -g ceph -m 0750 "$home"
	mv -- "$tmp" "$home/keyring"
	trap - EXIT
	sync -f "$home"
fi
systemctl reset-failed "ceph-mgr@$1.service" 2>/dev/null || true
systemctl start "ceph-mgr@$1.service"
