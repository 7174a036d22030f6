// Package bmc drives a machine through its baseboard management controller: power, boot device,
// identity, sensors, BIOS settings and virtual media, over Redfish (DMTF DSP0266) or IPMI 2.0.
//
// Open parses and checks the address, proves whom it talks to before any credential leaves,
// logs in once, and compares the machine's serial number. All drivers pass one suite (bmctest).
//
// What holds for every operation:
//   - The context bounds the real exchange, not only the wait for it.
//   - Every write is read back. A write that the BMC accepted and did not keep is ErrReverted.
//   - Power knows absolute verbs only: on, and off at once.
//   - A failure is an *Error of one Kind, one of the Err… values here; it names the operation,
//     the address, the cause and a remedy, and never a password.
//
// bmclib is the façade, with a registry of our own: its default one sends the credentials to
// seven drivers and does not verify TLS. Behind it stand our Redfish driver, on gofish, and
// bmclib's ipmitool driver with what it lacks.
package bmc
