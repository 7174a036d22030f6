package remote

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if that is meant:\n%s", file, diff)
	}
}

func TestCommandLines(t *testing.T) {
	file := Bytes("/etc/nubo/it's.conf", 0o640, []byte("x\n"))
	file.Owner, file.Sudo = "root:adm", true
	write, err := file.command()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range []Command{
		{Argv: []string{"true"}},
		{Argv: []string{"echo", "", "a b", "it's", "$HOME", "x=1", "~", "/path-1.2_3:4,5@6%7+8"}},
		{Argv: []string{"systemctl", "reboot"}, Sudo: true},
		{Argv: []string{"sleep", "5"}, Limit: 1500 * time.Millisecond},
		{Argv: []string{"sleep", "5"}, Limit: time.Minute, Sudo: true},
		{Script: "cd /tmp\nls | wc -l"},
		{Script: "id", Sudo: true},
		write,
	} {
		line, err := c.Line()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	golden(t, "command-lines.txt", b.String())
}

func TestMalformedCommands(t *testing.T) {
	for _, c := range []Command{{}, {Argv: []string{""}}, {Argv: []string{"a"}, Script: "b"}, {Argv: []string{"a", "b\x00"}}} {
		if line, err := c.Line(); err == nil {
			t.Errorf("%#v gave %q", c, line)
		}
		if c.String() == "" {
			t.Errorf("%#v has no text", c)
		}
	}
}

// TestQuoteProperty: every shell gives back exactly the words.
func TestQuoteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[^\x00]*`), 1, 5).Draw(t, "words")
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+QuoteAll(words)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := []byte(strings.Join(words, "\x00") + "\x00"); !bytes.Equal(out, want) {
			t.Fatalf("got %q, want %q", out, want)
		}
	})
}

func TestRedact(t *testing.T) {
	pem := "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----"
	for in, want := range map[string]string{
		"nothing to see":                              "nothing to see",
		"before " + pem + " after":                    "before " + Redacted + " after",
		"-----BEGIN PRIVATE KEY-----\ncut":            Redacted,
		"key = AQBzxkJlAAAAABAAqvVSJVKyKkfsjHgKHQ==x": "key = AQBzxkJlAAAAABAAqvVSJVKyKkfsjHgKHQ==x",
		"AQ" + strings.Repeat("a", 36) + "==":         Redacted,
		"password=hunter2 user=x":                     "password=" + Redacted + " user=x",
		`Token: "a b"`:                                "Token: " + Redacted,
		"one two":                                     Redacted + " " + Redacted,
		"onetwo":                                      Redacted,
	} {
		if got := Redact(in, "one", "two", "onetwo", ""); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRedactProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9]{12,20}`).Draw(t, "secret")
		text := rapid.String().Draw(t, "before") + secret + rapid.String().Draw(t, "after")
		if strings.Contains(Redact(text, secret), secret) {
			t.Fatalf("%q is still in it", secret)
		}
	})
}
