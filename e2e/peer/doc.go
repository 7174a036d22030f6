//go:build e2e && e2elong

// Package peer is what nuboctl's installation is measured against: the same ramdisk on the same blade, with an agent that does what
// package-by-package installers do. It partitions the disk, runs debootstrap and then apt-get for exactly the packages of our image, from a
// mirror on the same network that holds all of them already, installs the boot loader and reboots. The mirror and the boot files are served
// by Debian's own nginx and dnsmasq. Whatever is a matter of taste is decided in the peer's favour: dpkg does not sync, leaves out the files
// that our image leaves out, makes one small initramfs, and writes little to the serial console.
package peer
