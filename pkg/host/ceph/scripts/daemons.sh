# daemons: which of Ceph's daemons have their data on this host, and which of them run. Each section is told by its name.
section() { printf '\n==%s\n' "$1"; }
section stores
for store in /var/lib/ceph/mon/ceph-* /var/lib/ceph/mgr/ceph-* /var/lib/ceph/osd/ceph-* /var/lib/ceph/mds/ceph-* /var/lib/ceph/radosgw/ceph-*; do
	if [ -e "$store/keyring" ]; then echo "$store"; fi
done
section units
systemctl list-units --no-legend --plain 'ceph-mon@*' 'ceph-mgr@*' 'ceph-osd@*' 'ceph-mds@*' 'ceph-radosgw@*'
section volumes
lvs --reportformat json --options lv_path,lv_tags,devices 2>/dev/null || true
