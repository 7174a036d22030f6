# install ROOT HEX: what the service does. It may be cut off anywhere and begun again.
say() { echo "nubo: $*"; }
policy=$root/usr/sbin/policy-rc.d

# Maintainer scripts ask policy-rc.d before they start, stop or restart anything (invoke-rc.d(8), deb-systemd-invoke(1p)). It says no as long as this process lives, and for two hours at most.
hold() {
	if [ -e "$policy" ] && ! grep -q '^# nubo: hold' "$policy"; then mv -f "$policy" "$policy.nubo-kept"; fi
	mkdir -p "${policy%/*}"
	cat >"$policy.nubo-new" <<-END
		#!/bin/sh
		# nubo: hold
		if [ -e /proc/$$ ] && [ "\$(date +%s)" -lt $(($(date +%s) + 7200)) ]; then exit 101; fi
		if [ -x "$policy.nubo-kept" ]; then exec "$policy.nubo-kept" "\$@"; fi
		exit 0
	END
	chmod 755 "$policy.nubo-new"
	mv -f "$policy.nubo-new" "$policy"
}
release() {
	if grep -qs '^# nubo: hold' "$policy"; then rm -f "$policy"; fi
	if [ -e "$policy.nubo-kept" ]; then mv -f "$policy.nubo-kept" "$policy"; fi
}
trap release EXIT
trap 'exit 143' TERM INT HUP

say "compare the files with their digests"
compared
if [ ! -e "$dir/before" ]; then
	standing <"$dir/list" >"$dir/before.new"
	sync "$dir/before.new"
	mv "$dir/before.new" "$dir/before"
fi
if grep -q '^openvswitch-' "$dir/list" && [ ! -e "$dir/conf.db" ]; then
	say "keep a copy of Open vSwitch's database"
	for db in "$root/etc/openvswitch/conf.db" "$root/var/lib/openvswitch/conf.db"; do
		if [ -e "$db" ]; then cp -L "$db" "$dir/conf.db.new" && sync "$dir/conf.db.new" && mv "$dir/conf.db.new" "$dir/conf.db" && break; fi
	done
fi
rm -f "$mark"
hold
say "bring what was interrupted to its end"
dpkg $dpkg_root --force-confdef --force-confold --configure -a
open >"$dir/open"
if [ -s "$dir/open" ]; then
	say "try the installation out"
	foreseen "$dir/open"
	say "install"
	(cd "$dir" && apt $apt_root install $(sed 's|.* |./|' "$dir/open"))
fi
open >"$dir/open"
audit=$(dpkg $dpkg_root --audit || true)
if [ -s "$dir/open" ] || [ -n "$audit" ]; then
	echo "dpkg ended well, and these are not installed: $(cut -d' ' -f1,2 "$dir/open" | tr '\n' ' ')$audit" >&2
	exit 1
fi
release
systemctl daemon-reload
if [ -s "$dir/units" ]; then
	for how in reload restart; do
		units=$(sed -n "s/^$how //p" "$dir/units")
		if [ -n "$units" ]; then
			say "$how" $units
			systemctl "$how" $units
		fi
	done
fi
mkdir -p "${mark%/*}"
echo "$hex" >"$mark.new"
sync "$mark.new"
mv "$mark.new" "$mark"
sync "${mark%/*}"
rm -f "$dir/units"
if grep -qv ' same$' "$dir/before"; then mv "$dir/before" "$dir/was"; else rm -f "$dir/before"; fi
if [ -z "$root" ]; then
	old=$(for m in $(grep -l '\.so[.0-9]* (deleted)$' /proc/[0-9]*/maps 2>/dev/null); do
		sed -n 's|.*/\([^/]*\.\(service\|scope\)\)$|\1|p' "${m%/maps}/cgroup" 2>/dev/null || true
	done | sort -u | tr '\n' ' ')
	if [ -n "$old" ]; then say "installed; these run with old files until they restart: $old"; else say "installed"; fi
else
	say "installed"
fi
