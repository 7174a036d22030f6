# follow: print what the writing of the idle slot says, each line once, until it ends; then how it ended: its exit status, and what it printed.
dir=/run/nubo-write
last=
while systemctl is-active --quiet nubo-slot-write.service; do
	line=$(tail -n 1 "$dir/log")
	if [ "$line" != "$last" ]; then printf 'says %s\n' "$line"; fi
	last=$line
	sleep 1
done
printf 'ended %s\n' "$(cat "$dir/status" 2>/dev/null || echo killed)"
tail -n 3 "$dir/log" | sed 's/^/last /'
sed 's/^/out /' "$dir/out" 2>/dev/null || true
