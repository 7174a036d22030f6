# mon NAME: a further monitor of the cluster that ceph.conf leads to; the admin's key stands already. The mark is set before the first start.
umask 077
store=/var/lib/ceph/mon/ceph-$1
if [ ! -e "$store/done" ]; then
	rm -rf -- "$store"
	tmp=$(mktemp -d /var/lib/ceph/tmp/nubo.XXXXXXXXXX)
	trap 'rm -rf -- "$tmp"' EXIT
	ceph --connect-timeout 60 auth get mon. --out-file "$tmp/mon" >&2
	ceph --connect-timeout 60 mon getmap --out-file "$tmp/monmap" >&2
	chown -R ceph:ceph "$tmp"
	install -d -o ceph -g ceph -m 0750 "$store"
	ceph-mon --setuser ceph --setgroup ceph --mkfs --id "$1" --monmap "$tmp/monmap" --keyring "$tmp/mon" >&2
	touch "$store/done"
	chown ceph:ceph "$store/done"
	sync -f "$store"
fi
systemctl reset-failed "ceph-mon@$1.service" 2>/dev/null || true
systemctl start "ceph-mon@$1.service"
