package remote

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestUserCertificate(t *testing.T) {
	caPrivate, _, err := NewKey("ca")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := NewAuthority(caPrivate)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cert, err := ca.UserCertificate(ca.PublicKey(), "anna: apply", []string{"root"}, now, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Unix(int64(cert.ValidBefore), 0).Sub(now); got != 10*time.Minute {
		t.Errorf("valid for %v", got)
	}
	if cert.ValidAfter >= uint64(now.Unix()) || len(cert.CriticalOptions) != 0 || cert.KeyId != "anna: apply" {
		t.Errorf("certificate is %+v", cert)
	}
	for name, bad := range map[string]func() error{
		"no principal": func() error { _, err := ca.UserCertificate(ca.PublicKey(), "x", nil, now, time.Minute); return err },
		"no time":      func() error { _, err := ca.UserCertificate(ca.PublicKey(), "x", []string{"root"}, now, 0); return err },
		"for ever": func() error {
			_, err := ca.UserCertificate(ca.PublicKey(), "x", []string{"root"}, now, 1000*time.Hour)
			return err
		},
		"not a key": func() error { _, err := NewAuthority([]byte("secret stuff")); return err },
	} {
		if err := bad(); err == nil || strings.Contains(err.Error(), "secret stuff") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestKnownHosts(t *testing.T) {
	_, public, err := NewKey("a comment")
	if err != nil {
		t.Fatal(err)
	}
	k := KnownHosts{"good": {public}, "none": {}, "bad": {"not a key"}, "two": {public + "\n" + public}}
	if keys, err := k.Keys("good"); err != nil || len(keys) != 1 {
		t.Errorf("got %v, %v", keys, err)
	}
	for _, host := range []string{"none", "bad", "missing", "two"} {
		if _, err := k.Keys(host); !errors.Is(err, ErrHostKey) {
			t.Errorf("%s: got %v, want ErrHostKey", host, err)
		}
	}
	delete(k, "none")
	if _, err := k.OpenSSH(nil); !errors.Is(err, ErrHostKey) {
		t.Errorf("bad keys gave a file: %v", err)
	}
}
