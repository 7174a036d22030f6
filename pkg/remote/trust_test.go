package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// refuse connects and wants a sentinel error.
func refuse(t *testing.T, target remote.Target, want error) error {
	t.Helper()
	c, err := remote.Connect(t.Context(), target)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	return err
}

func TestHostKeyMustBeKnown(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	unknown := sshd.Target()
	unknown.HostKeys = nil
	unknown.Address = "192.0.2.1:22" // RFC 5737: would not be dialled at all
	refuse(t, unknown, remote.ErrHostKey)

	other := sshd.Target()
	other.HostKeys = []ssh.PublicKey{remotetest.NewSigner(t).PublicKey()}
	asked := false
	login := other.Login
	other.Login = func(user string) (ssh.Signer, error) {
		signer, err := login(user)
		return watchedSigner{signer, &asked}, err
	}
	err := refuse(t, other, remote.ErrHostKey)
	if !strings.Contains(err.Error(), ssh.FingerprintSHA256(sshd.HostKeys[0])) {
		t.Errorf("the error does not name the key shown: %v", err)
	}
	if asked {
		t.Error("something was signed for a host with a wrong key")
	}
}

// watchedSigner notes its use.
type watchedSigner struct {
	ssh.Signer
	used *bool
}

func (w watchedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	*w.used = true
	return w.Signer.Sign(rand, data)
}

func TestHostKeyOfAnotherType(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	target := sshd.Target()
	const ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
	keys, err := remote.KnownHosts{"h": {ecdsa}}.Keys("h")
	if err != nil {
		t.Fatal(err)
	}
	target.HostKeys = keys
	refuse(t, target, remote.ErrHostKey)
}

func TestLoginRefused(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	bare := sshd.Target()
	bare.Login = remote.KeyLogin(sshd.Key)
	refuse(t, bare, remote.ErrAuth)

	expired := sshd.Target()
	yesterday := func() time.Time { return time.Now().Add(-24 * time.Hour) }
	expired.Login = remote.CertLogin(sshd.CA, sshd.Key, "test", yesterday, time.Minute)
	refuse(t, expired, remote.ErrAuth)

	private, _, err := remote.NewKey("other CA")
	if err != nil {
		t.Fatal(err)
	}
	otherCA, err := remote.NewAuthority(private)
	if err != nil {
		t.Fatal(err)
	}
	foreign := sshd.Target()
	foreign.Login = remote.CertLogin(otherCA, sshd.Key, "test", time.Now, time.Minute)
	refuse(t, foreign, remote.ErrAuth)
}

func TestUnreachable(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	target := sshd.Target()
	sshd.Stop()
	refuse(t, target, remote.ErrUnreachable)

	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	target.Address, target.Timeout = silent.Addr().String(), 100*time.Millisecond
	refuse(t, target, remote.ErrUnreachable)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := remote.Connect(ctx, target); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestOpenSSHReadsOurFiles logs in with Debian's own client, by the files that an operator would use.
func TestOpenSSHReadsOurFiles(t *testing.T) {
	sshd := remotetest.StartSSHD(t)
	dir := t.TempDir()
	private, public, err := remote.NewKey("operator")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := remote.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	target := sshd.Target()
	cert, err := sshd.CA.UserCertificate(signer.PublicKey(), "operator", []string{target.User}, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	known := remote.KnownHosts{"blade-01": {remote.AuthorizedKey(sshd.HostKeys[0])}}
	lines, err := known.OpenSSH(map[string]string{"blade-01": target.Address})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"id": string(private), "id.pub": public + "\n", "id-cert.pub": remote.AuthorizedKey(cert) + "\n", "known_hosts": lines,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(target.Address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-i", filepath.Join(dir, "id"), "-p", port, "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+filepath.Join(dir, "known_hosts"), "-o", "GlobalKnownHostsFile=none",
		"-o", "IdentitiesOnly=yes", target.User+"@"+host, "echo in").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "in") {
		t.Errorf("ssh: %v: %s\n%s", err, out, sshd.Log())
	}
}
