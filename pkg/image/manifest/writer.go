package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// Keep stores one chunk's bytes. It is called from several goroutines.
type Keep func(c Chunk, frame []byte) error

// Cut reads a file to its end, cuts and compresses it on all processors, hands every chunk to keep and describes the file.
func Cut(ctx context.Context, name string, from io.Reader, keep Keep) (File, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	whole := sha256.New()
	file := File{Name: name}
	var slots []*Chunk
	var readErr error
	for readErr == nil && ctx.Err() == nil {
		plain := make([]byte, ChunkSize)
		n, err := io.ReadFull(from, plain)
		readErr = err
		if n == 0 {
			break
		}
		plain = plain[:n]
		whole.Write(plain)
		file.Size += int64(n)
		slot := new(Chunk)
		slots = append(slots, slot)
		group.Go(func() error {
			frame, c := Compress(plain)
			*slot = c
			return keep(c, frame)
		})
	}
	if err := group.Wait(); err != nil {
		return File{}, fmt.Errorf("cut %s after %d bytes: %w", name, file.Size, err)
	}
	if readErr != nil && readErr != io.EOF && readErr != io.ErrUnexpectedEOF {
		return File{}, fmt.Errorf("cut %s: reading after %d bytes: %w", name, file.Size, readErr)
	}
	if err := ctx.Err(); err != nil && readErr == nil {
		return File{}, fmt.Errorf("cut %s: %w", name, err)
	}
	for _, slot := range slots {
		file.Chunks = append(file.Chunks, *slot)
	}
	file.Digest = model.Digest("sha256:" + hex.EncodeToString(whole.Sum(nil)))
	return file, nil
}
