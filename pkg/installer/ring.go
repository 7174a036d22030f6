package installer

import "sync"

// ringSize is how many of the last lines a problem report carries.
const ringSize = 40

// ring keeps the last lines of the log.
type ring struct {
	mu   sync.Mutex
	last []string
}

func (r *ring) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) == ringSize {
		r.last = r.last[1:]
	}
	r.last = append(r.last, line)
}

func (r *ring) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.last...)
}
