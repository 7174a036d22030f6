# follow: print what the writing of the idle slot says, each line once, until it ends; then how it ended: its exit status, and what it printed.
dir=/run/nubo-write
last=
# goes: whether it goes on. A service manager that does not say so has not said that it ended.
goes() {
	case $(systemctl is-active nubo-slot-write.service 2>/dev/null || true) in
	'') echo "systemd does not say whether nubo-slot-write goes on" >&2 && exit 1 ;;
	inactive | failed | unknown) return 1 ;;
	esac
}
while goes; do
	line=$(tail -n 1 "$dir/log")
	if [ "$line" != "$last" ]; then printf 'says %s\n' "$line"; fi
	last=$line
	sleep 1
done
printf 'ended %s\n' "$(cat "$dir/status" 2>/dev/null || echo killed)"
tail -n 3 "$dir/log" | sed 's/^/last /'
sed 's/^/out /' "$dir/out" 2>/dev/null || true
