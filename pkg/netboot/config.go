package netboot

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"time"
)

// Mode says whether addresses are given.
type Mode string

// The modes of a relay.
const (
	ModeAuthoritative Mode = "authoritative" // addresses and boot files, for known machines only
	ModeProxy         Mode = "proxy"         // boot files only, beside another DHCP server (PXE 2.1 ProxyDHCP)
)

// Config describes one relay. Zero numbers take the defaults named.
type Config struct {
	Interface string     // all DHCP traffic is bound to it; "" binds to no interface (tests on loopback)
	Address   netip.Addr // the relay's IPv4 address: DHCP server identifier, TFTP and HTTP address
	Mode      Mode       // "" is ModeAuthoritative

	DHCPPort  uint16 // 67
	ProxyPort uint16 // 4011, used in ModeProxy only
	TFTPPort  uint16 // 69
	HTTPPort  uint16 // 8080

	// Files holds what machines may load, and is the jail: whatever is in it can be read by anybody on the network.
	// os.Root.FS is the safe choice for a directory. FirstStage names are expected at its top; TFTP gives no others.
	Files fs.FS
	// Next takes every HTTP request that is not for a boot file or a script. nil: 404.
	Next http.Handler

	// At most an eighth of what is served at once is one machine's. What does not fit waits, machines by turns.
	TFTPTransfers int // transfers at once; 256
	HTTPTransfers int // boot files at once over HTTP; 64

	Observer Observer // nil: nobody is told

	stall time.Duration // how long a client may take nothing of a reply; stallTimeout
}

func (c Config) withDefaults() Config {
	def := func(p *uint16, v uint16) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.DHCPPort, 67)
	def(&c.ProxyPort, 4011)
	def(&c.TFTPPort, 69)
	def(&c.HTTPPort, 8080)
	if c.Mode == "" {
		c.Mode = ModeAuthoritative
	}
	if c.TFTPTransfers <= 0 {
		c.TFTPTransfers = 256
	}
	if c.HTTPTransfers <= 0 {
		c.HTTPTransfers = 64
	}
	if c.stall <= 0 {
		c.stall = stallTimeout
	}
	if c.Next == nil {
		c.Next = http.NotFoundHandler()
	}
	if c.Observer == nil {
		c.Observer = ObserverFunc(func(Event) {})
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if !c.Address.Is4() {
		errs = append(errs, fmt.Errorf("address %q is not an IPv4 address: give the relay's own address on the provisioning network", c.Address))
	}
	if c.Mode != ModeAuthoritative && c.Mode != ModeProxy {
		errs = append(errs, fmt.Errorf("mode %q is neither %q nor %q", c.Mode, ModeAuthoritative, ModeProxy))
	}
	if c.Files == nil {
		errs = append(errs, errors.New("no boot files: give a file system that holds "+bootFileBIOS+" and "+bootFileEFI))
	}
	return errors.Join(errs...)
}

// baseURL is where this relay's HTTP server is reached, without a final slash.
func (c Config) baseURL() string {
	return "http://" + netip.AddrPortFrom(c.Address, c.HTTPPort).String()
}
