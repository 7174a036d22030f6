# follow ROOT HEX: print what the installation says, its last line each second, until it ends; then how it ended.
run=$root/run/nubo-packages
last=
while systemctl is-active --quiet nubo-packages.service; do
	line=$(tail -n 1 "$run/log")
	if [ "$line" != "$last" ]; then printf 'says %s\n' "$line"; fi
	last=$line
	sleep 1
done
printf 'ended %s\n' "$(cat "$run/status" 2>/dev/null || echo killed)"
tail -n 8 "$run/log" | sed 's/^/last /'
