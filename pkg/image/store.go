package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// Store keeps images in a directory, everything by its digest:
//
//	manifests/HEX.json    canonical bytes of a manifest
//	signatures/HEX.minisig
//	chunks/HH/HEX         compressed chunks
//	files/HEX             files taken out of images, for booting
//	refs/NAME             the digest that a name stands for now
//	built/HEX             inputs to the digest that came of them
//	cache/                apt lists and packages, removable at any time
//
// Files appear whole or not at all. Several programs may read while one writes.
type Store struct {
	Dir string
}

// ErrNotFound says that the store does not hold what was asked for.
var ErrNotFound = errors.New("not in the image store")

func (s Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// CacheDir is where builds keep apt's lists and packages.
func (s Store) CacheDir() string { return s.path("cache") }

// put keeps a small file.
func put(at string, content []byte) error { return putFrom(at, bytes.NewReader(content)) }

// putFrom writes a file under a temporary name, syncs it and renames it: it appears whole or not at all.
func putFrom(at string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(at), ".new-*")
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	_, err = io.Copy(temp, content)
	if err == nil {
		err = temp.Chmod(0o644)
	}
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), at)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(temp.Name())
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("image store: the disk that holds %s is full; free some space and run again, nothing that was stored is lost: %w", filepath.Dir(at), err)
	}
	return fmt.Errorf("image store: write %s: %w", at, err)
}

// get reads one file of the store; a missing one is ErrNotFound.
func (s Store) get(what string, parts ...string) ([]byte, error) {
	content, err := os.ReadFile(s.path(parts...))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", what, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("image store: %s: %w", what, err)
	}
	return content, nil
}

// PutManifest keeps a manifest and gives its digest.
func (s Store) PutManifest(m *manifest.Manifest) (model.Digest, error) {
	payload, err := m.Encode()
	if err != nil {
		return "", err
	}
	d := manifest.Digest(payload)
	return d, put(s.path("manifests", d.Hex()+".json"), payload)
}

// payload gives a manifest's canonical bytes, compared with their digest.
func (s Store) payload(d model.Digest) ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("image %q: not a digest", d)
	}
	payload, err := s.get("image "+d.Short(), "manifests", d.Hex()+".json")
	if err == nil && manifest.Digest(payload) != d {
		err = fmt.Errorf("image %s: %w: the manifest on disk has another digest; build or fetch it again", d.Short(), manifest.ErrMalformed)
	}
	return payload, err
}

// Manifest gives the manifest with that digest. It is the caller who decides whether a signature is wanted: see Signed.
func (s Store) Manifest(d model.Digest) (*manifest.Manifest, error) {
	payload, err := s.payload(d)
	if err != nil {
		return nil, err
	}
	return manifest.Parse(payload)
}

// Signed gives the manifest with its signature, as it is sent to blades. An unsigned image is ErrNotFound.
func (s Store) Signed(d model.Digest) (manifest.Signed, error) {
	payload, err := s.payload(d)
	if err != nil {
		return manifest.Signed{}, err
	}
	signature, err := s.get("signature of image "+d.Short(), "signatures", d.Hex()+".minisig")
	return manifest.Signed{Payload: payload, Signature: string(signature)}, err
}

// PutSigned keeps a signed manifest that came from elsewhere, after verifying it.
func (s Store) PutSigned(signed manifest.Signed, trusted ...minisign.PublicKey) (model.Digest, error) {
	if _, err := manifest.Open(signed, "", trusted...); err != nil {
		return "", err
	}
	d := manifest.Digest(signed.Payload)
	if err := put(s.path("manifests", d.Hex()+".json"), signed.Payload); err != nil {
		return "", err
	}
	return d, put(s.path("signatures", d.Hex()+".minisig"), []byte(signed.Signature))
}

// Sign signs an image with the operator's key and keeps the signature.
func (s Store) Sign(d model.Digest, key minisign.PrivateKey) error {
	payload, err := s.payload(d)
	if err != nil {
		return err
	}
	signed, err := manifest.Sign(payload, key)
	if err != nil {
		return err
	}
	return put(s.path("signatures", d.Hex()+".minisig"), []byte(signed.Signature))
}

// SetRef makes a name stand for an image.
func (s Store) SetRef(name string, d model.Digest) error {
	if !manifest.ValidName(name) || !d.Valid() {
		return fmt.Errorf("image store: name %q for %q: not a name or not a digest", name, d)
	}
	return put(s.path("refs", name), []byte(d+"\n"))
}

// Resolve turns a name or a digest into a digest.
func (s Store) Resolve(ref string) (model.Digest, error) {
	if d := model.Digest(ref); d.Valid() {
		return d, nil
	}
	if !manifest.ValidName(ref) {
		return "", fmt.Errorf("image %q: neither a name nor a digest", ref)
	}
	return s.digestIn("image "+ref, "refs", ref)
}

func (s Store) digestIn(what string, parts ...string) (model.Digest, error) {
	content, err := s.get(what, parts...)
	if err != nil {
		return "", err
	}
	d := model.Digest(strings.TrimSpace(string(content)))
	if !d.Valid() {
		return "", fmt.Errorf("image store: %s: %q is not a digest", what, d)
	}
	return d, nil
}
