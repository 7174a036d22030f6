# mds NAME: a metadata server. Its keyring comes on stdin. ceph.conf stands already.
umask 077
home=/var/lib/ceph/mds/ceph-$1
unit=ceph-mds@$1.service
install -d -o ceph -g ceph -m 0750 "${home%/*}" "$home"
cat >"$home/keyring.new"
if cmp --silent "$home/keyring.new" "$home/keyring"; then
	rm -f -- "$home/keyring.new"
else
	systemctl stop "$unit" 2>/dev/null || true # where none was ever there it is not known
	chown ceph:ceph "$home/keyring.new"
	mv -f -- "$home/keyring.new" "$home/keyring"
fi
sync -f "$home"
systemctl reset-failed "$unit" 2>/dev/null || true
systemctl start "$unit"
