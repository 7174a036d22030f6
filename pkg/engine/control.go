package engine

import (
	"fmt"
	"sync"

	"github.com/nuboctl/nuboctl/pkg/state"
)

// Control pauses, continues and ends a run from outside. It is safe for concurrent use, before and after a run as well.
type Control struct {
	mu      sync.Mutex
	now     wish
	changed chan struct{}
}

// wish is what was asked for, and by whom it was last.
type wish struct {
	paused, yielded, aborted bool
	by                       string
}

// NewControl makes a control that lets everything go on.
func NewControl() *Control { return &Control{changed: make(chan struct{})} }

// Pause lets what runs finish, and begins nothing until Resume.
func (c *Control) Pause() { c.set(func(w *wish) { w.paused = true }) }

// Resume goes on after Pause, and takes a Yield back at which the run has not ended yet.
func (c *Control) Resume() { c.set(func(w *wish) { w.paused, w.yielded = false, false }) }

// Yield lets what runs finish, begins nothing, and then ends the run with ErrYielded, so that somebody else may have the lease; it can go on later. Ops
// that only look and wait are not waited for.
func (c *Control) Yield() { c.set(func(w *wish) { w.yielded = true }) }

// Abort stops what runs and ends the run for good.
func (c *Control) Abort() { c.set(func(w *wish) { w.aborted = true }) }

// Obey does what somebody asks for.
func (c *Control) Obey(a state.Ask) error {
	do, ok := map[state.Verb]func(){state.AskPause: c.Pause, state.AskResume: c.Resume, state.AskYield: c.Yield, state.AskAbort: c.Abort}[a.Verb]
	if !ok {
		return fmt.Errorf("a run cannot be asked to %q", a.Verb)
	}
	c.mu.Lock()
	c.now.by = a.By.User + "@" + a.By.Host
	c.mu.Unlock()
	do()
	return nil
}

func (c *Control) set(f func(*wish)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.now)
	close(c.changed)
	c.changed = make(chan struct{})
}

// State tells what was asked for.
func (c *Control) State() (paused, aborted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.paused, c.now.aborted
}

// watch returns what was asked for, and a channel that is closed when that changes.
func (c *Control) watch() (wish, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.changed
}

// asked adds to an error who asked for it, where that is known.
func (w wish) asked(err error) error {
	if w.by == "" {
		return err
	}
	return fmt.Errorf("%w, as %s asked", err, w.by)
}
