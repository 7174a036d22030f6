# expire KEY: wait until the mark under KEY in the cluster ends, which may be put off meanwhile, and undo what it stands for. Several hosts do this, and
# whoever comes first does it for all: every step may be done twice.
while :; do
	code=0
	record=$(ceph --connect-timeout 60 config-key get "$1" 2>/dev/null) || code=$?
	case $code in
	0) ;;
	2) exit 0 ;; # ENOENT: somebody undid it
	*) sleep 15; continue ;;
	esac
	end=$(printf '%s' "$record" | sed -n 's/.*"until":\([0-9]*\).*/\1/p')
	undo=$(printf '%s' "$record" | sed -n 's/.*"undo":"\([^"]*\)".*/\1/p')
	left=$((${end:-0} - $(date +%s)))
	if [ "$left" -gt 60 ]; then left=60; fi # and then looks again: it may have been undone, or put off
	if [ "$left" -gt 0 ]; then sleep "$left"; continue; fi
	if [ -z "$undo" ] || ceph --connect-timeout 60 $undo; then
		# One that was put off meanwhile belongs to somebody who has set the flag again: without its mark the flag would stay for ever.
		if [ "$(ceph --connect-timeout 60 config-key get "$1" 2>/dev/null || :)" = "$record" ] && ceph --connect-timeout 60 config-key rm "$1"; then exit 0; fi
	fi
	sleep 15
done
