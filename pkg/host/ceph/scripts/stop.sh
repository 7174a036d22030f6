# stop: stop this host's Ceph daemons: the object gateway and the metadata server, which use the others; then the manager, which takes longest and whose work another does by now, so that the OSDs are not away meanwhile; then the OSDs,
# which mark themselves down while this host's monitor hears them; then the monitor. What release they were of is kept with the state of the host: a slot with another does not start them by itself.
version=$(ceph-osd --version 2>/dev/null || ceph-mon --version)
version=${version#ceph version }
echo "${version%%.*}" >/var/lib/nubo/ceph-release.new
sync /var/lib/nubo/ceph-release.new
mv -f /var/lib/nubo/ceph-release.new /var/lib/nubo/ceph-release
sync /var/lib/nubo
for kind in radosgw mds mgr osd mon; do
	units=$(systemctl list-units --no-legend --plain "ceph-$kind@*" | cut -d' ' -f1)
	if [ -n "$units" ]; then systemctl stop $units; fi
done
