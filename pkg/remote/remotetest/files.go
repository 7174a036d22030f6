package remotetest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

func testWrite(t *testing.T, h remote.Host) {
	name := filepath.Join(t.TempDir(), "it's a file")
	for _, content := range []string{"first\n", "", strings.Repeat("long\n", 1<<17)} {
		f := remote.Bytes(name, 0o640, []byte(content))
		if err := h.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != content {
			t.Fatalf("%d bytes written, %d found: %v", len(content), len(got), err)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	onlyFile(t, name)
	got, err := remote.ReadFile(t.Context(), h, name)
	if err != nil || len(got) != 5<<17 {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	if _, err := remote.ReadFile(t.Context(), h, name+".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// onlyFile proves that no temporary file was left behind.
func onlyFile(t *testing.T, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("directory has %d entries, want 1: %v, %v", len(entries), entries, err)
	}
}

// shrinking gives less on its second reading, as a connection does that breaks.
type shrinking struct {
	*bytes.Reader
	seeks int
}

func (s *shrinking) Seek(offset int64, whence int) (int64, error) {
	if s.seeks++; s.seeks == 2 {
		s.Reader = bytes.NewReader([]byte("new con"))
	}
	return s.Reader.Seek(offset, whence)
}

func testWriteCutShort(t *testing.T, h remote.Host) {
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, 0o600, "old content")
	err := h.Write(t.Context(), remote.File{Path: name, Content: &shrinking{Reader: bytes.NewReader([]byte("new content"))}})
	if code, ok := remote.ExitCode(err); !ok || code != 74 {
		t.Errorf("got %v, want exit status 74", err)
	}
	if got, _ := os.ReadFile(name); string(got) != "old content" {
		t.Errorf("the file now holds %q", got)
	}
	onlyFile(t, name)
}

func testWriteNowhere(t *testing.T, h remote.Host) {
	dir := t.TempDir()
	for _, name := range []string{"relative", "/", "", dir + "/../x", dir + "/missing/file"} {
		if err := h.Write(t.Context(), remote.Bytes(name, 0, nil)); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if err := h.Write(t.Context(), remote.Bytes(dir+"/x", fs.ModeSetuid|0o755, nil)); err == nil {
		t.Error("a setuid bit was accepted")
	}
	if err := h.Write(t.Context(), remote.File{Path: dir + "/x"}); err == nil {
		t.Error("a file without content was accepted")
	}
}

func testEnsure(t *testing.T, h remote.Host) {
	name := filepath.Join(t.TempDir(), "file")
	for i, step := range []struct {
		content string
		mode    fs.FileMode
		changed bool
	}{{"a", 0o600, true}, {"a", 0o600, false}, {"a", 0o644, true}, {"b", 0o644, true}, {"b", 0, false}} {
		changed, err := remote.Ensure(t.Context(), h, remote.Bytes(name, step.mode, []byte(step.content)))
		if err != nil || changed != step.changed {
			t.Errorf("step %d: changed %v, want %v: %v", i, changed, step.changed, err)
		}
	}
}
