package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Tunnel is what a target is reached through: a jump host's Client or Link, or a namespace in tests.
type Tunnel interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Target says how to reach one host. Name, Address, User, HostKeys and Login or Keys are required.
type Target struct {
	Name     string          // what it is called in errors
	Address  string          // host:port
	User     string          // whom to log in as
	HostKeys []ssh.PublicKey // exactly these are accepted
	Login    Login
	// Keys are offered one after the other where Login is nil: those of a person, on hosts that do not know the operator's SSH CA.
	Keys func() ([]ssh.Signer, error)
	// Via is the jump; nil connects directly.
	Via Tunnel
	// Timeout bounds connection and handshake; 0 means 15 s.
	Timeout time.Duration
	// Greeting bounds the handshake where that may take longer: a host that takes a connection is there, and one that is short of processor time is
	// slow with its keys. 0 means Timeout.
	Greeting time.Duration
	// KeepAlive is how often a silent connection is probed; three probes without an answer end it. 0 means 10 s.
	KeepAlive time.Duration
}

// String gives "NAME (USER@ADDRESS)".
func (t Target) String() string { return fmt.Sprintf("%s (%s@%s)", t.Name, t.User, t.Address) }

func (t Target) fail(op, remedy string, err error) error {
	return &Error{Host: t.String(), Op: op, Remedy: remedy, Err: err}
}

// Connect logs in. Errors: ErrUnreachable, ErrHostKey, ErrAuth, or ctx's own.
func Connect(ctx context.Context, t Target) (*Client, error) {
	if len(t.HostKeys) == 0 {
		return nil, t.fail("connect", "record its host key first", fmt.Errorf("%w: no key is known for this host", ErrHostKey))
	}
	if t.Login == nil && t.Keys == nil {
		return nil, t.fail("connect", "give a key or an SSH CA", fmt.Errorf("%w: no key to log in with", ErrAuth))
	}
	signers, err := t.signers()
	if err != nil {
		return nil, t.fail("make the login key", "", errors.Join(ErrAuth, err))
	}
	within := cmp.Or(t.Timeout, 15*time.Second)
	dialing, cancelDial := context.WithTimeout(ctx, within)
	defer cancelDial()
	conn, err := t.dial(dialing)
	if err != nil {
		return nil, t.dialError(ctx, err)
	}
	greeting, cancel := context.WithTimeout(ctx, cmp.Or(t.Greeting, within))
	defer cancel()
	client, err := t.handshake(greeting, conn, signers)
	if err != nil {
		conn.Close()
		return nil, t.handshakeError(ctx, err)
	}
	return newClient(t, client), nil
}

// signers are the keys to log in with.
func (t Target) signers() ([]ssh.Signer, error) {
	if t.Login == nil {
		return t.Keys()
	}
	signer, err := t.Login(t.User)
	return []ssh.Signer{signer}, err
}

// dial opens the transport, directly or through the jump.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
	if t.Via != nil {
		return t.Via.Dial(ctx, "tcp", t.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", t.Address)
}

// handshake runs the SSH handshake; ctx closes the transport, since x/crypto takes no context here.
func (t Target) handshake(ctx context.Context, conn net.Conn, signers []ssh.Signer) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var refused error
	sshConn, chans, reqs, err := ssh.NewClientConn(conn, t.Address, &ssh.ClientConfig{
		User:              t.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   checkHostKey(t.HostKeys, &refused),
		HostKeyAlgorithms: hostKeyAlgorithms(t.HostKeys),
		ClientVersion:     "SSH-2.0-nuboctl",
	})
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, err
	case !stop():
		sshConn.Close()
		return nil, ctx.Err()
	}
	return ssh.NewClient(sshConn, chans, reqs), nil
}

func (t Target) dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return t.fail("connect", "", errors.Join(context.Cause(ctx), ErrUnreachable))
	}
	return t.fail("connect", "check that it is powered on, that its network is up and that sshd listens", errors.Join(ErrUnreachable, err))
}

// handshakeError sorts x/crypto's errors. It has no type for a refused login, so its words are looked at (client_auth.go,
// "unable to authenticate"; sshd's packet.c, "Too many authentication failures").
func (t Target) handshakeError(ctx context.Context, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, ErrHostKey):
		return t.fail("check host key", "if the host was reinstalled by someone else, find out who; nothing was sent to it", err)
	case strings.Contains(text, "no common algorithm for host key"):
		return t.fail("check host key", "the host has no key of the known type",
			fmt.Errorf("%w: known is %s: %w", ErrHostKey, fingerprints(t.HostKeys), err))
	case strings.Contains(text, "unable to authenticate"), strings.Contains(text, "Too many authentication failures"):
		if t.Login == nil {
			return t.fail("log in", "check that one of your own keys may log in there as "+t.User, errors.Join(ErrAuth, err))
		}
		return t.fail("log in", "check that the host trusts the operator's SSH CA and that its clock is right", errors.Join(ErrAuth, err))
	case ctx.Err() != nil:
		return t.fail("SSH handshake", "", errors.Join(context.Cause(ctx), ErrUnreachable))
	}
	return t.fail("SSH handshake", "check that sshd runs there and answers", errors.Join(ErrUnreachable, err))
}
