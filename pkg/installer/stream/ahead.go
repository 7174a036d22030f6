package stream

import "io"

// aheadBlock and aheadDepth bound what is decompressed before it is written, in bytes and blocks.
const (
	aheadBlock = 1 << 20
	aheadDepth = 4
)

// ahead reads in a goroutine of its own, so that proving and decompressing go on while files are being written.
type ahead struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	err  error // valid once full is closed
	now  []byte
	rest []byte
}

func newAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan []byte, aheadDepth), free: make(chan []byte, aheadDepth), stop: make(chan struct{})}
	for range aheadDepth {
		a.free <- make([]byte, aheadBlock)
	}
	go a.fill(r)
	return a
}

func (a *ahead) fill(r io.Reader) {
	defer close(a.full)
	for {
		select {
		case b := <-a.free:
			n, err := io.ReadFull(r, b[:aheadBlock])
			if n > 0 {
				a.full <- b[:n] // has room: there are only aheadDepth blocks
			}
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			if err != nil {
				a.err = err
				return
			}
		case <-a.stop:
			a.err = io.ErrClosedPipe
			return
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now != nil {
			a.free <- a.now
			a.now = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.now, a.rest = b, b
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close stops the reading; a read that is under way ends with the reader underneath.
func (a *ahead) close() { close(a.stop) }
