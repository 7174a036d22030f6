package image_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image"
	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

// buildDeb makes a package with Debian's own tool.
func buildDeb(t *testing.T, dir, control string) string {
	t.Helper()
	tree := t.TempDir()
	if err := os.Mkdir(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN", "control"), []byte(control+"Maintainer: nobody <nobody@example.org>\nDescription: a test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	_, name, _ := strings.Cut(string(out), "in '")
	return strings.TrimSuffix(strings.TrimSpace(name), "'.")
}

func TestSnapshot(t *testing.T) {
	dir, s := t.TempDir(), image.Store{Dir: t.TempDir()}
	if _, err := s.MakeSnapshot(t.Context(), "fix", dir); err == nil || !strings.Contains(err.Error(), "no .deb files") {
		t.Errorf("an empty directory: %v", err)
	}
	buildDeb(t, dir, "Package: libfoo3\nVersion: 1:3.0.11-2~deb12u1\nArchitecture: all\nPre-Depends: libc6 (>= 2.36)\nDepends: libbar1 | libbar2 (>= 1), foo-common:any\n")
	buildDeb(t, dir, "Package: foo-common\nVersion: 2\nArchitecture: all\n")
	d, err := s.MakeSnapshot(t.Context(), "fix", dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.MakeSnapshot(t.Context(), "fix", dir); again != d || err != nil {
		t.Errorf("made again it is %s (%v), not %s", again, err, d)
	}
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(d, pub); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("before it is signed: %v", err)
	}
	if err := s.SignSnapshot(d, key); err != nil {
		t.Fatal(err)
	}
	got, err := s.ResolveSnapshot("fix")
	if err != nil || got != d {
		t.Fatalf("the name stands for %s (%v), not %s", got, err, d)
	}
	snap, err := s.Snapshot(d, pub)
	if err != nil {
		t.Fatal(err)
	}
	foo := snap.Debs[1]
	if len(snap.Debs) != 2 || foo.Name != "libfoo3" || foo.Version != "1:3.0.11-2~deb12u1" || foo.File() != "libfoo3_3.0.11-2~deb12u1_all.deb" {
		t.Errorf("it holds %+v", snap.Debs)
	}
	if needs := strings.Join(foo.Needs(), " "); needs != "libc6 libbar1 libbar2 foo-common" {
		t.Errorf("%s needs %s", foo.Name, needs)
	}
	if err := s.CheckDeb(foo); err != nil {
		t.Error(err)
	}
	stranger, _, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(d, stranger); !errors.Is(err, manifest.ErrSignature) {
		t.Errorf("with another key: %v", err)
	}
	if list, err := s.Snapshots(); err != nil || len(list) != 1 || list[0] != "fix" {
		t.Errorf("the list is %v (%v)", list, err)
	}
}

// TestSnapshotRefusals: what is no package, one package in two versions, a file that has changed, a manifest that is an image's.
func TestSnapshotRefusals(t *testing.T) {
	dir, s := t.TempDir(), image.Store{Dir: t.TempDir()}
	name := buildDeb(t, dir, "Package: foo\nVersion: 2\nArchitecture: all\n")
	d, err := s.MakeSnapshot(t.Context(), "fix", dir)
	if err != nil {
		t.Fatal(err)
	}
	buildDeb(t, dir, "Package: foo\nVersion: 3\nArchitecture: all\n")
	if err := os.WriteFile(filepath.Join(dir, "broken.deb"), []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = s.MakeSnapshot(t.Context(), "fix", dir)
	if err == nil || !strings.Contains(err.Error(), "both hold the package foo") || !strings.Contains(err.Error(), "broken.deb") {
		t.Errorf("two versions and a broken file: %v", err)
	}
	if again, _ := s.ResolveSnapshot("fix"); again != d {
		t.Error("a snapshot that was refused has taken the name")
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := filepath.Glob(filepath.Join(s.Dir, "debs", "*", "*"))
	if err != nil || len(stored) == 0 {
		t.Fatal(stored, err)
	}
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SignSnapshot(d, key); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(d, pub)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	for _, f := range stored {
		if err := os.WriteFile(f, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CheckDeb(snap.Debs[0]); !errors.Is(err, manifest.ErrChunk) {
		t.Errorf("a changed file: %v", err)
	}
	if _, err := s.Manifest(d); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("a snapshot as an image: %v", err)
	}
}
