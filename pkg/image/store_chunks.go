package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

func (s Store) chunkPath(d model.Digest) string { return s.path("chunks", d.Hex()[:2], d.Hex()) }

// PutChunk keeps one chunk, verified. A chunk that is there with the right size is left alone. It fits manifest.Keep.
func (s Store) PutChunk(c manifest.Chunk, frame []byte) error {
	if err := c.Verify(frame); err != nil {
		return err
	}
	at := s.chunkPath(c.Digest)
	if info, err := os.Stat(at); err == nil && info.Size() == c.Compressed {
		return nil
	}
	return put(at, frame)
}

// Chunk gives a chunk's stored bytes, verified. It fits manifest.Fetch.
func (s Store) Chunk(_ context.Context, c manifest.Chunk) ([]byte, error) {
	if !c.Digest.Valid() {
		return nil, fmt.Errorf("chunk %q: not a digest", c.Digest)
	}
	frame, err := s.get("chunk "+c.Digest.Short(), "chunks", c.Digest.Hex()[:2], c.Digest.Hex())
	if err != nil {
		return nil, err
	}
	return frame, c.Verify(frame)
}

// HasChunk reports whether a chunk is there with its full size; its bytes are not read.
func (s Store) HasChunk(c manifest.Chunk) bool {
	info, err := os.Stat(s.chunkPath(c.Digest))
	return err == nil && info.Size() == c.Compressed
}

// Complete reports, by nil, that every chunk of an image is there with its full size.
func (s Store) Complete(m *manifest.Manifest) error {
	missing, first := 0, ""
	for _, f := range m.Files {
		for i, c := range f.Chunks {
			if !s.HasChunk(c) {
				missing++
				if first == "" {
					first = fmt.Sprintf("chunk %d of %s", i+1, f.Name)
				}
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("image %s: %d chunks, the first %s: %w", m.Name, missing, first, ErrNotFound)
	}
	return nil
}

// Open reads one file of an image, every chunk verified.
func (s Store) Open(ctx context.Context, m *manifest.Manifest, name string) (*manifest.Reader, error) {
	f, ok := m.File(name)
	if !ok {
		return nil, fmt.Errorf("image %s: file %s: %w", m.Name, name, ErrNotFound)
	}
	return manifest.NewReader(ctx, f, s.Chunk), nil
}

// Extract puts one file of an image on disk, once, and gives its path: a kernel or ramdisk that is served for booting. What is there
// already is read and compared with its digest before it is trusted.
func (s Store) Extract(ctx context.Context, m *manifest.Manifest, name string) (string, error) {
	f, ok := m.File(name)
	if !ok {
		return "", fmt.Errorf("image %s: file %s: %w", m.Name, name, ErrNotFound)
	}
	at := s.path("files", f.Digest.Hex())
	if digestFile(at) == f.Digest {
		return at, nil
	}
	r := manifest.NewReader(ctx, f, s.Chunk)
	defer r.Close()
	if err := putFrom(at, r); err != nil {
		return "", fmt.Errorf("image %s: %w", m.Name, err)
	}
	return at, nil
}

// digestFile is a file's digest, or nothing when it cannot be read.
func digestFile(at string) model.Digest {
	file, err := os.Open(at)
	if err != nil {
		return ""
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return model.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
}

// Verify reads every chunk of an image and compares it, then every file as a whole. All faults are reported.
func (s Store) Verify(ctx context.Context, m *manifest.Manifest, progress Progress) error {
	var errs []error
	total, _ := m.Size()
	var done int64
	for _, f := range m.Files {
		r := manifest.NewReader(ctx, f, s.Chunk)
		n, err := io.Copy(io.Discard, &counted{r, func(n int) {
			if done += int64(n); progress != nil {
				progress(Event{Image: m.Name, Step: "verify", Text: f.Name, Done: done, Total: total})
			}
		}})
		_ = r.Close()
		if err == nil && n != f.Size {
			err = fmt.Errorf("%w: %s has %d bytes instead of %d", manifest.ErrChunk, f.Name, n, f.Size)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("image %s in %s: %w", m.Name, filepath.Clean(s.Dir), err)
	}
	return nil
}

// counted tells how many bytes passed.
type counted struct {
	io.Reader
	tell func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.tell(n)
	return n, err
}
