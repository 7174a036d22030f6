# gather: what a host tells of itself that no driver asks for. It changes nothing. Each section is told by its name.
section() { printf '\n==%s\n' "$1"; }
first() { for file; do if [ -r "$file" ]; then head -n 1 "$file" && return; fi; done; }
section name
uname -n
section domain
hostname -d 2>/dev/null || true
section serial
first /sys/class/dmi/id/product_serial /sys/firmware/devicetree/base/serial-number 2>/dev/null | tr -d '\0' || true
section product
first /sys/class/dmi/id/sys_vendor || true
first /sys/class/dmi/id/product_name || true
section cores
lscpu --parse=Socket,Core 2>/dev/null | grep -v '^#' | sort -u | wc -l
section memory
sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo
section links
ip -json -details address show
section route
ip -json -4 route show default
section resolvers
sed -n 's/^nameserver  *//p' /etc/resolv.conf 2>/dev/null || true
section roots
root=$(findmnt --noheadings --nofsroot --output SOURCE / 2>/dev/null || true)
if [ -b "$root" ]; then lsblk --noheadings --list --inverse --paths --output NAME,TYPE "$root" | awk '$2 == "disk" { print $1 }'; fi
section bmc
if command -v ipmitool >/dev/null; then timeout 10 ipmitool lan print 2>/dev/null | sed -n 's/^IP Address  *: *//p' || true; fi
section cephadm
ls -d /var/lib/ceph/*-*-*-*-* 2>/dev/null || true
