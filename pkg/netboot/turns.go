package netboot

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// turns decides who is served next: so many at once in all, no more than a share of them for one machine, machines by turns, and what one machine asks for
// in the order in which it came. So a machine that asks for ten thousand files at once, or takes none of what it asked for, waits for itself. It is
// not safe for concurrent use.
type turns[T comparable] struct {
	total, each int // served at once: in all, of one machine
	room        int // waiting at once; 0: no bound

	running, waiting int
	lines            map[netip.Addr]*line[T]
	ring             []*line[T] // lines whose turn may come: something waits, and their share is not used up
}

// line is what one machine waits for.
type line[T comparable] struct {
	machine netip.Addr
	waiting []T
	running int
	inRing  bool
}

func newTurns[T comparable](total, room int) *turns[T] {
	return &turns[T]{total: total, each: share(total), room: room, lines: map[netip.Addr]*line[T]{}}
}

// share is how many of so many at once one machine may have: firmware and boot loaders take one file at a time.
func share(total int) int { return max(total/8, min(total, 4)) }

// add lets something wait. Where there is no room left, the machine that has most waiting loses what it asked for last; lost says what that was, which
// may be what was to be added.
func (t *turns[T]) add(machine netip.Addr, what T) (lost T, full bool) {
	if t.room > 0 && t.waiting >= t.room {
		longest := t.longest()
		if own := t.lines[machine]; own != nil && len(own.waiting) >= len(longest.waiting) {
			return what, true
		}
		lost, full = longest.waiting[len(longest.waiting)-1], true
		t.remove(longest.machine, lost)
	}
	l := t.lines[machine]
	if l == nil {
		l = &line[T]{machine: machine}
		t.lines[machine] = l
	}
	l.waiting = append(l.waiting, what)
	t.waiting++
	t.queue(l)
	return lost, full
}

func (t *turns[T]) longest() *line[T] {
	var longest *line[T]
	for _, l := range t.lines {
		if longest == nil || len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	return longest
}

// queue gives a line its turn, behind the others', when it may have one.
func (t *turns[T]) queue(l *line[T]) {
	if !l.inRing && len(l.waiting) > 0 && l.running < t.each {
		l.inRing = true
		t.ring = append(t.ring, l)
	}
}

// next takes what is to be served now; done must be told when it has been.
func (t *turns[T]) next() (what T, ok bool) {
	for t.running < t.total && len(t.ring) > 0 {
		l := t.ring[0]
		t.ring, l.inRing = t.ring[1:], false
		if len(l.waiting) == 0 {
			t.forget(l)
			continue
		}
		what, l.waiting = l.waiting[0], l.waiting[1:]
		t.waiting--
		l.running++
		t.running++
		t.queue(l)
		return what, true
	}
	return what, false
}

// done ends what next has given out for a machine.
func (t *turns[T]) done(machine netip.Addr) {
	l := t.lines[machine]
	l.running--
	t.running--
	t.queue(l)
	t.forget(l)
}

// remove takes back what waits; false: it does not wait any more.
func (t *turns[T]) remove(machine netip.Addr, what T) bool {
	l := t.lines[machine]
	if l == nil {
		return false
	}
	i := slices.Index(l.waiting, what)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	t.waiting--
	t.forget(l)
	return true
}

// forget drops the line of a machine that has nothing here.
func (t *turns[T]) forget(l *line[T]) {
	if len(l.waiting) == 0 && l.running == 0 && !l.inRing {
		delete(t.lines, l.machine)
	}
}

// queue makes goroutines wait for their turn.
type queue struct {
	mu    sync.Mutex
	turns *turns[chan struct{}]
}

func newQueue(total int) *queue { return &queue{turns: newTurns[chan struct{}](total, 0)} }

// enter waits until a machine is served; leave must be called then. The error is the context's.
func (q *queue) enter(ctx context.Context, machine netip.Addr) (leave func(), err error) {
	turn := make(chan struct{})
	q.mu.Lock()
	q.turns.add(machine, turn)
	q.admit()
	q.mu.Unlock()
	leave = func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.turns.done(machine)
		q.admit()
	}
	select {
	case <-turn:
		return leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	waited := q.turns.remove(machine, turn)
	q.mu.Unlock()
	if !waited { // its turn has come in this moment
		leave()
	}
	return nil, ctx.Err()
}

// admit lets in who may come; the lock is held.
func (q *queue) admit() {
	for {
		turn, ok := q.turns.next()
		if !ok {
			return
		}
		close(turn)
	}
}
