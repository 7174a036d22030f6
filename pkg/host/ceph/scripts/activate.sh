# activate: mount and start every OSD that the disks of this host carry.
ceph-volume lvm activate --all --no-systemd >&2
for home in /var/lib/ceph/osd/ceph-*; do
	if [ -e "$home/keyring" ]; then systemctl start "ceph-osd@${home##*-}.service"; fi
done
