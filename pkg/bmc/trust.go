package bmc

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Trust says how a BMC proves who it is. Exactly one of CA and Pin is set for Redfish over TLS;
// none for IPMI, where user and BMC prove to each other that they know the password, and none
// over plain HTTP, where nothing is proven.
type Trust struct {
	// CA is one or more certificates (PEM). The BMC's certificate must lead to one of them,
	// be in force today and carry the address's host.
	CA []byte
	// Pin is "sha256:" and the hexadecimal SHA-256 digest of the BMC's own certificate (the
	// whole of it, DER), with or without colons: what
	// `openssl x509 -noout -fingerprint -sha256` prints. Host name and dates are not looked
	// at: BMCs make certificates for themselves, and their clocks are wrong.
	Pin string
	// AllowUnverified permits TLS with whoever answers: nothing is proven, and the password goes to them. For machines whose certificate is
	// not known yet; the error of a verified attempt names the pin to write down.
	AllowUnverified bool
	// AllowPlainHTTP permits redfish+http. The password then crosses the network in the clear.
	AllowPlainHTTP bool
}

// untrusted is what the handshake ends with when a pin does not match.
type untrusted struct{ got, want string }

func (e *untrusted) Error() string {
	return fmt.Sprintf("the BMC showed a certificate with pin %s, not %s", e.got, e.want)
}

// PinOf is the pin of a certificate in DER.
func PinOf(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ParsePin brings a pin into the form that PinOf has.
func ParsePin(pin string) (string, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(pin)), "sha256:")
	digits = strings.ReplaceAll(digits, ":", "")
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%q is not a pin: sha256: and 64 hexadecimal digits, the SHA-256 digest of the BMC's certificate", pin)
	}
	return "sha256:" + digits, nil
}

// check tells whether the trust fits the address.
func (t Trust) check(a Address) error {
	set := len(t.CA) > 0 || t.Pin != ""
	switch {
	case a.Protocol == IPMI && set:
		return errors.New("IPMI has no certificates: remove pin and ca")
	case a.Protocol == IPMI:
		return nil
	case a.Plain && !t.AllowPlainHTTP:
		return errors.New("redfish+http sends the password in the clear: use redfish, or allow plain HTTP on purpose")
	case a.Plain && set:
		return errors.New("plain HTTP has no certificates: remove pin and ca, or use redfish")
	case a.Plain:
		return nil
	case set && t.AllowUnverified:
		return errors.New("set pin or ca, or allow an unverified certificate, not both")
	case !set && t.AllowUnverified:
		return nil
	case !set:
		return errors.New("nothing says which certificate to trust: set pin or ca")
	case len(t.CA) > 0 && t.Pin != "":
		return errors.New("set pin or ca, not both")
	}
	return nil
}

// config is the TLS side of the trust; nil over plain HTTP.
func (t Trust) config(a Address) (*tls.Config, error) {
	if a.Plain {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Host}
	if t.AllowUnverified {
		config.InsecureSkipVerify = true
		return config, nil
	}
	if t.Pin == "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("ca holds no certificate in PEM")
		}
		return config, nil
	}
	want, err := ParsePin(t.Pin)
	if err != nil {
		return nil, err
	}
	// The chain is not verified, the certificate itself is, below.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		got := PinOf(state.PeerCertificates[0].Raw)
		if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			return &untrusted{got: got, want: want}
		}
		return nil
	}
	return config, nil
}

// distrust makes an ErrUntrusted of a failed handshake; nil when err is something else.
func distrust(err error) *Error {
	var pin *untrusted
	if errors.As(err, &pin) {
		return fault(ErrUntrusted, "%v", pin)
	}
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		shown := "no certificate"
		if len(verification.UnverifiedCertificates) > 0 {
			shown = "a certificate with pin " + PinOf(verification.UnverifiedCertificates[0].Raw)
		}
		f := fault(ErrUntrusted, "the BMC showed %s: %v", shown, verification.Err)
		var name x509.HostnameError
		if errors.As(verification.Err, &name) {
			return f.advise("the authority is not what is wrong, the name in the certificate is: give the address by a name that the certificate holds, or, as BMCs make certificates " +
				"without one, compare the certificate with the one on the BMC itself and write its pin in the place of ca")
		}
		return f
	}
	if text := err.Error(); strings.Contains(text, "failed to parse certificate") {
		return fault(ErrUntrusted, "%w", err).advise("the BMC's certificate is malformed: make a new one on the BMC")
	} else if strings.Contains(text, "protocol version") || strings.Contains(text, "handshake failure") {
		return fault(ErrUntrusted, "%w", err).advise("the BMC offers neither TLS 1.2 with a forward-secret cipher nor anything newer: renew its firmware, or switch that on in its settings")
	}
	var record tls.RecordHeaderError
	if errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) {
		return fault(ErrUntrusted, "the BMC answers without TLS").advise("check the port; a BMC that has no TLS is written redfish+http:// with insecure = true, and gets its password in the clear")
	}
	return nil
}
