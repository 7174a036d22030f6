package plan_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/plan"
)

var signedAt = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func signingKey(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func signed(t *testing.T, key minisign.PrivateKey) (file, signature []byte) {
	t.Helper()
	file, err := plan.Encode(good())
	if err != nil {
		t.Fatal(err)
	}
	signature, _, err = plan.Sign(file, key, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	return file, signature
}

func TestSignature(t *testing.T) {
	public, private := signingKey(t)
	other, _ := signingKey(t)
	file, signature := signed(t, private)

	by, err := plan.CheckSignature(file, signature, []minisign.PublicKey{other, public})
	if err != nil || by.Key != public.String() || !strings.HasSuffix(by.Comment, "signed 2026-11-22T10:00:00Z") {
		t.Fatalf("a good signature: %+v, %v", by, err)
	}
	for name, c := range map[string]struct {
		file, signature []byte
		trusted         []minisign.PublicKey
		unknown         bool
	}{
		"changed plan":    {append(bytes.Clone(file), 0), signature, []minisign.PublicKey{public}, false},
		"changed comment": {file, bytes.Replace(signature, []byte("signed 2026"), []byte("signed 2027"), 1), []minisign.PublicKey{public}, false},
		"another's key":   {file, signature, []minisign.PublicKey{other}, true},
		"no key":          {file, signature, nil, true},
		"no signature":    {file, nil, []minisign.PublicKey{public}, false},
		"not a plan":      {[]byte("no plan"), signature, []minisign.PublicKey{public}, false},
	} {
		_, err := plan.CheckSignature(c.file, c.signature, c.trusted)
		if !errors.Is(err, plan.ErrSignature) || errors.Is(err, plan.ErrUnknownKey) != c.unknown || errors.Is(err, plan.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignRefusesWhatIsNoPlan(t *testing.T) {
	_, private := signingKey(t)
	if _, _, err := plan.Sign([]byte("no plan"), private, signedAt); !errors.Is(err, plan.ErrFormat) {
		t.Errorf("no plan: %v", err)
	}
	p := good()
	p.Stages[0].After = p.Stages[0].Before
	file, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := plan.Sign(file, private, signedAt); !errors.Is(err, plan.ErrInvalid) {
		t.Errorf("a plan that is not valid: %v", err)
	}
}

// TestSignaturePeer has Debian's minisign check our signature of a plan, and us check minisign's.
func TestSignaturePeer(t *testing.T) {
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
	public, private := signingKey(t)
	file, signature := signed(t, private)
	for name, content := range map[string][]byte{"a.plan": file, "a.plan.minisig": signature} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("-V", "-P", public.String(), "-m", "a.plan")

	run("-G", "-W", "-p", "peer.pub", "-s", "peer.key")
	run("-S", "-s", "peer.key", "-m", "a.plan", "-t", "reviewed by the peer")
	theirs, err := minisign.PublicKeyFromFile(filepath.Join(dir, "peer.pub"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err = os.ReadFile(filepath.Join(dir, "a.plan.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if by, err := plan.CheckSignature(file, signature, []minisign.PublicKey{theirs}); err != nil || by.Comment != "reviewed by the peer" {
		t.Errorf("minisign's signature: %+v, %v", by, err)
	}
}
