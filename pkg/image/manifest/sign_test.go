package manifest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/model"
)

func newKey(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func TestOpenVerifiesBeforeItParses(t *testing.T) {
	public, private := newKey(t)
	other, _ := newKey(t)
	payload := encode(t, sample(t, &shelf{}, []byte("x")))
	signed, err := Sign(payload, private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(signed, Digest(payload), other, public); err != nil {
		t.Errorf("good signature: %v", err)
	}
	tampered := signed
	tampered.Payload = []byte(strings.Replace(string(payload), "debian-13", "debian-14", 1))
	notJSON := signed
	notJSON.Payload = []byte("{")
	for name, s := range map[string]Signed{"tampered": tampered, "not JSON": notJSON, "no signature": {Payload: payload}} {
		if _, err := Open(s, "", public); !errors.Is(err, ErrSignature) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Open(signed, "", other); !errors.Is(err, ErrSignature) {
		t.Errorf("untrusted key: got %v", err)
	}
	if _, err := Open(signed, ""); !errors.Is(err, ErrSignature) {
		t.Errorf("no key: got %v", err)
	}
	if _, err := Open(signed, model.DigestBytes([]byte("another")), public); !errors.Is(err, ErrMalformed) {
		t.Errorf("another image than asked for: got %v", err)
	}
}

func TestSignRefusesWhatItCannotRead(t *testing.T) {
	_, private := newKey(t)
	if _, err := Sign([]byte(`{"format_version":1}`), private); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestEnvelope(t *testing.T) {
	_, private := newKey(t)
	signed, err := Sign(encode(t, sample(t, &shelf{}, []byte("x"))), private)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSigned(wire)
	if err != nil || string(back.Payload) != string(signed.Payload) || back.Signature != signed.Signature {
		t.Errorf("envelope changed: %v", err)
	}
	if _, err := DecodeSigned([]byte("[]")); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestMinisignPeer has Debian's minisign check our signature, and us check minisign's.
func TestMinisignPeer(t *testing.T) {
	peer, err := exec.LookPath("minisign")
	if err != nil {
		t.Fatal("minisign is not installed; e2e/host-packages installs it")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(peer, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	payload := encode(t, sample(t, &shelf{}, []byte("peer")))
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("manifest.json", string(payload))

	public, private := newKey(t)
	signed, err := Sign(payload, private)
	if err != nil {
		t.Fatal(err)
	}
	write("ours.minisig", signed.Signature)
	run("-V", "-P", public.String(), "-m", "manifest.json", "-x", "ours.minisig")

	run("-G", "-W", "-p", "peer.pub", "-s", "peer.key")
	run("-S", "-s", "peer.key", "-m", "manifest.json", "-x", "theirs.minisig")
	theirs, err := minisign.PublicKeyFromFile(filepath.Join(dir, "peer.pub"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(dir, "theirs.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Signed{Payload: payload, Signature: string(signature)}, Digest(payload), theirs); err != nil {
		t.Errorf("minisign's signature: %v", err)
	}
}
