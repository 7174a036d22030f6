#!/bin/bash
# The peer's agent: Debian on the first disk, package by package. Runs in nubo's ramdisk instead of nubo-agent; its exit ends in a reboot.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
. /etc/peer/settings # mirror, release, disk

log=/run/peer.log
say() { echo "peer: $(cut -d ' ' -f 1 /proc/uptime) s: $*"; }
failed() {
	tail -n 40 "$log"
	say "failed at line $1"
}
trap 'failed $LINENO' ERR

quiet() { "$@" >>"$log" 2>&1; }
: >"$log"

say "partitions"
quiet sgdisk --zap-all "$disk"
quiet sgdisk -n 1:0:+1M -t 1:ef02 -n 2:0:+256M -t 2:ef00 -n 3:0:0 -t 3:8300 "$disk"
udevadm settle
quiet mkfs.vfat -F 32 -n PEER-ESP "$disk-part2"
quiet mkfs.ext4 -q -L peer-root "$disk-part3"
mkdir -p /target
mount "$disk-part3" /target
mkdir -p /target/boot/efi /target/etc/dpkg/dpkg.cfg.d
mount "$disk-part2" /target/boot/efi
cp /etc/peer/dpkg.cfg /target/etc/dpkg/dpkg.cfg.d/peer

say "debootstrap"
quiet debootstrap --no-check-gpg --variant=minbase "$release" /target "$mirror"

say "packages"
cp -r /etc/peer/overlay/. /target/
echo "deb [trusted=yes] $mirror $release main" >/target/etc/apt/sources.list
printf '#!/bin/sh\nexit 101\n' >/target/usr/sbin/policy-rc.d
chmod 755 /target/usr/sbin/policy-rc.d
for dir in proc sys dev; do mountpoint -q "/target/$dir" || mount --rbind "/$dir" "/target/$dir"; done
quiet chroot /target apt-get update
quiet chroot /target apt-get -y --no-install-recommends install $(cat /etc/peer/packages)

say "settings"
echo "UUID=$(blkid -s UUID -o value "$disk-part3") / ext4 defaults 0 1" >/target/etc/fstab
echo "UUID=$(blkid -s UUID -o value "$disk-part2") /boot/efi vfat umask=0077 0 1" >>/target/etc/fstab
cp -r /etc/peer/host/. /target/
quiet chroot /target systemctl preset-all
rm -f /target/usr/sbin/policy-rc.d

say "boot loader"
quiet chroot /target grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram
quiet chroot /target update-grub

say "sync"
sync
umount -l /target/proc /target/sys /target/dev
umount /target/boot/efi
umount /target
say "installed"
