package image

import (
	"fmt"
	"os"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// HasBlob reports whether a chunk of this digest is there, whatever its manifest; its bytes are not read.
func (s Store) HasBlob(d model.Digest) bool {
	_, err := os.Stat(s.chunkPath(d))
	return d.Valid() && err == nil
}

// PutBlob keeps a chunk whose manifest is not at hand yet, verified against its digest.
func (s Store) PutBlob(d model.Digest, frame []byte) error {
	if len(frame) > manifest.MaxCompressed || model.DigestBytes(frame) != d {
		return fmt.Errorf("chunk %s: %w: %d bytes of another digest", d.Short(), manifest.ErrChunk, len(frame))
	}
	return put(s.chunkPath(d), frame)
}

// Blob gives a chunk's stored bytes by digest, verified.
func (s Store) Blob(d model.Digest) ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("chunk %q: not a digest", d)
	}
	frame, err := s.get("chunk "+d.Short(), "chunks", d.Hex()[:2], d.Hex())
	if err == nil && model.DigestBytes(frame) != d {
		err = fmt.Errorf("chunk %s: %w", d.Short(), manifest.ErrChunk)
	}
	return frame, err
}
