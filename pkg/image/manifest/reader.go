package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Fetch gets the stored bytes of one chunk. It retries as it sees fit; the reader verifies what it returns.
type Fetch func(ctx context.Context, c Chunk) ([]byte, error)

type fetched struct {
	frame []byte
	err   error
}

// Reader gives a file's plain bytes in order, each chunk verified before it is decompressed, the next one being fetched meanwhile. At
// the end the digest of the whole is compared too, before io.EOF is returned. It holds three chunks at most.
type Reader struct {
	ctx    context.Context
	cancel context.CancelFunc
	file   File
	fetch  Fetch
	next   int // the chunk that ahead will bring
	ahead  chan fetched
	buf    []byte
	rest   []byte
	sum    hash.Hash
	err    error
}

// NewReader starts reading a file of a verified manifest. Close it to stop what is being fetched.
func NewReader(ctx context.Context, file File, fetch Fetch) *Reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &Reader{ctx: ctx, cancel: cancel, file: file, fetch: fetch, ahead: make(chan fetched, 1), sum: sha256.New()}
	r.start()
	return r
}

// start fetches the chunk next in the background; ahead has room for its result, so nothing is left behind by Close.
func (r *Reader) start() {
	if r.next >= len(r.file.Chunks) {
		return
	}
	c := r.file.Chunks[r.next]
	go func() {
		frame, err := r.fetch(r.ctx, c)
		r.ahead <- fetched{frame, err}
	}()
}

// Read implements io.Reader. Errors wrap ErrChunk where the bytes were wrong, and otherwise what fetch returned.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err == nil {
			r.err = r.load()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *Reader) load() error {
	if r.next >= len(r.file.Chunks) {
		if got := model.Digest("sha256:" + hex.EncodeToString(r.sum.Sum(nil))); got != r.file.Digest {
			return fmt.Errorf("%w: file %s has digest %s instead of %s", ErrChunk, r.file.Name, got.Short(), r.file.Digest.Short())
		}
		return io.EOF
	}
	var got fetched
	select {
	case got = <-r.ahead:
	case <-r.ctx.Done():
		return fmt.Errorf("chunk %d of %d of %s: %w", r.next+1, len(r.file.Chunks), r.file.Name, context.Cause(r.ctx))
	}
	if got.err != nil {
		return fmt.Errorf("chunk %d of %d of %s: %w", r.next+1, len(r.file.Chunks), r.file.Name, got.err)
	}
	c := r.file.Chunks[r.next]
	r.next++
	r.start()
	plain, err := c.Open(got.frame, r.buf)
	if err != nil {
		return fmt.Errorf("chunk %d of %d of %s: %w", r.next, len(r.file.Chunks), r.file.Name, err)
	}
	r.buf, r.rest = plain, plain
	r.sum.Write(plain)
	return nil
}

// Close stops fetching. Reads fail afterwards.
func (r *Reader) Close() error {
	r.cancel()
	return nil
}
