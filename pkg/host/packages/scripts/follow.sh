# follow ROOT HEX: print what the installation says, its last line each second, until it ends; then how it ended.
run=$root/run/nubo-packages
last=
silent=0
# That systemd says nothing is borne for a minute: while it runs itself anew, nobody can tell an installation from none.
while going=$(goes) && [ "$going" != no ] && [ "$silent" -lt 60 ]; do
	if [ -n "$going" ]; then silent=0; else silent=$((silent + 1)); fi
	line=$(tail -n 1 "$run/log")
	if [ "$line" != "$last" ]; then printf 'says %s\n' "$line"; fi
	last=$line
	sleep 1
done
printf 'ended %s\n' "$(cat "$run/status" 2>/dev/null || echo killed)"
tail -n 8 "$run/log" | sed 's/^/last /'
