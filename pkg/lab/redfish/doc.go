// Package redfish is a Redfish service (DMTF DSP0266) for one machine of the virtual rack.
//
// New turns a Machine, which can be switched on and off and told where to boot from, into an
// http.Handler that the usual Redfish clients can drive: the service root, sessions and basic
// authentication, one ComputerSystem with power, boot override and BIOS settings, one Manager
// with virtual media, one Chassis with sensors. It speaks plain HTTP; serve it over TLS
// (NewCertificate makes a certificate for that).
//
// It is a peer for tests and for the lab, so it is strict where real BMCs are lax (unknown
// properties and values are refused), and it misbehaves on request (Options.Fault).
package redfish
