package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/pki"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	text, err := pki.New(name, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func subject() pki.Subject {
	return pki.Subject{Name: "blade-01", Addresses: []netip.Addr{netip.MustParseAddr("10.77.2.11")}}
}

// TestEnsure certifies with the openssl of a real host's shell, and lets openssl judge the result.
func TestEnsure(t *testing.T) {
	ctx, dir, h := t.Context(), t.TempDir(), remote.Local{}
	p := pki.Place{CA: dir + "/ca/ca.pem", Cert: dir + "/cert.pem", Key: dir + "/private/key.pem", Links: map[string]string{dir + "/client/cert.pem": "../cert.pem"}}
	a, who := authority(t, "one"), subject()
	if err := a.Observe(ctx, h, p, who, now); !errors.Is(err, pki.ErrUncertified) {
		t.Fatalf("got %v, want ErrUncertified", err)
	}
	ensure := func(a *pki.Authority, who pki.Subject, at time.Time, want bool) {
		t.Helper()
		if changed, err := a.Ensure(ctx, h, p, who, at); err != nil || changed != want {
			t.Fatalf("changed %v, %v, want %v", changed, err, want)
		}
	}
	ensure(a, who, now, true)
	ensure(a, who, now, false)
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"openssl", "verify", "-attime", "1793620800", "-CAfile", p.CA, "-purpose", "sslserver", "-verify_ip", "10.77.2.11", p.Cert}}); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(p.Key); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("the key: %v, %v", st, err)
	}
	if same, err := os.ReadFile(dir + "/client/cert.pem"); err != nil || len(same) == 0 {
		t.Errorf("the link: %v", err)
	}
	if left, _ := filepath.Glob(dir + "/*.new"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Run("near its end", func(t *testing.T) {
		late := now.Add(pki.HostLife * 3 / 4)
		ensure(a, who, late, true)
		ensure(a, who, late, false)
	})
	t.Run("another address", func(t *testing.T) {
		who.Addresses = []netip.Addr{netip.MustParseAddr("10.77.2.12")}
		ensure(a, who, now, true)
	})
	t.Run("another authority", func(t *testing.T) {
		b := authority(t, "two")
		ensure(b, who, now, true)
		if err := a.Observe(ctx, h, p, who, now); !errors.Is(err, pki.ErrUncertified) {
			t.Errorf("the first authority says %v", err)
		}
		ensure(a, who, now, true)
	})
	t.Run("another key, by hand", func(t *testing.T) {
		if _, err := h.Run(ctx, remote.Command{Argv: []string{"openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", p.Key}}); err != nil {
			t.Fatal(err)
		}
		ensure(a, who, now, true)
	})
}

// TestSignTakesNothingFromTheRequest: names in a request are the host's wish only.
func TestSignTakesNothingFromTheRequest(t *testing.T) {
	res, err := remote.Local{}.Run(t.Context(), remote.Command{Script: `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null \
 -subj /CN=evil -addext subjectAltName=DNS:evil -addext basicConstraints=CA:TRUE 2>/dev/null`})
	if err != nil {
		t.Fatal(err)
	}
	text, err := authority(t, "one").Sign(res.Stdout, subject(), now)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.IsCA || cert.Subject.CommonName != "blade-01" || len(cert.DNSNames) != 1 || cert.DNSNames[0] != "blade-01" {
		t.Errorf("%v, CA %v, for %s %v", err, cert.IsCA, cert.Subject, cert.DNSNames)
	}
	for _, bad := range []string{"", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", strings.Replace(string(res.Stdout), "M", "N", 9)} {
		if _, err := authority(t, "one").Sign([]byte(bad), subject(), now); err == nil {
			t.Errorf("signed %.60q", bad)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	one, err := pki.New("one", now)
	if err != nil {
		t.Fatal(err)
	}
	two, err := pki.New("two", now)
	if err != nil {
		t.Fatal(err)
	}
	_, certOfTwo, _ := strings.Cut(string(two), "-----END PRIVATE KEY-----\n")
	keyOfOne, _, _ := strings.Cut(string(one), "-----BEGIN CERTIFICATE")
	for _, text := range []string{"", keyOfOne, certOfTwo, keyOfOne + certOfTwo} {
		if _, err := pki.Parse([]byte(text)); err == nil {
			t.Errorf("took %.40q…", text)
		}
	}
}
