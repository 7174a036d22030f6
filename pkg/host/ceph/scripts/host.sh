# host: what of Ceph is on this host, and on which disks there could be more. Each section is told by its name.
section() { printf '\n==%s\n' "$1"; }
section conf
[ ! -e /etc/ceph/ceph.conf ] || sha256sum </etc/ceph/ceph.conf
sed -n 's/^ *fsid *= *//p' /etc/ceph/ceph.conf 2>/dev/null || true
section stores
for store in /var/lib/ceph/mon/ceph-* /var/lib/ceph/mgr/ceph-* /var/lib/ceph/mds/ceph-* /var/lib/ceph/radosgw/ceph-*; do
	if [ -e "$store/keyring" ]; then echo "$store"; fi
done
section units
systemctl list-units --no-legend --plain 'ceph-mon@*' 'ceph-mgr@*' 'ceph-osd@*' 'ceph-mds@*' 'ceph-radosgw@*'
section memory
sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo
section disks
lsblk --json --bytes --output NAME,PATH,TYPE,SERIAL,WWN,MODEL,VENDOR,HCTL,SIZE,ROTA,TRAN,FSTYPE,PTTYPE,MOUNTPOINTS
section volumes
if command -v lvs >/dev/null; then lvs --reportformat json --options lv_path,lv_tags,devices 2>/dev/null || [ $? -eq 5 ]; fi # 5: a disk failed, and what the others hold was told
section signatures
for dev in $(lsblk --nodeps --noheadings --paths --output NAME,TYPE | awk '$2 == "disk" { print $1 }'); do
	found=$(wipefs --no-act --noheadings --output TYPE "$dev" 2>/dev/null | tr '\n' ' ')
	if [ -z "$found" ] && ! cmp --silent --bytes=1048576 "$dev" /dev/zero; then found=data; fi
	echo "$dev $found"
done
