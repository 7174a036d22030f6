package fleet

import (
	"context"
	"sync"
)

// rounds lets those who ask the same at the same time share one answer. Who asks while one is under way gets the next: the one under way may be older
// than what he has just done. So however many ask, at most two answers are being waited for.
type rounds[T any] struct {
	mu            sync.Mutex
	running, next *round[T]
}

type round[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// ask gives an answer that was begun after the call. The work outlives the one who asked for it first: others wait for it too. get bounds itself.
func (r *rounds[T]) ask(ctx context.Context, get func(context.Context) (T, error)) (T, error) {
	work := func() (T, error) { return get(context.WithoutCancel(ctx)) }
	r.mu.Lock()
	mine := r.next
	switch {
	case mine != nil:
	case r.running == nil:
		mine = &round[T]{done: make(chan struct{})}
		r.running = mine
		go r.run(mine, work)
	default:
		mine = &round[T]{done: make(chan struct{})}
		r.next = mine
		before := r.running
		go func() {
			<-before.done
			r.run(mine, work)
		}()
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}

func (r *rounds[T]) run(mine *round[T], work func() (T, error)) {
	r.mu.Lock()
	r.running = mine
	if r.next == mine {
		r.next = nil
	}
	r.mu.Unlock()
	mine.value, mine.err = work()
	r.mu.Lock()
	if r.next == nil {
		r.running = nil
	}
	r.mu.Unlock()
	close(mine.done)
}
