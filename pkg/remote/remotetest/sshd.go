package remotetest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// SSHD is a real OpenSSH server with keys and configuration of its own. It listens on loopback, or on nothing at all: each connection is
// served by one `sshd -i`, so there is no daemon to leave behind.
type SSHD struct {
	HostKeys []ssh.PublicKey
	CA       *remote.Authority
	CAKey    []byte     // the CA's private key, for logins from other processes
	Key      ssh.Signer // the user's key; only a certificate of CA makes it welcome
	Addr     string     // host:port on loopback

	argv   []string
	user   string
	listen net.Listener
	log    lockedBuffer

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

// sshdPath is where Debian's openssh-server puts it; sshd insists on an absolute path.
const sshdPath = "/usr/sbin/sshd"

// StartSSHD starts a server on loopback; within are words put before the sshd command, such as "ip netns exec NAME".
// The test fails when openssh-server is not installed.
func StartSSHD(t testing.TB, within ...string) *SSHD {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ServeSSHD(t, l, within...)
}

// ServeSSHD is StartSSHD on a given listener, for instance in a network namespace.
func ServeSSHD(t testing.TB, l net.Listener, within ...string) *SSHD {
	t.Helper()
	if _, err := os.Stat(sshdPath); err != nil {
		t.Fatalf("no OpenSSH server: %v; install the Debian package openssh-server (no service needs to run)", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &SSHD{user: me.Username, listen: l, Addr: l.Addr().String()}
	s.makeKeys(t, dir)
	config := filepath.Join(dir, "sshd_config")
	writeFile(t, config, 0o600, s.config(dir))
	if me.Uid == "0" { // sshd's privilege separation directory, made at boot by its service
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.argv = append(append([]string(nil), within...), sshdPath, "-i", "-e", "-f", config)
	s.wg.Add(1)
	go s.accept(t)
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("sshd:\n%s", s.log.String())
		}
	})
	return s
}

// config trusts the CA and nothing else.
func (s *SSHD) config(dir string) string {
	return strings.Join([]string{
		"HostKey " + filepath.Join(dir, "host"),
		"TrustedUserCAKeys " + filepath.Join(dir, "ca.pub"),
		"AuthorizedKeysFile none",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"UsePAM no",
		"PermitRootLogin prohibit-password",
		"StrictModes no",
		"PidFile none",
		"LogLevel VERBOSE",
		"",
	}, "\n")
}

func (s *SSHD) makeKeys(t testing.TB, dir string) {
	t.Helper()
	hostPrivate, hostPublic := newKey(t, "host")
	writeFile(t, filepath.Join(dir, "host"), 0o600, string(hostPrivate))
	caPrivate, caPublic := newKey(t, "ca")
	writeFile(t, filepath.Join(dir, "ca.pub"), 0o644, caPublic+"\n")
	keys, err := remote.KnownHosts{"host": {hostPublic}}.Keys("host")
	if err != nil {
		t.Fatal(err)
	}
	s.HostKeys = keys
	s.CAKey = caPrivate
	if s.CA, err = remote.NewAuthority(caPrivate); err != nil {
		t.Fatal(err)
	}
	s.Key = NewSigner(t)
}

// Target gives the way to the server with a fresh certificate for the user who runs the test.
func (s *SSHD) Target() remote.Target {
	return remote.Target{
		Name: "sshd", Address: s.Addr, User: s.user, HostKeys: s.HostKeys,
		Login: remote.CertLogin(s.CA, s.Key, "test", time.Now, time.Minute),
	}
}

// Connect logs in; the connection is closed at the end of the test.
func (s *SSHD) Connect(t testing.TB) *remote.Client {
	t.Helper()
	c, err := remote.Connect(t.Context(), s.Target())
	if err != nil {
		t.Fatalf("connect to the test's sshd: %v\n%s", err, s.log.String())
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// accept serves each connection by a process of its own.
func (s *SSHD) accept(t testing.TB) {
	defer s.wg.Done()
	for {
		conn, err := s.listen.Accept()
		if err != nil {
			return
		}
		if err := s.serve(conn); err != nil {
			t.Errorf("start sshd: %v", err)
		}
	}
}

func (s *SSHD) serve(conn net.Conn) error {
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, &s.log
	if err := cmd.Start(); err != nil {
		conn.Close()
		return err
	}
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		_ = cmd.Wait() // its status is in the log
		conn.Close()
	}()
	return nil
}

// Cut breaks every connection, as a power failure would; new ones are welcome.
func (s *SSHD) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		shutdown(c)
	}
	s.conns = nil
}

// Stop refuses new connections, breaks the open ones and waits for the servers to end.
func (s *SSHD) Stop() {
	s.listen.Close()
	s.Cut()
	s.wg.Wait()
}

// Log gives what sshd said so far.
func (s *SSHD) Log() string { return s.log.String() }

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// NewSigner makes a key for a test.
func NewSigner(t testing.TB) ssh.Signer {
	t.Helper()
	private, _ := newKey(t, "test")
	signer, err := remote.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newKey(t testing.TB, comment string) (private []byte, public string) {
	t.Helper()
	private, public, err := remote.NewKey(comment)
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func writeFile(t testing.TB, name string, mode os.FileMode, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// Eventually waits until what holds, and fails the test when ctx ends first, or a minute is over. It is the one place where tests wait.
func Eventually(ctx context.Context, t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(ctx, t, time.Minute, what, holds)
}

// Within is Eventually for what takes longer.
func Within(ctx context.Context, t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for: %s (%v)", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
