# arm UNIT SCRIPT KEY: have this host wait for the end of a mark, unless it does already.
if systemctl is-active --quiet "$1.service"; then exit 0; fi
systemctl reset-failed "$1.service" 2>/dev/null || true
systemd-run --quiet --collect --unit="$1" --property=Restart=on-failure --property=RestartSec=15s /bin/sh -euc "$2" mark "$3"
