# mon NAME: a further monitor of the cluster that ceph.conf leads to; the admin's key stands already. Its store comes to its place in one step.
umask 077
store=/var/lib/ceph/mon/ceph-$1
if [ ! -e "$store" ]; then
	tmp=$(mktemp -d /var/lib/ceph/tmp/nubo.XXXXXXXXXX)
	trap 'rm -rf -- "$tmp"' EXIT
	ceph --connect-timeout 120 auth get mon. --out-file "$tmp/mon" >&2
	ceph --connect-timeout 120 mon getmap --out-file "$tmp/monmap" >&2
	mkdir "$tmp/store"
	chown -R ceph:ceph "$tmp"
	ceph-mon --setuser ceph --setgroup ceph --mkfs --id "$1" --mon-data "$tmp/store" --monmap "$tmp/monmap" --keyring "$tmp/mon" >&2
	mkdir -p "${store%/*}"
	mv -T -- "$tmp/store" "$store"
	sync -f "$store"
fi
systemctl reset-failed "ceph-mon@$1.service" 2>/dev/null || true
systemctl start "ceph-mon@$1.service"
