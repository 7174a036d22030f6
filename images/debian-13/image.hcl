# A Debian 13 host: KVM, Open vSwitch, Ceph, ssh. The generic kernel, not the cloud one: it drives real servers.

image {
  kind       = "root"
  release    = "trixie"
  epoch      = "2026-01-01T00:00:00Z" # no file in the image is newer; the same inputs give the same bytes
  components = ["main", "non-free-firmware"]

  packages = [
    # the system
    "systemd", "systemd-sysv", "systemd-cryptsetup", "libpam-systemd", "dbus", "udev", "kmod", "login", "passwd", "util-linux", "procps",
    "netbase", "tzdata", "ca-certificates", "less", "vim-tiny", "curl", "sudo", "logrotate",
    # kernel and boot: BIOS and UEFI, with and without Secure Boot
    "linux-image-amd64", "initramfs-tools", "busybox", "zstd", "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "grub-efi-amd64-signed",
    "shim-signed", "efibootmgr",
    # firmware of network and storage cards
    "firmware-bnx2", "firmware-bnx2x", "firmware-qlogic", "firmware-intel-misc", "firmware-misc-nonfree", "firmware-realtek",
    # network and time; LLDP is heard and said by systemd-networkd (lldpd would bring all of perl and SNMP)
    "openssh-server", "iproute2", "iputils-ping", "nftables", "ethtool", "chrony", "openvswitch-switch",
    # disks
    "lvm2", "mdadm", "cryptsetup-bin", "cryptsetup-initramfs", "e2fsprogs", "dosfstools", "fdisk", "gdisk", "parted", "nvme-cli", "smartmontools",
    # hardware
    "ipmitool", "pciutils", "dmidecode",
    # virtual machines
    "qemu-system-x86", "qemu-utils", "qemu-block-extra", "ovmf", "libvirt-daemon-system", "libvirt-clients",
    # storage
    "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-volume", "ceph-mds", "ceph-common", "radosgw",
    "python3",
  ]

  # Files of packages that a host has no use for. dpkg keeps these rules in the image, so later upgrades follow them.
  exclude = [
    "/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*", "/usr/share/bug/*",
    "/usr/share/doc-base/*", "/usr/share/bash-completion/*", "/usr/share/zsh/*",
    # drivers and firmware of desktops; both spellings of a path, as packages moved from /lib to /usr/lib
    "/usr/lib/modules/*/kernel/sound/*", "/lib/modules/*/kernel/sound/*",
    "/usr/lib/modules/*/kernel/drivers/media/*", "/lib/modules/*/kernel/drivers/media/*",
    "/usr/lib/modules/*/kernel/drivers/net/wireless/*", "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/usr/lib/modules/*/kernel/drivers/bluetooth/*", "/lib/modules/*/kernel/drivers/bluetooth/*",
    "/usr/lib/modules/*/kernel/drivers/staging/*", "/lib/modules/*/kernel/drivers/staging/*",
    "/usr/lib/modules/*/kernel/drivers/comedi/*", "/lib/modules/*/kernel/drivers/comedi/*",
    "/usr/lib/modules/*/kernel/drivers/iio/*", "/lib/modules/*/kernel/drivers/iio/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/amd/*", "/lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/i915/*", "/lib/modules/*/kernel/drivers/gpu/drm/i915/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/xe/*", "/lib/modules/*/kernel/drivers/gpu/drm/xe/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*", "/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/radeon/*", "/lib/modules/*/kernel/drivers/gpu/drm/radeon/*",
    "/usr/lib/firmware/rtw88/*", "/lib/firmware/rtw88/*",
    "/usr/lib/firmware/rtw89/*", "/lib/firmware/rtw89/*",
    "/usr/lib/firmware/rtlwifi/*", "/lib/firmware/rtlwifi/*",
    "/usr/lib/firmware/rtl_bt/*", "/lib/firmware/rtl_bt/*",
    "/usr/lib/firmware/ti/*", "/lib/firmware/ti/*",
    "/usr/lib/firmware/cnm/*", "/lib/firmware/cnm/*",
    "/usr/lib/firmware/intel/vpu/*", "/lib/firmware/intel/vpu/*",
    "/usr/lib/firmware/intel/ish/*", "/lib/firmware/intel/ish/*",
    "/usr/lib/firmware/intel/avs/*", "/lib/firmware/intel/avs/*",
    "/usr/lib/firmware/intel/catpt/*", "/lib/firmware/intel/catpt/*",
    "/usr/lib/firmware/intel/ipu/*", "/lib/firmware/intel/ipu/*",
    "/usr/lib/firmware/ctefx*", "/lib/firmware/ctefx*",
    "/usr/lib/firmware/ctspeq*", "/lib/firmware/ctspeq*",
    # QEMU for machines that no guest here uses
    "/usr/bin/qemu-system-i386", "/usr/bin/qemu-system-x86_64-microvm",
    # modules of ceph-mgr that nothing here uses: it loads all that it finds, whether enabled or not
    "/usr/share/ceph/mgr/alerts/*", "/usr/share/ceph/mgr/influx/*", "/usr/share/ceph/mgr/insights/*", "/usr/share/ceph/mgr/localpool/*", "/usr/share/ceph/mgr/mirroring/*",
    "/usr/share/ceph/mgr/nfs/*", "/usr/share/ceph/mgr/osd_perf_query/*", "/usr/share/ceph/mgr/osd_support/*", "/usr/share/ceph/mgr/restful/*", "/usr/share/ceph/mgr/selftest/*",
    "/usr/share/ceph/mgr/snap_schedule/*", "/usr/share/ceph/mgr/stats/*", "/usr/share/ceph/mgr/telegraf/*", "/usr/share/ceph/mgr/test_orchestrator/*", "/usr/share/ceph/mgr/zabbix/*",
  ]
  include = ["/usr/share/doc/*/copyright"]

  # The initramfs has these and nothing else: a root disk is always local, so no network card is among them.
  modules = ["storage", "block", "platform"]

  # What is enabled; every other unit is disabled. Templates and targets of packages included.
  enable = [
    "getty@.service", "ssh.service", "chrony.service", "remote-fs.target", "reboot.target",
    "systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service", "systemd-network-generator.service",
    "systemd-pstore.service", "fstrim.timer", "logrotate.timer",
    "blk-availability.service", "lvm2-monitor.service", "lvm2-lvmpolld.socket", "dm-event.socket",
    "openvswitch-switch.service", "ovs-record-hostname.service",
    "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirt-guests.service", "virtlogd.service",
    "virtlogd.socket", "virtlogd-admin.socket",
    "ceph.target", "ceph-mon.target", "ceph-mgr.target", "ceph-osd.target", "ceph-mds.target", "ceph-radosgw.target",
  ]

  # passwd(5) from the third field on, and group(5): fixed, so that files on the state partition keep their owners across slots and
  # releases. A build fails when a package makes an account that is not here. 64045 and 64055 are Debian's own numbers.
  users = {
    "_chrony"         = "901:901:Chrony daemon:/var/lib/chrony:/usr/sbin/nologin"
    "dnsmasq"         = "903:65534:dnsmasq:/var/lib/misc:/usr/sbin/nologin"
    "messagebus"      = "904:904:System Message Bus:/nonexistent:/usr/sbin/nologin"
    "polkitd"         = "905:905:User for polkitd:/:/usr/sbin/nologin"
    "sshd"            = "906:65534:sshd user:/run/sshd:/usr/sbin/nologin"
    "systemd-network" = "907:907:systemd Network Management:/:/usr/sbin/nologin"
    "uuidd"           = "908:908::/run/uuidd:/usr/sbin/nologin"
    "ceph"            = "64045:64045:Ceph storage service:/var/lib/ceph:/usr/sbin/nologin"
    "libvirt-qemu"    = "64055:922:Libvirt Qemu:/var/lib/libvirt:/usr/sbin/nologin"
  }
  groups = {
    "_chrony"         = 901
    "messagebus"      = 904
    "polkitd"         = 905
    "systemd-network" = 907
    "uuidd"           = 908
    "_ssh"            = 920
    "input"           = 921
    "kvm"             = 922
    "libvirt"         = 923
    "rdma"            = 924
    "render"          = 925
    "sgx"             = 926
    "clock"           = 927
    "systemd-journal" = 928
    "ceph"            = 64045
    "libvirt-qemu"    = 64055
  }

  # ceph-mgr compiles what is not compiled at each of its starts, since it may not write there; its package compiles nothing.
  compile = ["/usr/share/ceph/mgr"]

  # Identity, and what only differs from one build to the next.
  remove = [
    "/etc/ssh/ssh_host_*", "/etc/hostname", "/etc/nvme/hostid", "/etc/nvme/hostnqn", "/etc/apt/sources.list.d/*", "/etc/apt/auth.conf.d/*",
    "/etc/apt/apt.conf.d/99mmdebstrap", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
    "/etc/.pwd.lock", "/initrd.img.old", "/vmlinuz.old", "/boot/grub", "/var/lib/systemd/random-seed",
    "/var/lib/dpkg/*-old", "/var/cache/debconf/*-old", "/var/cache/apparmor", "/var/lib/libvirt/secrets/*", "/var/log/*.log",
    "/var/log/apt/*", "/var/backups/*", "/root/.bash_history",
  ]

  file "/etc/apt/sources.list" { source = "common/sources.list" }
  file "/etc/apt/apt.conf.d/00nubo" { source = "common/apt.conf" }
  file "/etc/hosts" { source = "common/hosts" }
  file "/etc/resolv.conf" { source = "common/resolv.conf" }
  file "/etc/default/locale" { source = "common/locale" }
  file "/etc/initramfs-tools/conf.d/nubo" { source = "common/initramfs.conf" }
  # Without it no module of ceph-mgr loads; see the file.
  file "/usr/share/ceph/mgr/bcrypt.py" { source = "common/ceph-mgr-bcrypt.py" }
  file "/etc/systemd/system.conf.d/10-nubo-watchdog.conf" { source = "common/watchdog.conf" }
  # Empty, and so masked: a login over SSH needs no systemd of its own, which would cost each first connection to a host a good part of its time.
  file "/etc/systemd/system/user@.service" { source = "common/masked" }
  file "/etc/systemd/system/libvirtd.service.d/10-nubo-stay.conf" { source = "common/libvirtd.conf" }
  file "/etc/modprobe.d/nubo-watchdog.conf" { source = "common/modprobe-watchdog.conf" }
  file "/etc/initramfs-tools/scripts/init-top/nubo-watchdog" {
    source = "common/initramfs-watchdog"
    mode   = "0755"
  }
  file "/etc/initramfs-tools/scripts/init-premount/nubo-watchdog" {
    source = "common/initramfs-watchdog"
    mode   = "0755"
  }
  file "/etc/initramfs-tools/scripts/local-bottom/nubo-init" {
    source = "common/initramfs-init"
    mode   = "0755"
  }
}
