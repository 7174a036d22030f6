# A Debian 12 host: what debian-13 is, from the release before.

image {
  like    = "debian-13"
  release = "bookworm"
  without = ["systemd-cryptsetup", "firmware-intel-misc", "ceph-volume"] # new in Debian 13: before, parts of systemd, firmware-misc-nonfree, ceph-osd
}
