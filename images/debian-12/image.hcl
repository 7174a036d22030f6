# A Debian 12 host: what debian-13 is, from the release before.

image {
  like    = "debian-13"
  release = "bookworm"
  without = ["systemd-cryptsetup", "firmware-intel-misc"] # new in Debian 13: part of systemd and of firmware-misc-nonfree before
}
