// Package kvm observes and changes virtual machines on a host through libvirt's own protocol (github.com/digitalocean/go-libvirt), spoken over
// the unix socket of the host's libvirtd, which is reached through the connection to the host: no port is open for it.
//
// A virtual machine is wanted as a [Domain]; [Diff] tells what differs from what libvirt has, and [Conn.Ensure] defines it anew where
// something does. Domains that were not defined here are never defined anew, started or stopped; what runs can be moved to another host, whosever it is.
package kvm
