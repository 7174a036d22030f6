package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/nuboctl/nuboctl/pkg/adopt"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSeeds: hosts from the command line and a file, by the keys that a known_hosts file has for them.
func TestSeeds(t *testing.T) {
	_, first, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	known := write(t, "known_hosts", "192.0.2.1 "+first+"\n@cert-authority 192.0.2.2 "+first+"\n192.0.2.2 "+second+"\n@cert-authority 192.0.2.3 "+first+"\n")
	hosts := write(t, "hosts", "# two hosts\n192.0.2.2,ipmi://203.0.113.2\n")
	o := AdoptOptions{Hosts: []string{"192.0.2.1"}, HostsFile: hosts, KnownHosts: []string{known}}
	got, err := Env{In: strings.NewReader("")}.seeds(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []adopt.Seed{{Address: netip.MustParseAddr("192.0.2.1"), HostKeys: []string{first}}, {Address: netip.MustParseAddr("192.0.2.2"), HostKeys: []string{second}, BMC: "ipmi://203.0.113.2"}}
	if !slices.EqualFunc(got, want, func(a, b adopt.Seed) bool {
		return a.Address == b.Address && a.BMC == b.BMC && slices.Equal(a.HostKeys, b.HostKeys)
	}) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	o.Hosts = []string{"192.0.2.3", "192.0.2.2"}
	if _, err := (Env{In: strings.NewReader("")}).seeds(t.Context(), o); err == nil || !strings.Contains(err.Error(), "192.0.2.3: its host key is not known") || !strings.Contains(err.Error(), "is the same host") {
		t.Errorf("got %v", err)
	}
}

// TestOperatorKeys: the file goes before the agent, and what is missing is named.
func TestOperatorKeys(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv(operatorKeyFile, "")
	if _, err := operatorKeys(); err == nil || !strings.Contains(err.Error(), operatorKeyFile) {
		t.Errorf("with neither: %v", err)
	}
	ring := agent.NewKeyring()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }() // ends with the connection
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
	if _, err := operatorKeys(); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("with an empty agent: %v", err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	fromAgent := fingerprint(t)
	text, public, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(operatorKeyFile, write(t, "key", string(text)))
	if fromFile := fingerprint(t); fromFile == fromAgent || !strings.HasPrefix(public, fromFile) {
		t.Errorf("the file's key is %s", fromFile)
	}
	t.Setenv(operatorKeyFile, write(t, "key", "no key"))
	if _, err := operatorKeys(); err == nil {
		t.Error("what is no key was taken as one")
	}
}

// TestOperatorCertificate: a certificate beside the key goes first, the key itself after it, and one that is of another key is an error.
func TestOperatorCertificate(t *testing.T) {
	text, public, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	ca, _, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := remote.ParseKey(ca)
	if err != nil {
		t.Fatal(err)
	}
	beside := func(of string) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(of))
		if err != nil {
			t.Fatal(err)
		}
		c := &ssh.Certificate{Key: key, CertType: ssh.UserCert, KeyId: "ann", ValidPrincipals: []string{"root"}, ValidBefore: ssh.CertTimeInfinity}
		if err := c.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(os.Getenv(operatorKeyFile)+"-cert.pub", ssh.MarshalAuthorizedKey(c), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(operatorKeyFile, write(t, "key", string(text)))
	beside(public)
	signers, err := operatorKeys()
	if err != nil || len(signers) != 2 {
		t.Fatalf("%d keys, %v", len(signers), err)
	}
	if kind := signers[0].PublicKey().Type(); kind != ssh.CertAlgoED25519v01 {
		t.Errorf("first comes a %s", kind)
	}
	if got := remote.AuthorizedKey(signers[1].PublicKey()); !strings.HasPrefix(public, got) {
		t.Errorf("then comes %s", got)
	}
	_, other, err := remote.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	beside(other)
	if _, err := operatorKeys(); err == nil || !strings.Contains(err.Error(), "-cert.pub") {
		t.Errorf("a certificate of another key: %v", err)
	}
}

func fingerprint(t *testing.T) string {
	t.Helper()
	signers, err := operatorKeys()
	if err != nil || len(signers) != 1 {
		t.Fatalf("%d keys, %v", len(signers), err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signers[0].PublicKey())))
}
