package manifest

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// decoder is shared: DecodeAll is safe for use by several goroutines. Its memory bound refuses frames that claim more than a chunk.
var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(ChunkSize), zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(fmt.Sprintf("zstd decoder with constant options: %v", err))
	}
	return d
})

// Compress makes one chunk of at most ChunkSize plain bytes: an independent zstd frame with a checksum, and what the manifest says
// about it. The same bytes give the same frame.
func Compress(plain []byte) ([]byte, Chunk) {
	frame := encoder().EncodeAll(plain, nil)
	return frame, Chunk{Digest: model.DigestBytes(frame), Compressed: int64(len(frame)), Size: int64(len(plain))}
}

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(ChunkSize), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(fmt.Sprintf("zstd encoder with constant options: %v", err))
	}
	return e
})

// Verify compares a chunk's bytes with what the manifest says of them. Errors wrap ErrChunk.
func (c Chunk) Verify(frame []byte) error {
	if int64(len(frame)) != c.Compressed {
		return fmt.Errorf("%w: %s: %d bytes instead of %d", ErrChunk, c.Digest.Short(), len(frame), c.Compressed)
	}
	if got := model.DigestBytes(frame); got != c.Digest {
		return fmt.Errorf("%w: %s has digest %s", ErrChunk, c.Digest.Short(), got.Short())
	}
	return nil
}

// Open verifies a chunk's bytes, decompresses them into buf (which may be nil; ChunkSize of capacity avoids allocation) and gives the
// plain bytes. Errors wrap ErrChunk.
func (c Chunk) Open(frame, buf []byte) ([]byte, error) {
	if err := c.Verify(frame); err != nil {
		return nil, err
	}
	plain, err := decoder().DecodeAll(frame, buf[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not decompress: %w", ErrChunk, c.Digest.Short(), err)
	}
	if int64(len(plain)) != c.Size {
		return nil, fmt.Errorf("%w: %s holds %d bytes instead of %d", ErrChunk, c.Digest.Short(), len(plain), c.Size)
	}
	return plain, nil
}
