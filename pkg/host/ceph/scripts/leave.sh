# leave NAME: end this host's object gateway, metadata server, manager and monitor, which the cluster does not count any more, and remove what they kept here: the keys of the monitors and
# of the administrator among it, since the machine goes away.
for daemon in "radosgw rgw.$1" "mds $1" "mgr $1" "mon $1"; do
	kind=${daemon% *}
	id=${daemon#* }
	unit=ceph-$kind@$id.service
	systemctl stop "$unit" 2>/dev/null || : # where none was ever there it is not known
	case $(systemctl is-active "$unit" 2>/dev/null || true) in
	inactive | failed | unknown) ;;
	*) echo "$unit does not stop, or systemd does not say" >&2 && exit 1 ;;
	esac
	rm -rf -- "/var/lib/ceph/$kind/ceph-$id"
done
rm -f /etc/ceph/ceph.client.admin.keyring
sync -f /var/lib/ceph
