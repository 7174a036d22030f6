package rbd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

// bring streams content into a new image, and removes the image when it was not the right one.
func bring(ctx context.Context, h remote.Host, base *Base, part string) (err error) {
	content, err := base.Open()
	if err != nil {
		return fmt.Errorf("content of disks: %w", err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	sum := &summed{from: content, hash: sha256.New()}
	if _, err := run(ctx, h, sum, "import", "--no-progress", "-", part); err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	if got := hex.EncodeToString(sum.hash.Sum(nil)); sum.err != nil || !sum.ended || got != base.SHA256 {
		_, gone := run(ctx, h, nil, "rm", "--no-progress", part)
		return fmt.Errorf("%s: %w", part, errors.Join(fmt.Errorf("%w: it is %s, not %s", ErrContent, got, base.SHA256), sum.err, gone))
	}
	return nil
}

// summed hashes what is read through it, and remembers how the reading ended: a connection's end looks like the content's to rbd.
type summed struct {
	from  io.Reader
	hash  hash.Hash
	ended bool
	err   error
}

// Read is io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.hash.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		s.ended = true
	case err != nil:
		s.err = err
	}
	return n, err
}
