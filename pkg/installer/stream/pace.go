package stream

import (
	"context"
	"time"
)

// pace keeps the mean rate of a stream at or below a limit.
type pace struct {
	perSecond int64
	start     time.Time
	sent      int64
}

func newPace(perSecond int64) *pace { return &pace{perSecond: perSecond, start: time.Now()} }

// wait returns when n more bytes are due.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p.perSecond <= 0 {
		return nil
	}
	p.sent += n
	due := p.start.Add(time.Duration(float64(p.sent) / float64(p.perSecond) * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
