# ready ROOT HEX: stdin is the list of what is to be installed, NAME VERSION SHA256 FILE a line. Each file is compared with its digest, and the installation is tried out.
umask 022
mkdir -p "$dir"
rm -f "$dir/ready"
cat >"$dir/list"
compared
audit=$(dpkg $dpkg_root --audit || true)
if [ -n "$audit" ]; then
	echo "dpkg was interrupted there before, or a package is broken: $(echo "$audit" | tr '\n' ' '); dpkg --configure -a or apt-get -f install there mends it" >&2
	exit 3
fi
open >"$dir/open"
if [ -s "$dir/open" ]; then foreseen "$dir/open"; fi
sync "$dir"
: >"$dir/ready"
sync "$dir"
