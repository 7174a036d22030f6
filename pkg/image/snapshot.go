package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// A store keeps snapshots of packages beside its images:
//
//	snapshots/HEX.json    canonical bytes of a snapshot's manifest; its signature is in signatures/, as an image's
//	snapshot-refs/NAME    the digest that a name stands for now
//	debs/HH/HEX           packages

// MakeSnapshot keeps the .deb files of a directory in the store under a name and gives the digest of their manifest. Control data are read by dpkg-deb, which
// knows every compression that Debian has had. Files that are not packages, and packages that are there twice, are errors; all are reported.
func (s Store) MakeSnapshot(ctx context.Context, name, dir string) (model.Digest, error) {
	if !manifest.ValidName(name) {
		return "", fmt.Errorf("snapshot %q: not a name: write lower-case letters, digits, dot, plus, minus", name)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) == 0 {
		return "", errors.Join(err, fmt.Errorf("snapshot %s: there are no .deb files in %s: fetch them there, for example with apt-get download", name, dir))
	}
	snap := manifest.Snapshot{FormatVersion: manifest.FormatVersion, Kind: manifest.Packages, Name: name}
	from, errs := map[string]string{}, []error(nil)
	for _, f := range files {
		d, err := s.putDeb(ctx, f)
		if other := from[d.Name]; err == nil && other != "" {
			err = fmt.Errorf("%s and %s both hold the package %s: a snapshot has one version of each", other, f, d.Name)
		}
		if errs = append(errs, err); err == nil {
			from[d.Name] = f
			snap.Debs = append(snap.Debs, d)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	slices.SortFunc(snap.Debs, func(a, b manifest.Deb) int { return strings.Compare(a.Name, b.Name) })
	payload, err := snap.Encode()
	if err != nil {
		return "", err
	}
	d := manifest.Digest(payload)
	if err := put(s.path("snapshots", d.Hex()+".json"), payload); err != nil {
		return "", err
	}
	return d, put(s.path("snapshot-refs", name), []byte(d+"\n"))
}

// putDeb reads a package's control data and keeps its file by digest.
func (s Store) putDeb(ctx context.Context, name string) (manifest.Deb, error) {
	var d manifest.Deb
	f, err := os.Open(name)
	if err != nil {
		return d, err
	}
	defer f.Close()
	h := sha256.New()
	if d.Size, err = io.Copy(h, f); err != nil {
		return d, fmt.Errorf("package %s: %w", name, err)
	}
	d.Digest = model.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	if err := control(ctx, name, &d); err != nil {
		return d, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return d, fmt.Errorf("package %s: %w", name, err)
	}
	if err := putFrom(s.debPath(d.Digest), f); err != nil {
		return d, err
	}
	return d, s.CheckDeb(d) // the file may have changed while it was read
}

// controlFields are what is asked of a package, in this order.
var controlFields = []string{"Package", "Version", "Architecture", "Pre-Depends", "Depends"}

// control reads a package's control data.
func control(ctx context.Context, name string, d *manifest.Deb) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", append([]string{"--field", name}, controlFields...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("read package %s: %w; packages are read by Debian's own tool: apt-get install dpkg, or make the snapshot on a Debian machine and share the store (--images)", name, err)
	}
	if err != nil {
		return fmt.Errorf("read package %s: dpkg-deb: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	var needs []string
	for line := range strings.Lines(string(out)) {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch field {
		case "Package":
			d.Name = value
		case "Version":
			d.Version = value
		case "Architecture":
			d.Architecture = value
		case "Pre-Depends", "Depends":
			needs = append(needs, value)
		}
	}
	d.Depends = strings.Join(needs, ", ")
	return nil
}

func (s Store) debPath(d model.Digest) string { return s.path("debs", d.Hex()[:2], d.Hex()) }

// OpenDeb opens a package's file; its bytes are not compared with its digest.
func (s Store) OpenDeb(d manifest.Deb) (*os.File, error) {
	f, err := os.Open(s.debPath(d.Digest))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("package %s %s: %w", d.Name, d.Version, ErrNotFound)
	}
	return f, err
}

// CheckDeb reads a package's file and compares it with what the manifest says.
func (s Store) CheckDeb(d manifest.Deb) error {
	f, err := s.OpenDeb(d)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("package %s: %w", d.Name, err)
	}
	if got := model.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))); got != d.Digest || n != d.Size {
		return fmt.Errorf("package %s %s: %w: %d bytes with digest %s; make the snapshot again", d.Name, d.Version, manifest.ErrChunk, n, got.Short())
	}
	return nil
}

// ResolveSnapshot turns a snapshot's name into its digest.
func (s Store) ResolveSnapshot(name string) (model.Digest, error) {
	if !manifest.ValidName(name) {
		return "", fmt.Errorf("snapshot %q: not a name", name)
	}
	return s.digestIn("snapshot "+name, "snapshot-refs", name)
}

// snapshotPayload gives a snapshot's canonical bytes, compared with their digest.
func (s Store) snapshotPayload(d model.Digest) ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("snapshot %q: not a digest", d)
	}
	payload, err := s.get("snapshot "+d.Short(), "snapshots", d.Hex()+".json")
	if err == nil && manifest.Digest(payload) != d {
		err = fmt.Errorf("snapshot %s: %w: the manifest on disk has another digest; make it again", d.Short(), manifest.ErrMalformed)
	}
	return payload, err
}

// SignSnapshot signs a snapshot with the operator's key and keeps the signature.
func (s Store) SignSnapshot(d model.Digest, key minisign.PrivateKey) error {
	payload, err := s.snapshotPayload(d)
	if err != nil {
		return err
	}
	signed, err := manifest.SignSnapshot(payload, key)
	if err != nil {
		return err
	}
	return put(s.path("signatures", d.Hex()+".minisig"), []byte(signed.Signature))
}

// Snapshot gives a snapshot's manifest, verified with one of the keys before it is parsed.
func (s Store) Snapshot(d model.Digest, trusted ...minisign.PublicKey) (*manifest.Snapshot, error) {
	payload, err := s.snapshotPayload(d)
	if err != nil {
		return nil, err
	}
	signature, err := s.get("signature of snapshot "+d.Short(), "signatures", d.Hex()+".minisig")
	if err != nil {
		return nil, err
	}
	return manifest.OpenSnapshot(manifest.Signed{Payload: payload, Signature: string(signature)}, d, trusted...)
}

// Snapshots are the names of all snapshots, sorted.
func (s Store) Snapshots() ([]string, error) {
	refs, err := os.ReadDir(s.path("snapshot-refs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("image store %s: %w", s.Dir, err)
	}
	var out []string
	for _, r := range refs {
		if manifest.ValidName(r.Name()) {
			out = append(out, r.Name())
		}
	}
	return out, nil
}
