package vtime

import "time"

// event is something that will happen; do is nil once it has, or was called off. Ends says that it may end contexts.
type event struct {
	at   time.Duration
	seq  int64 // of events at the same time the older comes first
	do   func()
	ends bool
}

func (e *event) before(f *event) bool {
	return e.at < f.at || (e.at == f.at && e.seq < f.seq)
}

// queue is a binary heap.
type queue struct{ list []*event }

func (q *queue) push(e *event) {
	q.list = append(q.list, e)
	for i := len(q.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.list[i].before(q.list[up]) {
			return
		}
		q.list[i], q.list[up] = q.list[up], q.list[i]
		i = up
	}
}

// pop takes the first; nil when there is none.
func (q *queue) pop() *event {
	if len(q.list) == 0 {
		return nil
	}
	first, last := q.list[0], len(q.list)-1
	q.list[0] = q.list[last]
	q.list[last] = nil
	q.list = q.list[:last]
	for i := 0; ; {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < last && q.list[c].before(q.list[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		q.list[i], q.list[least] = q.list[least], q.list[i]
		i = least
	}
}
