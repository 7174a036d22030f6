# begin ROOT HEX: install what was staged, in the background, unless that goes on already. It is a service of its own, so it goes on when the connection ends. stdin are the services that
# are to be restarted afterwards, "restart UNIT" or "reload UNIT" a line; those that an earlier try that was cut off has noted stay noted.
run=$root/run/nubo-packages
unit=nubo-packages
if [ ! -e "$dir/ready" ]; then
	echo "the packages of snapshot $hex are not there" >&2
	exit 3
fi
mkdir -p "$run"
case $(goes) in
no) ;;
yes)
	if [ "$(cat "$run/hex")" = "$hex" ]; then exit 0; fi
	echo "another installation is going on there, of snapshot $(cat "$run/hex")" >&2
	exit 3
	;;
*)
	echo "systemd does not say whether an installation goes on there" >&2
	exit 3
	;;
esac
systemctl reset-failed "$unit.service" 2>/dev/null || true
cat >>"$dir/units"
sort -u -o "$dir/units" "$dir/units"
echo "$hex" >"$run/hex"
printf '%s\n' "$job" >"$run/job"
rm -f "$run/status"
: >"$run/log"
# When the host goes down, or somebody stops the service, systemd tells the outer shell alone, which waits for what it runs: dpkg has until the service's deadline to come to an end.
systemd-run --quiet --collect --unit="$unit" --property=CPUWeight=50 --property=IOWeight=50 --property=KillMode=mixed \
	/bin/sh -c 'trap : TERM; code=0; sh -eu "$0/job" "$1" "$2" >>"$0/log" 2>&1 || code=$?; echo "$code" >"$0/status.new"; mv "$0/status.new" "$0/status"; exit "$code"' "$run" "$root" "$hex"
