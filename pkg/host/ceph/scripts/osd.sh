# osd DEVICE SERIAL CRYPT CONSENT: make the device an OSD; the key of client.bootstrap-osd comes on stdin and does not stay. The device must
# be the one with this serial number ("-": it has none) and, unless CONSENT is "yes", hold nothing at all: no partition, no signature, and
# nothing but zeroes in its first MiB. Exit 65: it holds something. Consent is to the loss of what somebody has left there: with it, too, a disk that is in use,
# or that carries an OSD of this host's own cluster, on itself or on a partition, is not taken (exit 67).
umask 077
dev=$1
have=$(lsblk --nodeps --noheadings --output SERIAL "$dev" | sed 's/^ *//; s/ *$//')
if [ "${have:--}" != "$2" ]; then
	echo "$dev has the serial number ${have:-(none)} now, not $2" >&2
	exit 66
fi
if [ "$4" = yes ]; then
	used=$(lsblk --noheadings --raw --output MOUNTPOINT "$dev" | grep -v '^$' | tr '\n' ' ' || true)
	if [ -n "$used" ]; then
		echo "$dev (serial number $2) is in use: $used" >&2
		exit 67
	fi
	fsid=$(sed -n 's/^ *fsid *= *//p' /etc/ceph/ceph.conf)
	for lv in $(lvs --noheadings --options lv_dm_path,lv_tags 2>/dev/null | grep -F "ceph.cluster_fsid=$fsid" | awk '{ print $1 }'); do
		if lsblk --noheadings --raw --paths --output NAME "$dev" | grep -qxF "$lv"; then
			echo "$dev (serial number $2) carries a part of an OSD of this cluster ($lv): remove that OSD from the cluster, and wipe the disk by hand" >&2
			exit 67
		fi
	done
else
	found=$(lsblk --noheadings --output NAME "$dev" | sed 1d | tr -d ' ├└─│|`-' | tr '\n' ' ')
	found="$found$(wipefs --no-act --noheadings --output TYPE "$dev" | tr '\n' ' ')"
	if [ -z "$found" ] && ! cmp --silent --bytes=1048576 "$dev" /dev/zero; then found="data without a signature"; fi
	if [ -n "$found" ]; then
		echo "$dev (serial number $2) is not empty: $found" >&2
		exit 65
	fi
fi
key=/var/lib/ceph/bootstrap-osd/ceph.keyring
install -d -o ceph -g ceph -m 0750 "${key%/*}"
trap 'rm -f -- "$key"' EXIT
cat >"$key"
chown ceph:ceph "$key"
if [ "$4" = yes ]; then ceph-volume lvm zap --destroy "$dev" >&2; fi
if [ "$3" = yes ]; then set -- --dmcrypt; else set --; fi
ceph-volume lvm create --no-systemd "$@" --data "$dev" >&2
for home in /var/lib/ceph/osd/ceph-*; do
	if [ -e "$home/keyring" ]; then systemctl start "ceph-osd@${home##*-}.service"; fi
done
