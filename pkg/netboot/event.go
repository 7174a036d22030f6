package netboot

import (
	"net/netip"
	"sync/atomic"
)

// Protocol names the listener an Event comes from.
type Protocol string

// The protocols.
const (
	DHCP Protocol = "dhcp"
	TFTP Protocol = "tftp"
	HTTP Protocol = "http"
	RA   Protocol = "ra" // IPv6 router solicitations, see Server
)

// Event is one request and what was done about it.
type Event struct {
	Protocol Protocol
	Peer     netip.AddrPort // where the request came from
	Client   Client         // who asked, as far as the protocol says; the zero Client for files
	Request  string         // "DISCOVER", "undionly.kpxe", "GET /boot/vmlinuz"
	Reply    string         // "OFFER 10.77.0.11 …", "sent", or why nothing was said
	Bytes    int64          // sent, for files
	Err      error          // what failed; nil when the request was dealt with, also by silence
}

// Observer is told about requests after they were dealt with. Observe must not block; it is called concurrently.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is a function as Observer.
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Stats are counters since the start of a Server, and what is going on now.
type Stats struct {
	DHCPRequests, DHCPReplies, DHCPIgnored int64
	TFTPTransfers, TFTPFailures, TFTPBytes int64 // finished, aborted, payload bytes of both
	TFTPActive, TFTPQueued                 int64 // now
	HTTPTransfers, HTTPFailures, HTTPBytes int64 // boot files; finished, broken off, payload bytes of both
	HTTPActive, HTTPQueued, ScriptsServed  int64 // now, now, total
}

type counters struct {
	dhcpRequests, dhcpReplies, dhcpIgnored atomic.Int64
	tftpDone, tftpFailed, tftpBytes        atomic.Int64
	httpDone, httpFailed, httpBytes        atomic.Int64
	httpActive, httpQueued, scripts        atomic.Int64
}
