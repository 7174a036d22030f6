# begin SPEC COMMAND…: write the idle slot in the background, by the order on stdin, unless that is what goes on already. It is a service of its own, so
# it goes on when the connection ends, and gives way to everything else on the host.
dir=/run/nubo-write
unit=nubo-slot-write
spec=$1
shift
umask 077
mkdir -p "$dir"
case $(systemctl is-active "$unit.service" 2>/dev/null || true) in
'') echo "systemd does not say whether $unit goes on" >&2 && exit 1 ;;
inactive | failed | unknown) ;;
*)
	if [ "$(cat "$dir/spec")" = "$spec" ]; then exit 0; fi
	systemctl stop "$unit.service"
	;;
esac
systemctl reset-failed "$unit.service" 2>/dev/null || true
cat >"$dir/order"
echo "$spec" >"$dir/spec"
rm -f "$dir/status" "$dir/log" "$dir/out"
: >"$dir/log"
systemd-run --quiet --collect --unit="$unit" --property=Nice=10 --property=CPUWeight=10 --property=IOWeight=10 --property=IOSchedulingClass=idle \
	/bin/sh -c 'code=0; "$@" <"$0/order" >"$0/out" 2>"$0/log" || code=$?; echo "$code" >"$0/status.new"; mv "$0/status.new" "$0/status"; exit "$code"' "$dir" "$@"
