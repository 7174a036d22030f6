package netboot

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Stage says which program of a machine is asking.
type Stage string

// The stages, in the order a machine passes through them.
const (
	StageFirmware   Stage = "firmware"   // a PXE ROM or UEFI PXE: can load a first stage by TFTP
	StageHTTPClient Stage = "httpclient" // UEFI HTTP boot (RFC 5970 architectures 15 to 17): loads a first stage by HTTP
	StageIPXE       Stage = "ipxe"       // iPXE with HTTP support: can take a script
	StageOS         Stage = "os"         // any other DHCP client: the ramdisk, an installed system
)

// Arch is the client system architecture of DHCP option 93 (RFC 4578, IANA "Processor Architecture Types").
type Arch uint16

// The architectures that have a first stage here.
const (
	ArchBIOS      Arch = 0
	ArchEFI64     Arch = 7
	ArchEFIBC     Arch = 9
	ArchEFI64HTTP Arch = 16
)

// Client is one machine asking to be configured or booted. MAC is what identifies it; nothing in it is proven.
type Client struct {
	MAC    net.HardwareAddr // six bytes; the client hardware address of the DHCP header, or of the script's query
	UUID   string           // DHCP option 97 in wire order, "" if absent; firmware disagrees on its byte order
	Arch   Arch             // DHCP option 93; ArchBIOS when absent
	Stage  Stage
	GIAddr netip.Addr // the relay agent it came through; invalid when it was heard directly
}

// Decider knows what each machine may have. Decide is called for every request and must be quick (it is given at most
// two seconds), must not block on the machine asking, and may be called concurrently. An error means "no answer now":
// the machine gets silence and asks again.
type Decider interface {
	Decide(ctx context.Context, c Client) (Answer, error)
}

// Answer is what one machine may have. The zero Answer is a stranger's: no reply of any kind is sent.
type Answer struct {
	Known bool
	Lease Lease
	Boot  *Boot // nil: the machine starts from its disk
}

// Lease is a machine's address and what goes with it. It is not used in ModeProxy.
type Lease struct {
	Address  netip.Prefix // the machine's IPv4 address with its network's length
	Router   netip.Addr   // optional
	DNS      []netip.Addr // empty: the relay's address is named, since some firmware refuses a lease without one
	NTP      []netip.Addr
	Domain   string
	Hostname string
	MTU      uint16        // 0: not said
	Time     time.Duration // lease time; 0: one hour
}

// Boot is an approved boot from the network.
type Boot struct {
	Title   string // printed on the console, for example "blade-01: install debian-13"
	Kernel  string // URL, or a path below the relay's own HTTP address ("/boot/vmlinuz")
	Initrd  string // the same
	Cmdline string // kernel command line; printable ASCII, no iPXE syntax (checked by Validate)
}
