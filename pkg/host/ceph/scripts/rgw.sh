# rgw NAME ENDPOINT POOL: an object gateway that serves S3 on ENDPOINT and keeps what is in buckets in POOL. Its keyring comes on stdin, and its pools are there.
# ceph.conf stands already. Exit 65: there are buckets, and what they hold is in another pool.
umask 077
name=client.rgw.$1
home=/var/lib/ceph/radosgw/ceph-rgw.$1
unit=ceph-radosgw@rgw.$1.service
install -d -o ceph -g ceph -m 0755 "${home%/*}"
install -d -o ceph -g ceph -m 0750 "$home"
cat >"$home/keyring.new"
again=no
if cmp --silent "$home/keyring.new" "$home/keyring"; then
	rm -f -- "$home/keyring.new"
else
	again=yes
	chown ceph:ceph "$home/keyring.new"
	mv -f -- "$home/keyring.new" "$home/keyring"
fi
admin() { timeout 300 radosgw-admin --name "$name" --keyring "$home/keyring" "$@"; }
pool() { admin zone get --rgw-zone=default | sed -n 's/.*"data_pool": "\(.*\)".*/\1/p' | head -n 1; }
buckets=$(admin bucket list) # makes the default zone where there is none yet
have=$(pool)
if [ "$have" != "$3" ]; then
	if [ "$(printf '%s' "$buckets" | tr -d '[:space:]')" != "[]" ]; then
		echo "what is in buckets is in pool $have, not $3: a gateway would not find it any more. Name that pool in the inventory" >&2
		exit 65
	fi
	admin zone placement modify --rgw-zone=default --placement-id=default-placement --data-pool="$3" >/dev/null
	again=yes
fi
# It reads its address and its zone at its start only.
if [ "$(cat "$home/endpoint" 2>/dev/null || true)" != "$2 $3" ]; then again=yes; fi
if [ "$again" = yes ]; then
	rm -f -- "$home/endpoint"
	systemctl stop "$unit" 2>/dev/null || true # where none was ever there it is not known
fi
systemctl reset-failed "$unit" 2>/dev/null || true
systemctl start "$unit"
echo "$2 $3" >"$home/endpoint"
sync -f "$home"
