package image

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func plant(t *testing.T, files map[string]string) tree {
	t.Helper()
	tr := tree{root: filepath.Join(t.TempDir(), "root"), kernel: "6.1"}
	if err := os.MkdirAll(tr.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, tr.at(name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := tr.write(OverlayFile{Path: name, Mode: 0o644, Content: content}); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// entries reads an archive back: NAME or NAME=CONTENT, each with its mode.
func entries(t *testing.T, archive []byte) []string {
	t.Helper()
	var out []string
	for r := cpio.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Guid != 0 || !h.ModTime.IsZero() && h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d:%d, time %s", h.Name, h.Uid, h.Guid, h.ModTime)
		}
		out = append(out, h.Mode.String()+" "+h.Name+"="+string(content)+h.Linkname)
	}
}

func TestCPIO(t *testing.T) {
	tr := plant(t, map[string]string{"/b/two": "2", "/a": "one", "/bin": "-> usr/bin"})
	var first, second bytes.Buffer
	if err := writeCPIO(&first, tr.root); err != nil {
		t.Fatal(err)
	}
	want := []string{"0100644 a=one", "040755 b=", "0100644 b/two=2", "0120777 bin=usr/bin"}
	if diff := cmp.Diff(want, entries(t, first.Bytes())); diff != "" {
		t.Error(diff)
	}
	if err := os.Chtimes(tr.at("/a"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := writeCPIO(&second, tr.root); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the same tree gave other bytes (%v)", err)
	}
	peer := exec.Command("cpio", "--list", "--quiet")
	peer.Stdin = bytes.NewReader(first.Bytes())
	if out, err := peer.CombinedOutput(); err != nil || string(out) != "a\nb\nb/two\nbin\n" {
		t.Errorf("Debian's cpio reads %q: %v", out, err)
	}
}

// TestAssembledRamdiskUnpacksToBothParts does what the kernel does: it reads one frame, passes over zeros, reads the next.
func TestAssembledRamdiskUnpacksToBothParts(t *testing.T) {
	tr := plant(t, map[string]string{"/init": "#!/bin/sh\n"})
	var archive bytes.Buffer
	if err := writeCPIO(&archive, tr.root); err != nil {
		t.Fatal(err)
	}
	base, err := squeeze(&archive)
	if err != nil {
		t.Fatal(err)
	}
	base = base[:len(base):len(base)]
	dir := t.TempDir()
	for name, content := range map[string][]byte{"base": base, "agent": []byte("\x7fELF agent")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := AssembleRamdisk(filepath.Join(dir, "base"), filepath.Join(dir, "agent"), []byte("key\n"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := AssembleRamdisk(filepath.Join(dir, "base"), filepath.Join(dir, "agent"), []byte("key\n"))
	if err != nil || !bytes.Equal(whole, again) {
		t.Errorf("the same parts gave other bytes (%v)", err)
	}
	added := bytes.TrimLeft(whole[len(base):], "\x00")
	if (len(whole)-len(added))%4 != 0 || !bytes.HasPrefix(whole, base) {
		t.Errorf("the second archive begins at %d", len(whole)-len(added))
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	plain, err := decoder.DecodeAll(added, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"040755 etc/nubo=", "0100644 etc/nubo/trust.pub=key\n", "0100755 usr/bin/nubo-agent=\x7fELF agent"}
	if diff := cmp.Diff(want, entries(t, plain)); diff != "" {
		t.Error(diff)
	}
	if _, err := AssembleRamdisk(filepath.Join(dir, "absent"), filepath.Join(dir, "agent"), nil); err == nil {
		t.Error("a base that is not there was assembled")
	}
}

func TestKeepOnlyAndRemove(t *testing.T) {
	tr := plant(t, map[string]string{"/usr/bin/busybox": "b", "/usr/bin/other": "o", "/etc/a/b": "x", "/bin": "-> usr/bin", "/usr/lib/modules/6.1/m": "m", "/var/x": "x"})
	if err := tr.remove([]string{"/var/*", "/absent"}); err != nil {
		t.Fatal(err)
	}
	if err := tr.keepOnly([]string{"/usr/bin/busybox", "/bin", "/usr/lib/modules/6.1", "/proc"}); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := writeCPIO(&archive, tr.root); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries(t, archive.Bytes()) {
		_, name, _ := strings.Cut(e, " ")
		names = append(names, name)
	}
	want := []string{"bin=usr/bin", "usr=", "usr/bin=", "usr/bin/busybox=b", "usr/lib=", "usr/lib/modules=", "usr/lib/modules/6.1=", "usr/lib/modules/6.1/m=m"}
	if !slices.Equal(names, want) {
		t.Errorf("left: %q", names)
	}
}
