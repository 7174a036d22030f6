package packages

import (
	"context"
	"io"
	"time"
)

// step is how much is sent at once, in bytes: small beside a second of any rate that somebody would choose.
const step = 256 << 10

// paced reads no faster than a rate.
type paced struct {
	ctx   context.Context
	from  io.Reader
	rate  int64 // bytes a second; 0: as fast as it can
	sent  func(int64)
	began time.Time
	n     int64
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	if p.began.IsZero() {
		p.began = time.Now()
	}
	if p.rate > 0 {
		b = b[:min(len(b), step)]
		due := p.began.Add(time.Duration(float64(p.n) / float64(p.rate) * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-p.ctx.Done():
				return 0, p.ctx.Err()
			}
		}
	}
	n, err := p.from.Read(b)
	p.n += int64(n)
	p.sent(p.n)
	return n, err
}
