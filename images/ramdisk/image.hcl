# What a blade boots over the network to be installed: Debian's generic kernel, the drivers of servers, the tools that the installer
# calls, and /init, which starts the agent. Agent and public key are added when the ramdisk is assembled.

image {
  kind       = "ramdisk"
  release    = "trixie"
  epoch      = "2026-01-01T00:00:00Z"
  components = ["main", "non-free-firmware"]

  packages = [
    "base-files", "base-passwd", "libc6", "libc-bin", "busybox", "bash", "coreutils", "tar", "zstd", "kmod", "udev", "util-linux", "mount",
    "linux-image-amd64", "iproute2",
    "fdisk", "gdisk", "e2fsprogs", "dosfstools", "mdadm", "cryptsetup-bin", "lvm2", "dmsetup", "nvme-cli",
    "ipmitool", "ethtool", "dmidecode", "pciutils", "efibootmgr",
    # only the files that the modules below ask for are kept; Debian ships these as binaries, their makers publish no source
    "firmware-bnx2", "firmware-bnx2x", "firmware-qlogic", "firmware-intel-misc", "firmware-misc-nonfree", "firmware-realtek",
  ]

  exclude = ["/usr/share/*"]
  include = ["/usr/share/base-passwd/*", "/usr/share/misc/pci.ids", "/usr/share/iproute2/*"]
  modules = ["storage", "block", "net", "platform"]

  # Parts of needed packages that nothing here runs.
  remove = [
    "/boot", "/usr/src", "/usr/games", "/usr/include", "/usr/local", "/srv", "/opt", "/media", "/home",
    "/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log/*", "/var/backups",
    "/etc/apt", "/etc/dpkg", "/etc/cron*", "/etc/kernel", "/etc/grub.d", "/etc/initramfs-tools", "/etc/perl", "/etc/resolv.conf", "/etc/hostname",
    "/usr/bin/perl*", "/usr/lib/*/perl-base", "/usr/lib/*/perl", "/usr/lib/*/gconv", "/usr/lib/apt", "/usr/lib/dpkg", "/usr/lib/kernel",
    "/usr/lib/initramfs-tools", "/usr/lib/ipxe", "/usr/lib/linux-image-*", "/usr/lib/udev/hwdb.d", "/usr/lib/udev/hwdb.bin", "/usr/lib/systemd/system",
    "/usr/lib/systemd/user", "/usr/lib/locale",
  ]

  file "/init" {
    source = "ramdisk/init"
    mode   = "0755"
  }
  file "/usr/share/udhcpc/default.script" {
    source = "ramdisk/udhcpc.script"
    mode   = "0755"
  }
}
