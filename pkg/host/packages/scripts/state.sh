# state ROOT HEX: how the host stands to the packages that stdin names, NAME VERSION a line. It changes nothing.
if [ -e "$mark" ]; then echo "done $(cat "$mark")"; fi
tmp=$(mktemp)
trap 'rm -f "$tmp" "$tmp.units" "$tmp.asked"' EXIT
cat >"$tmp.asked"
standing <"$tmp.asked" | sed 's/^/have /' >"$tmp"
cat "$tmp"
# What was tried out counts only for what the host had then: a package that has changed since, and is not in the list, has to be brought first.
if [ -e "$dir/ready" ]; then
	lacks=$(while read -r name version; do
		grep -qxF "have $name $version same" "$tmp" || cut -d' ' -f1,2 "$dir/list" | grep -qxF "$name $version" || echo "$name"
	done <"$tmp.asked")
	if [ -z "$lacks" ]; then echo "staged $hex"; fi
fi
# Services of the packages that change, but only those with a process that could run old files: one that has done its work and exited has none, and its restart would undo that work. blk-availability
# unmounts and deactivates every volume, nftables drops every rule, rbdmap unmaps its images.
changed=$(awk '$4 != "same" { print $2 }' "$tmp")
if [ -n "$changed" ]; then
	dpkg-query --admindir="$root/var/lib/dpkg" -L $changed 2>/dev/null | sed -n 's|.*/systemd/system/\([^/]*\.service\)$|\1|p' | sort -u >"$tmp.units"
	systemctl list-units --type=service --state=active --plain --no-legend --no-pager 2>/dev/null | awk '$4 == "running" { print $1 }' | while read -r unit; do
		name=$unit
		case $unit in *@*) name=${unit%%@*}@.service ;; esac
		if grep -qxF -- "$name" "$tmp.units"; then echo "unit $unit"; fi
	done
fi
