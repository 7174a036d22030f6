// Package stream brings a file of an image from its chunks into a directory. Every chunk's digest is proven before it is decompressed
// (package image/manifest); a broken download goes on at its chunk. Memory is bounded by a few chunks, whatever the size of the image.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// maxWrong is how often a chunk may come with wrong bytes: once may be the wire, always is the store.
const maxWrong = 3

// Source opens chunks by digest. Bytes from it are not trusted.
type Source interface {
	Chunk(ctx context.Context, d model.Digest) (io.ReadCloser, error)
}

// Options tune a stream; the zero value is ready.
type Options struct {
	// Patience is how long one chunk is tried for before the stream fails; 0: 10 minutes.
	Patience time.Duration
	// Stall is how long one attempt at a chunk may take; 0: 1 minute.
	Stall time.Duration
	// BytesPerSecond limits the reading; 0: no limit.
	BytesPerSecond int64
	// Progress is told the proven bytes so far and the total, as transported, from the fetching goroutine.
	Progress func(done, total int64)
	// Retrying is told about each failed attempt.
	Retrying func(err error, next time.Duration)
}

// Fetcher returns what manifest.NewReader needs to read this file from src. It must serve one reader only, which asks for the chunks in
// order, one at a time.
func Fetcher(src Source, file manifest.File, o Options) manifest.Fetch {
	if o.Patience == 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	total, done := file.Compressed(), int64(0)
	pace := newPace(o.BytesPerSecond)
	return func(ctx context.Context, c manifest.Chunk) ([]byte, error) {
		frame, err := fetch(ctx, src, c, o)
		if err != nil {
			return nil, err
		}
		done += c.Compressed
		if o.Progress != nil {
			o.Progress(done, total)
		}
		return frame, pace.wait(ctx, c.Compressed)
	}
}

// fetch brings one chunk, retrying with growing pauses until Patience is over.
func fetch(ctx context.Context, src Source, c manifest.Chunk, o Options) ([]byte, error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 200*time.Millisecond, 15*time.Second
	options := []backoff.RetryOption{backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(o.Patience)}
	if o.Retrying != nil {
		options = append(options, backoff.WithNotify(o.Retrying))
	}
	wrong := 0
	return backoff.Retry(ctx, func() ([]byte, error) {
		once, cancel := context.WithTimeout(ctx, o.Stall)
		defer cancel()
		frame, err := fetchOnce(once, src, c)
		if errors.Is(err, manifest.ErrChunk) {
			if wrong++; wrong >= maxWrong {
				return nil, backoff.Permanent(err)
			}
		}
		return frame, err
	}, options...)
}

// fetchOnce reads one byte more than the chunk has, so that a longer answer is seen and an endless one is not read.
func fetchOnce(ctx context.Context, src Source, c manifest.Chunk) ([]byte, error) {
	body, err := src.Chunk(ctx, c.Digest)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	frame := make([]byte, c.Compressed+1)
	n, err := io.ReadFull(body, frame)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after %d of %d bytes: %w", n, c.Compressed, err)
	}
	if int64(n) < c.Compressed {
		return nil, fmt.Errorf("after %d of %d bytes: %w", n, c.Compressed, io.ErrUnexpectedEOF)
	}
	return frame[:n], c.Verify(frame[:n])
}
