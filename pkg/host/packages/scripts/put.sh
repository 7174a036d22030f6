# put ROOT HEX FILE SHA256: keep a package's file, provided that it arrived whole.
umask 022
mkdir -p "$dir"
trap 'rm -f "$dir/.new"' EXIT
cat >"$dir/.new"
sum=$(sha256sum <"$dir/.new")
if [ "${sum%% *}" != "$sha" ]; then
	echo "$file: content did not arrive whole" >&2
	exit 74
fi
sync "$dir/.new"
mv -f "$dir/.new" "$dir/$file"
