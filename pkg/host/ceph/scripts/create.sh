# create NAME FSID ADDRESS: make a new cluster whose first monitor is here. All keys are made on this host and stay on it. The monitor's store comes
# to its place in one step, so that what an interrupted run leaves is in the way of nobody. ceph.conf stands already.
umask 077
store=/var/lib/ceph/mon/ceph-$1
if [ ! -e "$store" ]; then
	tmp=$(mktemp -d /var/lib/ceph/tmp/nubo.XXXXXXXXXX)
	trap 'rm -rf -- "$tmp"' EXIT
	ceph-authtool --create-keyring "$tmp/mon" --gen-key --name mon. --cap mon 'allow *' >&2
	ceph-authtool --create-keyring "$tmp/admin" --gen-key --name client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *' >&2
	ceph-authtool "$tmp/mon" --import-keyring "$tmp/admin" >&2
	monmaptool --create --fsid "$2" --addv "$1" "$3" "$tmp/monmap" >&2
	mkdir "$tmp/store"
	chown -R ceph:ceph "$tmp"
	ceph-mon --setuser ceph --setgroup ceph --mkfs --id "$1" --mon-data "$tmp/store" --monmap "$tmp/monmap" --keyring "$tmp/mon" >&2
	install -o root -g root -m 0600 "$tmp/admin" /etc/ceph/ceph.client.admin.keyring
	sync -f "$tmp"
	mkdir -p "${store%/*}"
	mv -T -- "$tmp/store" "$store"
	sync -f "$store"
fi
systemctl reset-failed "ceph-mon@$1.service" 2>/dev/null || true
systemctl start "ceph-mon@$1.service"
