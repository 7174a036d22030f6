package inventory

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	metal3 "github.com/metal3-io/baremetal-operator/pkg/hardwareutils/bmc"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// bmcSchemes are those of metal3's grammar that nuboctl's drivers speak; all but ipmi may end in +https or +http. The library knows more, some
// of them gone upstream.
var bmcSchemes = []string{"redfish", "ilo5-redfish", "idrac-redfish", "redfish-virtualmedia", "ilo5-virtualmedia", "idrac-virtualmedia", "ipmi"}

var pinPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// bmc reads a node's bmc block over the defaults of the places above. Trust (ca, pin, insecure) is inherited as a whole.
func (b *builder) bmc(o *object, in inherited) model.BMC {
	own := o.first("bmc")
	if own == nil {
		b.errorf(o.at(), "add: bmc { address = \"redfish+https://HOST/redfish/v1/Systems/1\" … }", "node %s has no bmc", o.path)
		return model.BMC{}
	}
	sources := append([]*object{own}, in.bmc...)
	out := model.BMC{Address: own.str("address")}
	credentialed := false
	for _, s := range sources {
		if s.written("credentials") {
			out.Credentials, credentialed = s.secret("credentials"), true
			break
		}
	}
	if !credentialed {
		b.errorf(own.at(), `add: credentials = secret("NAME"), here or in a bmc block of a place above`, "the bmc of node %s has no credentials", o.path)
	}
	for _, s := range sources {
		if s.written("firmware") {
			out.Firmware = b.firmware(s)
			break
		}
	}
	trust := own
	for _, s := range sources {
		if s.written("ca") || s.written("pin") || s.written("insecure") {
			trust = s
			break
		}
	}
	out.CA, out.Pin, out.Insecure = trust.str("ca"), strings.ToLower(trust.str("pin")), trust.flag("insecure")
	if strings.HasPrefix(out.Address, "ipmi:") {
		out.CA, out.Pin = "", "" // of the places above; IPMI has no certificate
	}
	switch {
	case !own.written("address"):
		b.errorf(own.at(), "add: address = \"redfish+https://HOST/redfish/v1/Systems/1\"", "the bmc of node %s has no address", o.path)
	case own.has("address"):
		b.checkBMC(o, own, trust, out)
	}
	return out
}

// firmware reads how a machine boots.
func (b *builder) firmware(o *object) string {
	word := o.str("firmware")
	if o.has("firmware") && word != "uefi" && word != "bios" {
		b.errorf(o.where("firmware"), `write "uefi" or "bios", or leave it out`, "%q is no firmware", word)
	}
	return word
}

// checkBMC checks address and trust.
func (b *builder) checkBMC(o, own, trust *object, m model.BMC) {
	at := own.where("address")
	if strings.Contains(m.Address, "@") {
		b.l.diags.Sensitivef(at, `remove it, and write credentials = secret("NAME")`, "the bmc address of node %s holds a user name or password", o.path)
		return
	}
	u, err := bmcURL(m.Address)
	if err != nil {
		b.errorf(at, "write it as metal3 does: redfish+https://HOST[:PORT]/redfish/v1/Systems/ID or ipmi://HOST[:PORT]", "bmc address %q: %v", m.Address, err)
		return
	}
	if base, _, _ := strings.Cut(u.Scheme, "+"); !contains(bmcSchemes, base) {
		b.errorf(at, didYouMean(base, bmcSchemes, ""), "bmc address %q: nuboctl has no driver for %q", m.Address, u.Scheme)
		return
	}
	b.ownBMC(own, m, u)
	b.checkTrust(o, own, trust, m, u)
}

// bmcURL parses an address with metal3's own grammar, and refuses what no driver would use.
func bmcURL(address string) (*url.URL, error) {
	u, err := metal3.GetParsedURL(address)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "failed to parse BMC address information: "))
	}
	base, _, _ := strings.Cut(u.Scheme, "+")
	if !contains(bmcSchemes, base) {
		return u, nil
	}
	if _, err := metal3.NewAccessDetails(address, false); err != nil {
		return nil, err
	}
	port, portErr := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.Port() != "" && (portErr != nil || port == 0):
		return nil, fmt.Errorf("%s is no port", u.Port())
	case u.Fragment != "":
		return nil, errors.New("the part after # has no meaning")
	case base == "ipmi":
		return u, checkIPMI(u)
	case u.RawQuery != "":
		return nil, errors.New("a Redfish address has no query")
	case strings.Trim(u.Path, "/") != "" && !strings.HasPrefix(u.Path, "/redfish/"):
		return nil, fmt.Errorf("%s is not the path of a Redfish system, such as /redfish/v1/Systems/1", u.Path)
	}
	return u, nil
}

// checkIPMI allows the one choice there is: ciphersuite=3 for a controller that has no better one.
func checkIPMI(u *url.URL) error {
	if strings.Trim(u.Path, "/") != "" {
		return errors.New("an IPMI address has no path")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return err
	}
	for key, values := range query {
		value := values[len(values)-1]
		if !(key == "ciphersuite" && (value == "3" || value == "17")) && !(key == "privilegelevel" && strings.EqualFold(value, "ADMINISTRATOR")) {
			return fmt.Errorf("%s=%s is not supported; only ciphersuite=3 or 17 are", key, value)
		}
	}
	return nil
}

// bmcKey is the same for two ways to write one system: with the port that its scheme has by itself, in other letters of the host's name.
func bmcKey(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.String()
	}
	switch {
	case port != "":
	case u.Scheme == "ipmi":
		port = "623"
	case strings.HasSuffix(u.Scheme, "+http"):
		port = "80"
	default:
		port = "443"
	}
	return host + ":" + port + strings.TrimSuffix(u.Path, "/")
}

// ownBMC reports two nodes behind one system. Several systems behind one controller are fine: a chassis manager has them.
func (b *builder) ownBMC(own *object, m model.BMC, u *url.URL) {
	key := bmcKey(u)
	what := "node " + string(own.parent.path)
	if first, taken := b.macs["bmc "+key]; taken {
		b.errorf(own.where("address"), "correct one; every machine has its own", "bmc address %s occurs twice: %s, and %s at %s", m.Address, what, first.what, first.at)
		return
	}
	b.macs["bmc "+key] = owner{what, own.where("address")}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if first, taken := b.addrs[a]; taken && !strings.HasPrefix(first.what, "the bmc of ") {
			b.errorf(own.where("address"), "use another address", "address %s is used twice: the bmc of %s, and %s at %s", a, what, first.what, first.at)
			return
		}
		b.addrs[a] = owner{"the bmc of " + what, own.where("address")}
	}
}

// checkTrust insists on a verified or pinned certificate wherever there is one, or on a loud word.
func (b *builder) checkTrust(o, own, trust *object, m model.BMC, u *url.URL) {
	tls := u.Scheme != "ipmi" && !strings.HasSuffix(u.Scheme, "+http")
	if m.Insecure && (trust.has("ca") || trust.has("pin")) {
		b.errorf(trust.where("insecure"), "remove insecure", "insecure together with ca or pin: it would be verified or not?")
		return
	}
	switch {
	case u.Scheme == "ipmi":
		if own.written("ca") || own.written("pin") {
			b.errorf(own.where("address"), "remove ca and pin, or use redfish+https", "IPMI has no certificate that ca or pin could verify")
		}
	case m.Insecure:
		b.warnf(trust.where("insecure"), `use ca = file("…") or pin = "sha256:…"`, "INSECURE: %s", map[bool]string{
			true:  "the certificate is not verified; whoever answers at the bmc's address gets the password",
			false: "HTTP without TLS; the bmc's password crosses the network in clear text"}[tls])
	case !tls:
		b.errorf(own.where("address"), "use redfish+https with ca or pin, or say insecure = true", "the bmc of node %s would get its password in clear text", o.path)
	case m.CA == "" && m.Pin == "":
		if !trust.written("ca") && !trust.written("pin") {
			b.errorf(own.at(), `add: ca = file("bmc-ca.pem"), or pin = "sha256:…" of its certificate`, "the certificate of the bmc of node %s could not be verified", o.path)
		}
	}
	if m.Pin != "" && !pinPattern.MatchString(m.Pin) {
		b.errorf(trust.where("pin"), "write sha256: and 64 hexadecimal digits, as from: openssl x509 -in cert.pem -outform der | sha256sum", "%q is no pin", m.Pin)
	}
	if m.CA != "" {
		if err := b.checkPEM(m.CA); err != nil {
			b.errorf(trust.where("ca"), "give certificates in PEM form, for example file(\"bmc-ca.pem\")", "ca: %v", err)
		}
	}
}

// checkPEM parses certificates, each text once.
func (b *builder) checkPEM(text string) error {
	if err, done := b.certs[text]; done {
		return err
	}
	err := parsePEM(text)
	b.certs[text] = err
	return err
}

func parsePEM(text string) error {
	rest, n := []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("it holds a %s, not only certificates", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n+1, err)
		}
		n++
	}
	if n == 0 {
		return errors.New("it holds no certificate")
	}
	return nil
}
