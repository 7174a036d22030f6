package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"time"
)

// bmcCertificate gives the server certificate of a blade's BMC, signed by the rack's authority for the BMC's address. It
// is kept in the runtime folder, so that a pinned one stays good, and made anew when it no longer serves.
func bmcCertificate(rack *Rack, b Blade, d Dirs, now time.Time) (tls.Certificate, error) {
	certFile, keyFile := filepath.Join(d.blade(b.Name), "bmc.pem"), filepath.Join(d.blade(b.Name), "bmc-key.pem")
	ca, err := tls.LoadX509KeyPair(rack.Path(rack.CA.Certificate), rack.Path(rack.CA.Key))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("load the rack's CA: %w", err)
	}
	addr := netip.MustParseAddrPort(b.BMC.Address).Addr()
	if kept, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && serves(kept, ca, addr, now) {
		return kept, nil
	}
	certPEM, keyPEM, err := issue(ca, b, addr, now)
	if err == nil {
		err = errors.Join(writeFile(certFile, certPEM, 0o644), writeFile(keyFile, keyPEM, 0o600))
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue the certificate of %s's BMC: %w", b.Name, err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// serves tells whether a kept certificate is by this authority, for this address and good for a month more.
func serves(kept, ca tls.Certificate, addr netip.Addr, now time.Time) bool {
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	_, err := kept.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.AddDate(0, 1, 0), DNSName: addr.String()})
	return err == nil && now.After(kept.Leaf.NotBefore)
}

// issue makes a key and a certificate of two years; the day before covers clocks that differ.
func issue(ca tls.Certificate, b Blade, addr netip.Addr, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"nuboctl lab"}, CommonName: "BMC of " + b.Name},
		NotBefore:    now.AddDate(0, 0, -1),
		NotAfter:     now.AddDate(2, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{addr.AsSlice()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}
