package netboot

import (
	"io"
	"net/http"
	"time"
)

// withStallTimeout gives every reply a write deadline that moves as long as the client takes data: a slow client may
// take hours over a large file, a dead one is dropped when it has taken nothing for so long.
func withStallTimeout(next http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &stallWriter{ResponseWriter: w, ctl: http.NewResponseController(w), stall: stall}
		sw.extend()
		next.ServeHTTP(sw, r)
		sw.extend() // for what net/http flushes after the handler
	})
}

type stallWriter struct {
	http.ResponseWriter
	ctl   *http.ResponseController
	stall time.Duration
}

// extend moves the deadline. A writer without deadlines (a recorder in a test) has no client that could stall.
func (w *stallWriter) extend() { _ = w.ctl.SetWriteDeadline(time.Now().Add(w.stall)) }

func (w *stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *stallWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps sendfile: net/http uses it for an *os.File inside one io.LimitedReader, so that is what it is given,
// sendChunk bytes at a time.
func (w *stallWriter) ReadFrom(src io.Reader) (total int64, err error) {
	dst, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	limit, ok := src.(*io.LimitedReader)
	if !ok {
		limit = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	for limit.N > 0 {
		w.extend()
		want := min(limit.N, sendChunk)
		n, err := dst.ReadFrom(&io.LimitedReader{R: limit.R, N: want})
		limit.N -= n
		total += n
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// countingWriter counts payload bytes and keeps the first error, which ServeContent does not return.
type countingWriter struct {
	http.ResponseWriter
	bytes int64
	err   error
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.note(int64(n), err)
	return n, err
}

// ReadFrom passes on to the writer below, so that sendfile is kept.
func (w *countingWriter) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	w.note(n, err)
	return n, err
}

func (w *countingWriter) note(n int64, err error) {
	w.bytes += n
	if w.err == nil {
		w.err = err
	}
}
