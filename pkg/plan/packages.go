package plan

import (
	"fmt"
	"slices"
	"strings"
)

// MethodPackages installs newer packages on hosts in place, from a snapshot, without a restart of the machine.
const MethodPackages = "packages"

// InPlace reports whether hosts get packages in place.
func (p Policy) InPlace() bool { return p.Method == MethodPackages }

// ArgPackages is the argument of PackagesInstall that names every package of the snapshot: "NAME=VERSION NAME=VERSION", by name.
const ArgPackages = "packages"

// PackageVersion is a Debian package by name and version, as Debian writes both.
type PackageVersion struct{ Name, Version string }

// PackagesText gives packages as the value of ArgPackages.
func PackagesText(list []PackageVersion) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.Name + "=" + p.Version
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// ParsePackages reads the value of ArgPackages.
func ParsePackages(text string) ([]PackageVersion, error) {
	var out []PackageVersion
	for _, word := range strings.Fields(text) {
		name, version, ok := strings.Cut(word, "=")
		if !ok || name == "" || version == "" {
			return nil, fmt.Errorf("packages %q: %q is not NAME=VERSION", text, word)
		}
		out = append(out, PackageVersion{name, version})
	}
	return out, nil
}

// SwitchPackage reports whether virtual machines lose their network when a package is upgraded: its services are restarted without their flows. Hosts on which it
// is are emptied first.
func SwitchPackage(name string) bool {
	return strings.HasPrefix(name, "openvswitch-") || strings.HasPrefix(name, "ovn-")
}

// cephLibraries are the packages beside ceph-… whose files Ceph's daemons run.
var cephLibraries = []string{"ceph", "radosgw", "librados2", "librbd1", "libcephfs2", "libradosstriper1", "libsqlite3-mod-ceph"}

// CephPackage reports whether a package holds what Ceph's daemons run, so that those of a host are stopped for it and started again.
func CephPackage(name string) bool {
	return strings.HasPrefix(name, "ceph-") || slices.Contains(cephLibraries, name)
}

// UnitCare is what becomes of a service that runs when the package it comes with is upgraded. Maintainer scripts restart nothing: that is held back.
type UnitCare string

// What becomes of a service.
const (
	UnitRestart UnitCare = "restart" // it is restarted once all packages are installed
	UnitReload  UnitCare = "reload"  // it runs itself anew and keeps what it holds: consoles and locks of virtual machines
	UnitCeph    UnitCare = "ceph"    // it is stopped before and started after, by ops of their own
	UnitLeave   UnitCare = "leave"   // it keeps running what it runs until the host restarts: its restart would stop what depends on it
)

// leftUnits are the services, by prefix, of which a restart takes the host's network, disks, sessions, containers or virtual machines down. libvirt-guests shuts guests down when it stops;
// blk-availability unmounts and deactivates every volume, those of OSDs among them.
var leftUnits = []string{"bird", "blk-availability", "containerd", "dbus", "dhcpcd", "docker", "frr", "getty", "ifup@", "iscsi", "libvirt-guests", "lxc", "netfilter-persistent", "networking", "NetworkManager",
	"nftables", "nubo-", "open-iscsi", "rbdmap", "serial-getty", "systemd-", "user@", "wpa_supplicant"}

// CareOf tells what becomes of a service, by its unit's name.
func CareOf(unit string) UnitCare {
	has := func(prefix string) bool { return strings.HasPrefix(unit, prefix) }
	switch {
	case has("ceph-"), has("radosgw"):
		return UnitCeph
	case has("virtlogd"), has("virtlockd"):
		return UnitReload
	case slices.ContainsFunc(leftUnits, has), !strings.HasSuffix(unit, ".service"):
		return UnitLeave
	}
	return UnitRestart
}

// bootPackages are what a machine boots by, by prefix, and microcode: their effect needs a restart of the machine.
var bootPackages = []string{"amd64-microcode", "grub", "intel-microcode", "linux-image-", "linux-modules-", "shim", "systemd-boot"}

// BootPackage reports whether a package takes effect only when the machine restarts.
func BootPackage(name string) bool {
	return slices.ContainsFunc(bootPackages, func(p string) bool { return strings.HasPrefix(name, p) })
}
