package inventory

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const storeJSON = `{"bmc": {"user": "admin", "password": "s3cr3t-marker"}}`

// sealed writes a store encrypted to a new identity, and returns the directory and the identity's file.
func sealed(t *testing.T, armored bool) (dir, identity string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	out := armor.NewWriter(&b)
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	if armored {
		w, err = age.Encrypt(out, id.Recipient())
	} else {
		w, err = age.Encrypt(&b, id.Recipient())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(storeJSON)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if armored {
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	identity = filepath.Join(dir, "identity.txt")
	write(t, identity, id.String()+"\n")
	write(t, filepath.Join(dir, "secrets.age"), b.String())
	return dir, identity
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsAge(t *testing.T) {
	for _, armored := range []bool{false, true} {
		dir, identity := sealed(t, armored)
		r, err := OpenSecrets(dir, SecretsSpec{Age: "secrets.age"}, identity)
		if err != nil {
			t.Fatal(err)
		}
		if u, p, err := r.Resolve("bmc"); err != nil || u != "admin" || p != "s3cr3t-marker" {
			t.Errorf("armored %v: %q %v", armored, u, err)
		}
		if _, _, err := r.Resolve("nobody"); err == nil || strings.Contains(err.Error(), "marker") {
			t.Errorf("unknown name: %v", err)
		}
	}
}

func TestSecretsRefused(t *testing.T) {
	dir, _ := sealed(t, false)
	_, other := sealed(t, false)
	write(t, filepath.Join(dir, "passwords.json"), storeJSON)
	write(t, filepath.Join(dir, "x.dev-cleartext.json"), `{"bmc": "s3cr3t-marker"}`)
	for name, spec := range map[string]SecretsSpec{
		"another identity":    {Age: "secrets.age", Identity: other},
		"no identity":         {Age: "secrets.age"},
		"clear text, unnamed": {Cleartext: "passwords.json"},
		"broken":              {Cleartext: "x.dev-cleartext.json"},
		"nothing":             {},
	} {
		if _, err := OpenSecrets(dir, spec, ""); err == nil || strings.Contains(err.Error(), "marker") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A secret reference gets nowhere but where a driver resolves it, whatever an author tries.
func TestSecretsDoNotLeak(t *testing.T) {
	for name, text := range map[string]string{
		"template":  "\"x${secret(\"bmc\")}\"",
		"format":    `format("%s", secret("bmc"))`,
		"json":      `jsonencode(secret("bmc"))`,
		"tostring":  `tostring(secret("bmc"))`,
		"attribute": `secret("bmc")`,
		"file":      `file("secrets.dev-cleartext.json")`,
		"join":      `join("", [secret("bmc")])`,
		"key":       `file("key.pem")`,
	} {
		files := map[string][]byte{
			"x.hcl":                      []byte("cloud \"x\" {\n  domain = \"x.test\"\n  release = " + text + "\n}\n"),
			"secrets.dev-cleartext.json": []byte(storeJSON),
			"key.pem":                    []byte("-----BEGIN PRIVATE KEY-----\ns3cr3t-marker\n"),
		}
		inv, diags := LoadFiles(files, Options{})
		if !diags.HasErrors() {
			t.Errorf("%s: accepted, release is %q", name, inv.Desired.Cloud.Release)
		}
		for _, d := range diags {
			if strings.Contains(d.String(), "marker") {
				t.Errorf("%s: %s", name, d)
			}
		}
		for f, b := range inv.Files {
			if strings.Contains(string(b), "marker") && f != "key.pem" {
				t.Errorf("%s: %s is among the sources", name, f)
			}
		}
	}
}
