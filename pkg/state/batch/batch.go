// Package batch lets callers that come at the same time share one write: whoever comes first writes for all who wait, and hands over to one
// of those who came meanwhile. No goroutine is needed, and a caller that comes alone waits for nobody.
package batch

import (
	"errors"
	"sync"
)

// ErrClosed says that the queue was closed before the item was written.
var ErrClosed = errors.New("closed")

// Queue collects items and has them written together, one batch at a time, in the order in which they came. Its zero value is ready.
type Queue[T any] struct {
	mu      sync.Mutex
	idle    sync.Cond
	waiting []entry[T]
	writing bool
	closed  bool
}

// entry is an item that waits. wake tells its caller that it was written (false), or that it is to write what waits (true).
type entry[T any] struct {
	item T
	wake chan bool
}

// Do returns when the item was part of a batch that write has returned from. What came of it is for write to put into the item.
func (q *Queue[T]) Do(item T, write func([]T)) error {
	own := entry[T]{item, make(chan bool, 1)}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.waiting = append(q.waiting, own)
	lead := !q.writing
	q.writing = true
	q.mu.Unlock()
	if lead || <-own.wake {
		q.lead(own, write)
	}
	return nil
}

// lead writes everything that waits, the caller's own item among it, and then hands over to one of those who came meanwhile.
func (q *Queue[T]) lead(own entry[T], write func([]T)) {
	q.mu.Lock()
	batch := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	items := make([]T, len(batch))
	for i, e := range batch {
		items[i] = e.item
	}
	write(items)
	for _, e := range batch {
		if e.wake != own.wake {
			e.wake <- false
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		q.waiting[0].wake <- true
		return
	}
	q.writing = false
	if q.idle.L != nil {
		q.idle.Broadcast()
	}
}

// Close waits for what is under way and takes nothing more. It reports whether it was the first to close.
func (q *Queue[T]) Close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed, q.idle.L = true, &q.mu
	for q.writing {
		q.idle.Wait()
	}
	return true
}
