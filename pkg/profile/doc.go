// Package profile makes a node's whole host configuration: the author's Butane file, filled in for the node, merged with the files that
// nuboctl itself lays down (name, network, Open vSwitch bridges, ssh, time).
//
// The result is an Ignition config, spec 3.3.0. Ignition itself is not run: pkg/installer applies the sections it accepts, on a fresh disk and
// on the idle slot of a running host alike. What it does not apply is refused here, at the author's line, and never dropped. Rendering is a
// pure function of its input: it reads no file, clock or network. No secret belongs into a config, and none is looked up.
package profile
