package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// How long certificates hold. A host's is made anew when a third of its life is left.
const (
	AuthorityLife = 20 * 365 * 24 * time.Hour
	HostLife      = 2 * 365 * 24 * time.Hour
)

// clockSkew is how far a host's clock may be behind the operator's.
const clockSkew = time.Hour

// Authority signs the certificates of hosts for one purpose. Two purposes have two authorities: what is trusted for one is nothing for the other.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// New makes an authority: its private key and its certificate, as PEM for [Parse]. The result is a secret.
func New(name string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"nuboctl"}},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(AuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), encode(der)...), nil
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serialNumber has 127 random bits (RFC 5280, 4.1.2.2: positive, at most 20 octets).
func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("certificate: serial number: %w", err)
	}
	return n, nil
}

// Parse reads what [New] made.
func Parse(text []byte) (*Authority, error) {
	keyBlock, rest := pem.Decode(text)
	certBlock, _ := pem.Decode(rest)
	if keyBlock == nil || keyBlock.Type != "PRIVATE KEY" || certBlock == nil || certBlock.Type != "CERTIFICATE" {
		return nil, errors.New("authority: a private key and a certificate in PEM were expected")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return nil, errors.New("authority: the certificate is not that of the key")
	}
	return &Authority{cert: cert, key: signer}, nil
}

// Certificate is the authority's own, in PEM: what hosts trust.
func (a *Authority) Certificate() []byte { return encode(a.cert.Raw) }

// Print is the start of the certificate's SHA-256.
func (a *Authority) Print() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:8])
}

// Subject is who a certificate is for. Everything in it comes from the inventory, nothing from the request.
type Subject struct {
	Name      string // host name
	Addresses []netip.Addr
}

// Sign checks a request (PKCS #10, PEM) and certifies its key for a subject, as server and as client.
func (a *Authority) Sign(request []byte, who Subject, now time.Time) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("certify %s: the host sent no certificate request", who.Name)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("certify %s: its request: %w", who.Name, err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: who.Name, Organization: a.cert.Subject.Organization},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(HostLife), BasicConstraintsValid: true,
		// Libvirt 9 refuses a certificate without key encipherment, although no elliptic key is ever used so.
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{who.Name},
	}
	for _, ip := range who.Addresses {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", who.Name, err)
	}
	return encode(der), nil
}

// Check tells what is wrong with a host's certificate (PEM): of another authority, for another host, or near its end.
func (a *Authority) Check(text []byte, who Subject, now time.Time) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("there is no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the certificate cannot be read: %w", err)
	}
	if err := cert.CheckSignatureFrom(a.cert); err != nil {
		return fmt.Errorf("the certificate is of another authority: %w", err)
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter.Add(-HostLife/3)) {
		return fmt.Errorf("the certificate holds from %s to %s and is due", cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly))
	}
	var addresses []netip.Addr
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addresses = append(addresses, addr.Unmap())
		}
	}
	if cert.Subject.CommonName != who.Name || !slices.Equal(addresses, who.Addresses) {
		return fmt.Errorf("the certificate is for %s %v", cert.Subject.CommonName, addresses)
	}
	return nil
}
