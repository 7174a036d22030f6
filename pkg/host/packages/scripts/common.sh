# What the scripts of this package share. $root is empty, or the directory that stands for a host's / in tests; its programs come first.
root=$1
hex=$2
dir=$root/var/lib/nubo/packages/$hex
mark=$root/etc/nubo/packages
if [ -n "$root" ]; then
	PATH=$root/bin:$PATH
	set -- -o "Dir=$root/" -o "Dir::State::Status=$root/var/lib/dpkg/status" -o "DPkg::Options::=--root=$root" -o DPkg::Options::=--force-script-chrootless -o DPkg::Options::=--force-unsafe-io
	dpkg_root="--root=$root --force-script-chrootless --force-unsafe-io"
else
	set --
	dpkg_root=
fi
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none LC_ALL=C.UTF-8

# query FORMAT NAME…: what dpkg has of packages; those that it does not know are left out.
query() { f=$1 && shift && dpkg-query --admindir="$root/var/lib/dpkg" -W -f "$f" "$@" 2>/dev/null || true; }

# goes: whether an installation goes on, yes or no; nothing when systemd does not say, as while it runs itself anew for a package of its own. One that is being stopped still goes on.
goes() {
	case $(systemctl is-active nubo-packages.service 2>/dev/null || true) in
	'') ;;
	inactive | failed | unknown) echo no ;;
	*) echo yes ;;
	esac
}

# standing: for each "NAME VERSION …" on stdin that the host has in some version: NAME, what it has, and what that is beside VERSION. One that is not configured to
# its end counts as older. One of which the first unpacking was cut off has no version at all: "none".
standing() {
	want=$(cat)
	if [ -z "$want" ]; then return 0; fi
	query '${Package} ${db:Status-Status} ${Version}\n' $(printf '%s\n' "$want" | cut -d' ' -f1) | while read -r name status have; do
		version=$(printf '%s\n' "$want" | awk -v n="$name" '$1 == n { print $2; exit }')
		case $status in
		not-installed | config-files) continue ;;
		installed) ;;
		*) echo "$name ${have:-none} older" && continue ;;
		esac
		if [ "$have" = "$version" ]; then
			echo "$name $have same"
		elif dpkg --compare-versions "$have" lt "$version"; then
			echo "$name $have older"
		else
			echo "$name $have newer"
		fi
	done
}

# open: those lines of the list "NAME VERSION SHA256 FILE" that the host does not have yet, in just this version.
open() {
	standing <"$dir/list" | sed -n 's/ same$//p' >"$dir/same"
	while read -r name version rest; do
		grep -qxF "$name $version" "$dir/same" || echo "$name $version $rest"
	done <"$dir/list"
}

# compared: every file of the list has its digest. A list is empty when the host has all of it.
compared() { [ ! -s "$dir/list" ] || (cd "$dir" && awk '{ print $3 "  " $4 }' list | sha256sum --quiet --check --strict); }

# apt WORD…: apt with nothing but the files it is given. No list of any archive is read, so there is nothing that it could fetch.
apt() {
	mkdir -p "$dir/lists/partial"
	apt-get -q -y -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$dir/lists" -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 -o DPkg::Options::=--force-confdef -o DPkg::Options::=--force-confold --no-install-recommends --no-remove "$@"
}

# foreseen FILE: apt would install what the file lists, and neither more nor less nor anything else.
foreseen() {
	(cd "$dir" && apt $apt_root --simulate install $(sed 's|.* |./|' "$1")) >"$dir/simulated" 2>&1 || { tail -n 8 "$dir/simulated" >&2 && return 3; }
	awk '$1 == "Inst" { n = $2; sub(/:.*/, "", n); v = $3; if (v ~ /^\[/) v = $4; sub(/^\(/, "", v); print n, v } $1 == "Remv" { print "remove", $2 }' "$dir/simulated" | sort >"$dir/would"
	cut -d' ' -f1,2 "$1" | sort >"$dir/should"
	if ! cmp -s "$dir/would" "$dir/should"; then
		echo "the installation would do something else than the snapshot says: $(diff "$dir/should" "$dir/would" | sed -n 's/^< /not install /p; s/^> /also: /p' | tr '\n' ';')" >&2
		return 3
	fi
}
apt_root="$*"
