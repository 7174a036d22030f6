package bmc

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metal3 "github.com/metal3-io/baremetal-operator/pkg/hardwareutils/bmc"
)

// Protocol is how a BMC is spoken to.
type Protocol string

// The protocols.
const (
	Redfish Protocol = "redfish"
	IPMI    Protocol = "ipmi"
)

// Address is a BMC's address, parsed.
type Address struct {
	// Protocol chooses the driver.
	Protocol Protocol
	// Host and Port are where it listens; Host has no brackets.
	Host, Port string
	// Plain is true for Redfish over HTTP without TLS.
	Plain bool
	// System is the path of the ComputerSystem, empty when the BMC is to have just one.
	System string
	// CipherSuite is IPMI's: 17, or 3 where the address asks for it.
	CipherSuite int
}

// schemes are metal3's that we have a driver for. Its grammar knows more, of drivers that are gone.
var schemes = []string{
	"redfish", "redfish-virtualmedia", "idrac-redfish", "idrac-virtualmedia", "ilo5-redfish", "ilo5-virtualmedia",
}

const defaultRedfishPort, defaultIPMIPort = "443", "623"

// ParseAddress reads an address in metal3's grammar: redfish://HOST[:PORT]/PATH-OF-SYSTEM and its
// vendor forms (with +https, or +http for no TLS), ipmi://HOST[:PORT], or a bare HOST or
// IP:PORT, which is IPMI. ipmi://HOST?ciphersuite=3 allows the old SHA-1 suite, which is refused otherwise.
// The error is ErrInvalid; credentials in the address are refused and not repeated in it.
func ParseAddress(address string) (Address, error) {
	a, err := parseAddress(address)
	if err != nil {
		shown := address
		if strings.Contains(address, "@") {
			shown = "(address not shown)"
		}
		return Address{}, &Error{Op: "parse address", Address: shown, Kind: ErrInvalid, Cause: err,
			Remedy: "write redfish://HOST/redfish/v1/Systems/ID or ipmi://HOST[:PORT]"}
	}
	return a, nil
}

func parseAddress(address string) (Address, error) {
	if strings.Contains(address, "@") {
		return Address{}, fmt.Errorf("an address holds no user name and no password: use the credentials attribute")
	}
	u, err := metal3.GetParsedURL(address)
	if err != nil {
		return Address{}, err
	}
	details, err := metal3.NewAccessDetails(address, false)
	if err != nil {
		return Address{}, err
	}
	if u.Hostname() == "" {
		return Address{}, fmt.Errorf("the host is missing")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Address{}, fmt.Errorf("%s is not a port: 1 to 65535", port)
		}
	}
	if u.Fragment != "" {
		return Address{}, fmt.Errorf("the part after # has no meaning")
	}
	if u.Scheme == string(IPMI) {
		return ipmiAddress(u)
	}
	return redfishAddress(u, details)
}

func redfishAddress(u *url.URL, details metal3.AccessDetails) (Address, error) {
	base, transport, _ := strings.Cut(u.Scheme, "+")
	if !slices.Contains(schemes, base) {
		return Address{}, fmt.Errorf("scheme %s is not supported: one of %s, ipmi", u.Scheme, strings.Join(schemes, ", "))
	}
	if u.RawQuery != "" {
		return Address{}, fmt.Errorf("a Redfish address has no query: %q", u.RawQuery)
	}
	info := details.DriverInfo(metal3.Credentials{})
	system, _ := info["redfish_system_id"].(string)
	if system == u.Path {
		system = u.EscapedPath() // an id may hold what a path does not
	}
	system = strings.TrimRight(system, "/")
	if system == "/redfish" || system == "/redfish/v1" || system == "/redfish/v1/Systems" { // what the BMC itself shows on the way to its system
		system = ""
	}
	if system != "" && !strings.HasPrefix(system, "/redfish/") {
		return Address{}, fmt.Errorf("%q is not the path of a Redfish system: it begins with /redfish/", system)
	}
	a := Address{Protocol: Redfish, Host: u.Hostname(), Port: u.Port(), Plain: transport == "http", System: system}
	if a.Port == "" {
		a.Port = defaultRedfishPort
		if a.Plain {
			a.Port = "80"
		}
	}
	return a, nil
}

func ipmiAddress(u *url.URL) (Address, error) {
	if strings.Trim(u.Path, "/") != "" {
		return Address{}, fmt.Errorf("an IPMI address has no path: %q", u.Path)
	}
	a := Address{Protocol: IPMI, Host: u.Hostname(), Port: u.Port(), CipherSuite: 17}
	if a.Port == "" {
		a.Port = defaultIPMIPort
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Address{}, err
	}
	for key, values := range query {
		value := values[len(values)-1]
		switch {
		case key == "ciphersuite" && value == "17":
		case key == "ciphersuite" && value == "3":
			a.CipherSuite = 3
		case key == "privilegelevel" && strings.EqualFold(value, "ADMINISTRATOR"):
		default:
			return Address{}, fmt.Errorf("%s=%s is not supported: only ciphersuite=3 or 17 and privilegelevel=ADMINISTRATOR", key, value)
		}
	}
	return a, nil
}

// HostPort is Host and Port for a dialer, with brackets around IPv6.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, a.Port) }

// Endpoint is the URL of the Redfish service without a path.
func (a Address) Endpoint() string {
	if a.Plain {
		return "http://" + a.HostPort()
	}
	return "https://" + a.HostPort()
}

// String is the address in metal3's grammar.
func (a Address) String() string {
	if a.Protocol == IPMI {
		return "ipmi://" + a.HostPort()
	}
	scheme := "redfish"
	if a.Plain {
		scheme = "redfish+http"
	}
	return scheme + "://" + a.HostPort() + a.System
}
