package remote_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/remote"
	"github.com/nuboctl/nuboctl/pkg/remote/remotetest"
)

// TestPerson: a real sshd shows its key to whoever asks, and takes the one of several keys that it knows.
func TestPerson(t *testing.T) {
	s := remotetest.StartSSHD(t)
	shown, err := remote.ScanHostKey(t.Context(), s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(s.HostKeys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), shown.Marshal()) }) {
		t.Errorf("it showed %s", ssh.FingerprintSHA256(shown))
	}
	target := s.Target()
	good, err := target.Login(target.User)
	if err != nil {
		t.Fatal(err)
	}
	target.Login, target.HostKeys = nil, []ssh.PublicKey{shown}
	keys := []ssh.Signer{remotetest.NewSigner(t), good}
	target.Keys = func() ([]ssh.Signer, error) { return keys, nil }
	c, err := remote.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Run(t.Context(), trueCommand); err != nil {
		t.Error(err)
	}
	keys = keys[:1]
	if _, err := remote.Connect(t.Context(), target); !errors.Is(err, remote.ErrAuth) || !strings.Contains(err.Error(), "one of your own keys") {
		t.Errorf("with a stranger's key: %v", err)
	}
	target.Keys = func() ([]ssh.Signer, error) { return nil, errors.New("no agent") }
	if _, err := remote.Connect(t.Context(), target); !errors.Is(err, remote.ErrAuth) || !strings.Contains(err.Error(), "no agent") {
		t.Errorf("without keys: %v", err)
	}
}

func TestScanNobody(t *testing.T) {
	if _, err := remote.ScanHostKey(t.Context(), "127.0.0.1:1"); !errors.Is(err, remote.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
