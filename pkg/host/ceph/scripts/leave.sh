# leave NAME: end this host's monitor and manager, which the cluster does not count any more, and remove what they kept here: the keys of the monitors and
# of the administrator among it, since the machine goes away.
for kind in mgr mon; do
	systemctl stop "ceph-$kind@$1.service"
	rm -rf -- "/var/lib/ceph/$kind/ceph-$1"
done
rm -f /etc/ceph/ceph.client.admin.keyring
sync -f /var/lib/ceph
