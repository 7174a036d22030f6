// Package netboot answers machines that start from the network: DHCPv4 (RFC 2131, PXE 2.1, RFC 4578), TFTP (RFC 1350,
// 2347–2349) for the first stage, and HTTP with iPXE scripts for all that follows.
//
// It decides nothing about machines. Whoever owns the orders implements Decider, and every reply follows from its
// Answer: a stranger gets silence, a known machine its address, and only a machine whose boot is expected a boot file.
//
// Server runs all listeners of one layer-2 network. The only state kept here is who is waiting for a transfer.
package netboot
