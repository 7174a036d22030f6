package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// NewKey makes an ed25519 key pair: the private half as an unencrypted OpenSSH PEM block (keep it at mode 0600), the public half as a line of
// authorized_keys without newline.
func NewKey(comment string) (private []byte, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make ed25519 key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, "", fmt.Errorf("encode private key: %w", err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, "", fmt.Errorf("encode public key: %w", err)
	}
	line := AuthorizedKey(sshPub)
	if comment != "" {
		line += " " + comment
	}
	return pem.EncodeToMemory(block), line, nil
}

// ParseKey reads a private key that has no passphrase. The error never shows the key.
func ParseKey(private []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(private)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, errors.New("SSH private key has a passphrase: give one without, or load it into an agent")
	}
	if err != nil {
		return nil, errors.New("SSH private key cannot be read: it is not an OpenSSH or PEM private key")
	}
	return signer, nil
}

// AuthorizedKey gives a public key as a line of authorized_keys, without comment and newline.
func AuthorizedKey(key ssh.PublicKey) string {
	line := ssh.MarshalAuthorizedKey(key)
	return string(line[:len(line)-1])
}

// Authority is the operator's SSH CA. Hosts trust its public key by TrustedUserCAKeys.
type Authority struct{ signer ssh.Signer }

// NewAuthority makes an authority of the CA's private key.
func NewAuthority(private []byte) (*Authority, error) {
	signer, err := ParseKey(private)
	if err != nil {
		return nil, fmt.Errorf("SSH CA: %w", err)
	}
	return &Authority{signer}, nil
}

// PublicKey gives the CA's public half, for TrustedUserCAKeys.
func (a *Authority) PublicKey() ssh.PublicKey { return a.signer.PublicKey() }

// clockSkew is how far a blade's clock may be behind the operator's: the certificate is valid from that long ago.
const clockSkew = 15 * time.Minute

// UserCertificate signs a key for logging in as any of principals, from a quarter of an hour before now until ttl after it. It permits
// commands and forwarding, no agent and no X11. keyID appears in the host's log: name the operator and the operation.
func (a *Authority) UserCertificate(key ssh.PublicKey, keyID string, principals []string, now time.Time, ttl time.Duration) (*ssh.Certificate, error) {
	switch {
	case len(principals) == 0:
		return nil, errors.New("user certificate: no principal given (one that names nobody would log in as everybody)")
	case ttl <= 0 || ttl > 24*time.Hour:
		return nil, fmt.Errorf("user certificate: a validity of %v is not between 0 and 24h", ttl)
	}
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, KeyId: keyID, ValidPrincipals: principals,
		ValidAfter:  uint64(now.Add(-clockSkew).Unix()),
		ValidBefore: uint64(now.Add(ttl).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": "", "permit-pty": ""}},
	}
	if err := cert.SignCert(rand.Reader, a.signer); err != nil {
		return nil, fmt.Errorf("sign user certificate: %w", err)
	}
	return cert, nil
}

// Login gives what the client shows to the host. It is asked at every connection, so a short-lived certificate is always fresh.
type Login func(user string) (ssh.Signer, error)

// KeyLogin logs in with a bare key (authorized_keys on the host).
func KeyLogin(key ssh.Signer) Login { return func(string) (ssh.Signer, error) { return key, nil } }

// CertLogin logs in with a certificate made for each connection, valid for ttl from now().
func CertLogin(a *Authority, key ssh.Signer, keyID string, now func() time.Time, ttl time.Duration) Login {
	return func(user string) (ssh.Signer, error) {
		cert, err := a.UserCertificate(key.PublicKey(), keyID, []string{user}, now(), ttl)
		if err != nil {
			return nil, err
		}
		return ssh.NewCertSigner(cert, key)
	}
}
