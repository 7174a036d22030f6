package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// errScanned ends the handshake once the key has been shown.
var errScanned = errors.New("the host's key has been seen")

// ScanHostKey asks the host at an address (host:port) for its key, and logs in nowhere. Whoever answers shows what he likes: a person has to compare the key's
// fingerprint with what the host's own console shows.
func ScanHostKey(ctx context.Context, address string) (ssh.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its host key: %w: %w", address, ErrUnreachable, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var shown ssh.PublicKey
	_, _, _, err = ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { shown = key; return errScanned },
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		ClientVersion:     "SSH-2.0-nuboctl",
	})
	if shown == nil {
		return nil, fmt.Errorf("ask %s for its host key: %w", address, err)
	}
	return shown, nil
}
