# wipe DEVICE SERIAL: remove everything by which the disk could be read again by mistake: what ceph-volume made of it, its partition table, every signature and
# its first MiB. The device must be the one with this serial number, and neither it nor anything on it in use.
dev=$1
have=$(lsblk --nodeps --noheadings --output SERIAL "$dev" | sed 's/^ *//; s/ *$//')
if [ -z "$2" ] || [ "$have" != "$2" ]; then
	echo "$dev has the serial number ${have:-(none)} now, not $2" >&2
	exit 66
fi
used=$(lsblk --noheadings --raw --output MOUNTPOINT "$dev" | grep -v '^$' | grep -v '^/var/lib/ceph/osd/' | tr '\n' ' ' || true)
if [ -n "$used" ]; then
	echo "$dev (serial number $2) is in use: $used" >&2
	exit 65
fi
if pvs --noheadings --options pv_name 2>/dev/null | tr -d ' ' | grep -qx "$dev"; then ceph-volume lvm zap --destroy "$dev" >&2; fi
wipefs --all --force $(lsblk --noheadings --raw --paths --output NAME "$dev" | sort -r) >&2
dd if=/dev/zero of="$dev" bs=1M count=1 conv=fsync status=none
