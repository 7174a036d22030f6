package image

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// Entry is one image of a store, as a list shows it.
type Entry struct {
	Names      []string      `json:"names"` // refs that stand for it; none for a superseded image
	Digest     model.Digest  `json:"digest"`
	Kind       manifest.Kind `json:"kind"`
	Release    string        `json:"release"`
	Version    string        `json:"version"`
	Kernel     string        `json:"kernel_version"`
	Packages   int           `json:"packages"`
	Size       int64         `json:"size"`       // bytes, uncompressed
	Compressed int64         `json:"compressed"` // bytes, as stored and sent
	Signed     bool          `json:"signed"`     // by one of the keys that were passed
	Fault      string        `json:"fault,omitempty"`
}

// List gives every image of the store, those with names first, then by digest. An image that cannot be read is listed with its fault.
func (s Store) List(trusted ...minisign.PublicKey) ([]Entry, error) {
	files, err := os.ReadDir(s.path("manifests"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("image store %s: %w", s.Dir, err)
	}
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, f := range files {
		hex, ok := strings.CutSuffix(f.Name(), ".json")
		if d := model.Digest("sha256:" + hex); ok && d.Valid() {
			out = append(out, s.entry(d, names[d], trusted))
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		if (len(a.Names) > 0) != (len(b.Names) > 0) {
			return len(b.Names) - len(a.Names)
		}
		return strings.Compare(strings.Join(a.Names, " ")+string(a.Digest), strings.Join(b.Names, " ")+string(b.Digest))
	})
	return out, nil
}

func (s Store) names() (map[model.Digest][]string, error) {
	refs, err := os.ReadDir(s.path("refs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("image store %s: %w", s.Dir, err)
	}
	out := map[model.Digest][]string{}
	for _, r := range refs {
		if !manifest.ValidName(r.Name()) {
			continue
		}
		d, err := s.Resolve(r.Name())
		if err != nil {
			return nil, err
		}
		out[d] = append(out[d], r.Name())
	}
	return out, nil
}

func (s Store) entry(d model.Digest, names []string, trusted []minisign.PublicKey) Entry {
	e := Entry{Names: names, Digest: d}
	m, err := s.Manifest(d)
	if err != nil {
		e.Fault = err.Error()
		return e
	}
	e.Kind, e.Release, e.Version, e.Kernel, e.Packages = m.Kind, m.Release, m.Version, m.KernelVersion, len(m.Packages)
	e.Size, e.Compressed = m.Size()
	if err := s.Complete(m); err != nil {
		e.Fault = err.Error()
	}
	if signed, err := s.Signed(d); err == nil {
		e.Signed = manifest.Verify(signed.Payload, signed.Signature, trusted...) == nil
	}
	return e
}
