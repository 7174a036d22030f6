package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "phrase")
	if err := os.WriteFile(file, []byte("correct horse\r\nbattery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, in, want, fault string }{
		{"-", "correct horse\n", "correct horse", ""},
		{"-", "no line end", "no line end", ""},
		{file, "", "correct horse", ""},
		{file + ".none", "", "", "no such file"},
		{"", "never read\n", "", "nobody is there to type it"},
	} {
		var asked bytes.Buffer
		e := Env{In: strings.NewReader(c.in), Err: &asked}
		got, err := e.passphrase(context.Background(), "op.key", c.from)
		if got != c.want || (err == nil) != (c.fault == "") || (err != nil && !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("from %q: %q, %v", c.from, got, err)
		}
		if asked.Len() > 0 {
			t.Errorf("from %q: asked %q, with nobody there", c.from, &asked)
		}
	}
}
