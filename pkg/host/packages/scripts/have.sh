# have ROOT HEX: which files are there, as sha256sum prints them. Those of other snapshots go, but for the one that is installed.
umask 022
if [ "$(goes)" != no ]; then
	echo "an installation is going on there, of snapshot $(cat "$root/run/nubo-packages/hex" 2>/dev/null || echo unknown): its files are not changed meanwhile; wait for its end (systemctl status nubo-packages)" >&2
	exit 3
fi
mkdir -p "$dir"
for d in "$root/var/lib/nubo/packages"/*; do
	case ${d##*/} in "$hex" | "$(cat "$mark" 2>/dev/null)") ;; *) rm -rf "$d" ;; esac
done
cd "$dir"
for f in *.deb; do if [ -e "$f" ]; then sha256sum "$f"; fi; done
