// Package lab is a rack of blades on one Linux machine, for the demo and for the end-to-end tests: each blade is a QEMU
// machine with real firmware, its BMC is OpenIPMI's ipmi_sim or the Redfish emulator of package redfish, and the networks
// are bridges in a network namespace. Nothing of it touches the machine's own network.
//
// A rack is described by a file (Load). Up builds it: one namespace for the switch, one for each station that is on its
// networks, and a daemon, Serve, which runs in the switch's namespace, answers for the BMCs and starts the QEMU
// processes. Every process that is started is recorded with its start time, so that Down ends exactly those, also after
// a crash. What a blade does is up to whoever speaks to its BMC; the lab gives it no order by itself.
package lab
