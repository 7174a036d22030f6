package engine

import "sync"

// Executor runs what a run does at once. The run itself calls Wait, from one goroutine; it neither acts nor decides while it is in there. So the
// same engine can run on goroutines, or on coroutines in the virtual time of a simulation.
type Executor interface {
	// Go begins f beside its caller. It may return before, while or after f runs.
	Go(f func())
	// Wait returns when something that was begun has ended since the last return, or when one of the channels, which may be nil, is ready. It may
	// return without a reason.
	Wait(changed, stopping <-chan struct{})
}

// goroutines is the Executor of real time.
type goroutines struct {
	ended chan struct{} // holds one token while something has ended that Wait has not told
}

// Goroutines makes an executor that runs everything in a goroutine of its own. It serves one run.
func Goroutines() Executor { return &goroutines{ended: make(chan struct{}, 1)} }

func (g *goroutines) Go(f func()) {
	go func() {
		f()
		select {
		case g.ended <- struct{}{}:
		default:
		}
	}()
}

func (g *goroutines) Wait(changed, stopping <-chan struct{}) {
	select {
	case <-g.ended:
	case <-changed:
	case <-stopping:
	}
}

// inbox collects what ops came to until the run takes it in.
type inbox struct {
	mu   sync.Mutex
	list []ended
}

func (b *inbox) put(e ended) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, e)
}

func (b *inbox) take() []ended {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.list
	b.list = nil
	return out
}
