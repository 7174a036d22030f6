package installer

import (
	"context"
	"sync"
	"time"

	"github.com/nuboctl/nuboctl/pkg/installer/client"
	"github.com/nuboctl/nuboctl/pkg/order"
)

// progressEvery is how often progress is posted at most: it is for people.
const progressEvery = time.Second

// reporter posts reports in order. Progress is posted in the background, the newest only, and lost when the relay does not answer;
// every other report is posted until it is answered.
type reporter struct {
	client *client.Client
	order  string
	boot   string

	sending sync.Mutex // held while one report is on its way, so that they arrive in the order of seq
	seq     int

	mu     sync.Mutex
	latest *order.Progress
}

// say posts one report that must arrive.
func (r *reporter) say(ctx context.Context, rep order.Report) error {
	r.sending.Lock()
	defer r.sending.Unlock()
	r.forget()
	return r.post(ctx, rep)
}

func (r *reporter) post(ctx context.Context, rep order.Report) error {
	r.seq++
	rep.FormatVersion, rep.Order, rep.Boot, rep.Seq, rep.Time = order.FormatVersion, r.order, r.boot, r.seq, time.Now().UTC()
	return r.client.Report(ctx, rep)
}

// progress replaces what will be posted next.
func (r *reporter) progress(p order.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = &p
}

func (r *reporter) forget() *order.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.latest
	r.latest = nil
	return p
}

// run posts progress until the context ends.
func (r *reporter) run(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.flush(ctx)
		}
	}
}

func (r *reporter) flush(ctx context.Context) {
	r.sending.Lock()
	defer r.sending.Unlock()
	p := r.forget()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// Progress that does not arrive is not worth a retry or a stop: the next one tells more.
	_ = r.post(ctx, order.Report{Kind: order.ReportProgress, Progress: p})
}
