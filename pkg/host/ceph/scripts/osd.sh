# osd DEVICE SERIAL CRYPT CONSENT: make the device an OSD; the key of client.bootstrap-osd comes on stdin and does not stay. The device must
# be the one with this serial number ("-": it has none) and, unless CONSENT is "yes", hold nothing at all: no partition, no signature, and
# nothing but zeroes in its first MiB. Exit 65: it holds something.
umask 077
dev=$1
have=$(lsblk --nodeps --noheadings --output SERIAL "$dev" | tr -d ' ')
if [ "${have:--}" != "$2" ]; then
	echo "$dev has the serial number ${have:-(none)} now, not $2" >&2
	exit 66
fi
if [ "$4" != yes ]; then
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
