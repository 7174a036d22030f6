//go:build e2e && e2elong

package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

// debName is what apt calls a package's file in its cache.
func debName(p manifest.Package) string {
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"), p.Architecture)
}

// mirror makes a Debian archive in dir that holds the packages and no other, from the files that building the image has left in cache.
func mirror(ctx context.Context, dir, cache, release string, packages []manifest.Package) error {
	pool, index := filepath.Join(dir, "pool"), filepath.Join(dir, "dists", release, "main", "binary-amd64")
	for _, d := range []string{pool, index} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	var list bytes.Buffer
	for _, p := range packages {
		from := filepath.Join(cache, debName(p))
		// Names without % and +, which servers and clients quote each in their own way.
		name := fmt.Sprintf("%s_%x.deb", p.Name, sha256.Sum256([]byte(debName(p))))
		if err := place(from, filepath.Join(pool, name)); err != nil {
			return fmt.Errorf("package %s %s: %w; build the image anew to fetch it: nuboctl image build --force", p.Name, p.Version, err)
		}
		if err := stanza(ctx, &list, from, "pool/"+name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(index, "Packages"), list.Bytes(), 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf("Origin: peer\nLabel: peer\nSuite: %[1]s\nCodename: %[1]s\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\nComponents: main\n"+
		"SHA256:\n %x %d main/binary-amd64/Packages\n", release, sha256.Sum256(list.Bytes()), list.Len())
	return os.WriteFile(filepath.Join(dir, "dists", release, "Release"), []byte(text), 0o644)
}

// place links a file, or copies it where the file systems differ.
func place(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// stanza writes a package's entry of a Packages file: its own control file, and where it lies.
func stanza(ctx context.Context, w io.Writer, deb, name string) error {
	control, err := exec.CommandContext(ctx, "dpkg-deb", "--field", deb).Output()
	if err != nil {
		return fmt.Errorf("dpkg-deb --field %s: %w", deb, err)
	}
	f, err := os.Open(deb)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\nFilename: %s\nSize: %d\nSHA256: %x\n\n", bytes.TrimSpace(control), name, size, h.Sum(nil))
	return err
}
