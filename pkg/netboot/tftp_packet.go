package netboot

import (
	"bytes"
	"encoding/binary"
)

// TFTP opcodes and error codes (RFC 1350).
const (
	opRRQ, opWRQ, opError = 1, 2, 5

	tftpAccessViolation = 2
)

// tftpMaxRequest is the longest request a client may send (RFC 2347).
const tftpMaxRequest = 512

// parseRRQ takes a read request apart: opcode, file name, mode, then pairs of options, each ended by a zero byte
// (RFC 1350, RFC 2347). rest is mode and options with their zeros, in lower case: the RFCs make them case-insensitive
// and the TFTP library does not. ok is false for all that the library would not take.
func parseRRQ(p []byte) (file string, rest []byte, ok bool) {
	if len(p) < 4 || len(p) > tftpMaxRequest || binary.BigEndian.Uint16(p) != opRRQ || p[len(p)-1] != 0 {
		return "", nil, false
	}
	name, rest, ok := bytes.Cut(p[2:], []byte{0})
	if !ok || len(name) == 0 || len(rest) < 2 || rest[0] == 0 || bytes.Count(rest, []byte{0})%2 == 0 {
		return "", nil, false
	}
	return string(name), bytes.ToLower(rest), true
}

// ticketRRQ is a read request like the one parsed, for a ticket in place of the file.
func ticketRRQ(ticket string, rest []byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, opRRQ)
	return append(append(append(p, ticket...), 0), rest...)
}

func isWRQ(p []byte) bool { return len(p) >= 2 && binary.BigEndian.Uint16(p) == opWRQ }

func errorPacket(code uint16, text string) []byte {
	p := binary.BigEndian.AppendUint16(nil, opError)
	p = binary.BigEndian.AppendUint16(p, code)
	return append(append(p, text...), 0)
}
